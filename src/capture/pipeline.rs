//! The capture pipeline: sources, encoders, and the taps that put encoded frames into the queue.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::door::Gate;
use super::failure::{Failure, error_on, make, of_capture};
use super::file::File;
use super::keyframe::Keyframes;
use super::queue::{Frame, Queue, Track};
use super::{audio, encoder, video};
use crate::config::{Audio, AudioSource, Config, IngestScheme, Video, VideoSource};

/// A file that is not decoded this long after it was opened will not be.
const PREROLL: Duration = Duration::from_secs(10);

/// Clock and base time, so that what is pushed keeps capture's time.
#[derive(Clone, Debug)]
pub(super) struct Timebase {
    pub(super) clock: Option<gst::Clock>,
    pub(super) base: Option<gst::ClockTime>,
}

/// Camera and microphone, open. Dropping it closes them.
#[derive(Debug)]
pub(super) struct Pipeline {
    elements: gst::Pipeline,
    bus: gst::Bus,
    mute: Option<gst::Element>,
    loudness: Option<Arc<audio::Loudness>>,
    files: Vec<File>,
    video: String,
    audio: String,
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.elements.set_state(gst::State::Null);
    }
}

/// What the muxer of each protocol wants: H.264 and AAC stream formats.
fn formats(scheme: IngestScheme) -> (&'static str, &'static str) {
    match scheme {
        IngestScheme::Rtmp | IngestScheme::Rtmps => ("avc", "raw"),
        IngestScheme::Srt | IngestScheme::Http | IngestScheme::Https => ("byte-stream", "adts"),
    }
}

impl Pipeline {
    /// Opens camera and, if staff asked for sound, microphone; encoded frames go to `queue` while `gate` is open.
    pub(super) fn start(
        config: &Config,
        sound: bool,
        gate: Arc<Gate>,
        queue: Arc<Queue>,
        chosen: impl FnOnce(String, String),
    ) -> Result<Self, Failure> {
        let pipeline = gst::Pipeline::with_name("capture");
        let bus = pipeline.bus().ok_or_else(|| Failure::internal("a pipeline without a bus"))?;
        let (h264, aac) = formats(config.ingest.first.scheme);

        let (shape, shaped) = video::add_shape(&pipeline, &config.video)?;
        let encoder = encoder::choose(&config.video)?;
        let level = make("capsfilter", "video-level")?;
        level.set_property("caps", encoder::caps(encoder.name));
        let parser = make("h264parse", "video-parser")?;
        // Parameter sets with each keyframe: whoever joins later can decode from there.
        parser.set_property("config-interval", -1);
        let coded = make("capsfilter", "video-coded")?;
        let caps = gst::Caps::builder("video/x-h264").field("stream-format", h264).field("alignment", "au");
        coded.set_property("caps", caps.build());
        let tap = tap(Track::Video, gate.clone(), queue.clone());
        let behind = [&encoder.element, &level, &parser, &coded, tap.upcast_ref()];
        pipeline.add_many(behind)?;
        shaped.link(&encoder.element)?;
        gst::Element::link_many(behind)?;
        chosen(encoder.name.to_owned(), encoder.why);

        let with_sound = sound && audio::decide(&config.audio) != AudioSource::None;
        let (mut mute, mut hear) = (None, None);
        if with_sound {
            let (first, last, volume) = audio::add_encoder(&pipeline, &config.audio, aac)?;
            let tap = self::tap(Track::Audio, gate, queue);
            pipeline.add(&tap)?;
            last.link(&tap)?;
            (mute, hear) = (Some(volume), Some(first));
        }
        let files = add_sources(&pipeline, &config.video, &config.audio, &shape, hear.as_ref())?;
        let this = Self {
            elements: pipeline,
            bus,
            loudness: mute.as_ref().and_then(audio::measure),
            mute,
            files,
            video: video::described(&config.video),
            audio: audio::described(&config.audio),
        };
        this.play()?;
        Ok(this)
    }

    fn play(&self) -> Result<(), Failure> {
        let failed = |_| {
            self.check().err().unwrap_or_else(|| Failure::source(format!("the camera {} does not start", self.video)))
        };
        if !self.files.is_empty() {
            self.elements.set_state(gst::State::Paused).map_err(failed)?;
            for file in &self.files {
                file.wait_until_decoded(PREROLL, || self.check())?;
                file.loop_from_start()?;
            }
        }
        self.elements.set_state(gst::State::Playing).map(|_| ()).map_err(failed)
    }

    /// Whether microphone or sound file are in it.
    pub(super) fn sound(&self) -> bool {
        self.mute.is_some()
    }

    /// Sends silence, or sound again.
    pub(super) fn mute(&self, muted: bool) {
        if let Some(volume) = &self.mute {
            volume.set_property("mute", muted);
        }
    }

    /// What asks the encoder for a keyframe.
    pub(super) fn keyframes(&self) -> Keyframes {
        Keyframes(self.elements.by_name("video-tap").map(|tap| tap.downgrade()).unwrap_or_default())
    }

    /// How loud the sound is that leaves; none where there is none.
    pub(super) fn loudness(&self) -> Option<Arc<audio::Loudness>> {
        self.loudness.clone()
    }

    /// Clock and base time.
    pub(super) fn time(&self) -> Timebase {
        Timebase { clock: self.elements.clock(), base: self.elements.base_time() }
    }

    /// What the pipeline has to say: an error ends the session, the end of a file makes it begin anew.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let mut done = Ok(());
        let posted = error_on(&self.bus, |message| {
            let kind = message.type_();
            if kind == gst::MessageType::SegmentDone {
                if let Some(file) = self.files.iter().find(|file| file.sent(message)).or(self.files.first()) {
                    done = done.clone().and(file.again());
                }
            } else if kind == gst::MessageType::Eos {
                done = Err(Failure::source(format!("{} came to its end", self.video)));
            }
        });
        match posted {
            Some(posted) => Err(of_capture(&posted, &self.video, &self.audio)),
            None => done,
        }
    }
}

/// Adds the sources and links them to what takes picture and sound. Returns the files among them.
fn add_sources(
    pipeline: &gst::Pipeline,
    video: &Video,
    audio: &Audio,
    see: &gst::Element,
    hear: Option<&gst::Element>,
) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    let picture_file = (video::decide(video) == VideoSource::File).then_some(video.device.as_path());
    let sound_file = (audio.source == AudioSource::File).then_some(Path::new(&audio.device));
    match (picture_file, sound_file.filter(|_| hear.is_some())) {
        (Some(picture), Some(sound)) if picture == sound => {
            files.push(File::add(pipeline, picture, "video-source", Some(see), hear)?);
            return Ok(files);
        }
        (Some(picture), _) => files.push(File::add(pipeline, picture, "video-source", Some(see), None)?),
        (None, _) => video::add_camera(pipeline, video)?.link(see)?,
    }
    match (hear, sound_file) {
        (None, _) => {}
        (Some(hear), Some(sound)) => files.push(File::add(pipeline, sound, "audio-source", None, Some(hear))?),
        (Some(hear), None) => audio::add_microphone(pipeline, audio)?.link(hear)?,
    }
    Ok(files)
}

/// Where encoded frames leave: at once, with their times turned into running time, and only while the lease goes on.
fn tap(track: Track, gate: Arc<Gate>, queue: Arc<Queue>) -> gst_app::AppSink {
    let name = match track {
        Track::Video => "video-tap",
        Track::Audio => "audio-tap",
    };
    let take = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if gate.is_open()
            && let Some(frame) = frame(track, &sample)
        {
            queue.put(frame);
        }
        Ok(gst::FlowSuccess::Ok)
    };
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(take).build();
    let tap = gst_app::AppSink::builder().name(name).sync(false).max_buffers(4).build();
    // The clock paces sources, not sinks; and a sink that waits to be started would hold the other back.
    tap.set_property("async", false);
    tap.set_callbacks(callbacks);
    tap
}

fn frame(track: Track, sample: &gst::Sample) -> Option<Frame> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let mut buffer = sample.buffer_owned()?;
    let pts = segment.to_running_time(buffer.pts()?)?;
    let dts = buffer.dts().and_then(|dts| segment.to_running_time(dts)).unwrap_or(pts);
    let edit = buffer.make_mut();
    edit.set_pts(pts);
    edit.set_dts(dts);
    Some(Frame { track, buffer, caps: sample.caps_owned() })
}
