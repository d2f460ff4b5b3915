//! One session's pipelines. Devices are `devices`'s and have pipelines of their own, and so has the video encoder,
//! which is `coding`'s; what stands here is the one that sound goes through into its encoders. The taps put what
//! encoders give into the queues:
//!
//! ```text
//! camera:     v4l2src … video-caps ! camera-out  ─ lane ─ masks, words ─►  coder-in ! (scaler) ! encoder … video-tap
//! microphone: alsasrc … caps ! microphone-out    ─ lane ─►  audio-in ! audio-convert ! audio-resample … audio-tap
//! ```
//! A file stands in the pipeline here: nobody can unplug it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::audio::AudioCodec;

use crate::capture::audio;
use crate::capture::compositor::Compositor;
use crate::capture::compositor::OverlayRenderer;
use crate::capture::encoder::{EncoderControl, Profile, SinkFactory, VideoEncoder, frame_sink};
use crate::capture::error::CaptureError;
use crate::capture::gst::CLOSE_TIMEOUT;
use crate::capture::gst::Timebase;
use crate::capture::gst::pop_error;
use crate::capture::guard_link::{EventSender, Lease};
use crate::capture::input::InputSwitch;
use crate::capture::input::MediaFile;
use crate::capture::input::SourceSpec;
use crate::capture::input::device_error;
use crate::capture::input::{DeviceContext, DeviceSupervisor};
use crate::capture::input::{describe_camera, resolve_camera};
use crate::capture::media::Track;
use crate::capture::queue::EncoderQueues;
use crate::capture::session_context::SessionContext;
use crate::clock::Clock;
use crate::config::{Audio, AudioSource, Config, Video, VideoSource};

/// A file that is not decoded this long after it was opened will not be.
const PREROLL: Duration = Duration::from_secs(10);

/// Camera and microphone, open. Dropping it closes them.
pub(crate) struct CaptureGraph {
    /// First of all, so that devices are closed first.
    devices: Option<DeviceSupervisor>,
    elements: gst::Pipeline,
    bus: gst::Bus,
    coding: Arc<VideoEncoder>,
    /// Microphone or sound file are in it.
    sound: bool,
    files: Vec<MediaFile>,
    /// The last elements that what files give goes through in their own time; behind them it has the session's.
    ends: Vec<gst::Element>,
    /// Draws the words on the picture for as long as there is one.
    _writing: Option<OverlayRenderer>,
    video: String,
    audio: String,
}

impl Drop for CaptureGraph {
    fn drop(&mut self) {
        self.devices = None;
        crate::capture::gst::close_within(&self.elements, CLOSE_TIMEOUT);
    }
}

impl CaptureGraph {
    /// Opens camera and, if staff asked for sound, microphone; encoded frames go to `taps` while `lease` is open.
    /// `call` is called as early as can be.
    pub(crate) fn start(
        config: &Config,
        sound: bool,
        lease: &Arc<Lease>,
        taps: &EncoderQueues,
        event_sender: &EventSender,
        call: impl FnOnce(&SessionContext) -> Result<(), CaptureError>,
    ) -> Result<Self, CaptureError> {
        // Decided once: `auto` would find no microphone while it is unplugged.
        let video = Video { source: resolve_camera(&config.video), ..config.video.clone() };
        let source = if sound { crate::capture::input::resolve_microphone(&config.audio) } else { AudioSource::None };
        let audio = Audio { source, ..config.audio.clone() };
        let (described_video, described_audio) =
            (describe_camera(&video), crate::capture::input::describe_microphone(&audio));

        let (clock, limit) = (Clock::start(), config.capture.device_lost_limit);
        let mut all = Vec::new();
        let seen = (video.source != VideoSource::File).then(|| Arc::new(InputSwitch::video(video.fps, clock)));
        let heard = matches!(audio.source, AudioSource::Alsa | AudioSource::Test);
        let heard = heard.then(|| Arc::new(InputSwitch::audio(clock)));
        all.extend(seen.clone().map(|lane| (SourceSpec::Camera(video.clone()), lane)));
        all.extend(heard.clone().map(|lane| (SourceSpec::Microphone(audio.clone()), lane)));
        let level_meter = (audio.source != AudioSource::None).then(Arc::default);
        let begun =
            SessionContext { timebase: Timebase::start(), level_meter, encoder_control: EncoderControl::default() };
        // A camera takes its time to start, a server to answer: they do so while the encoder is chosen and a file is
        // read.
        let rules = DeviceContext {
            time: begun.timebase.clone(),
            lease: lease.clone(),
            event_sender: event_sender.clone(),
            clock,
            limit,
        };
        let devices = Some(DeviceSupervisor::start(all, &rules)?);
        call(&begun)?;
        let pipeline = gst::Pipeline::with_name("capture");
        let bus = pipeline.bus().ok_or_else(|| CaptureError::internal("a pipeline without a bus"))?;
        let size = (video.width, video.height);
        let writing = OverlayRenderer::start(&config.overlay, size)?;
        let make_tap: SinkFactory = {
            let (lease, queues) = (lease.clone(), taps.video.clone());
            Box::new(move || frame_sink("video-tap", Track::Video, lease.clone(), queues.clone()).upcast())
        };
        let profile = if taps.opus.is_empty() { Profile::Main } else { Profile::ConstrainedBaseline };
        // Not with the camera: whatever comes in its place is covered too.
        let cover = Compositor::new(config.masks.clone(), writing.as_ref(), size);
        let coding = VideoEncoder::start(&video, profile, cover, make_tap, event_sender)?;
        begun.encoder_control.attach(&coding);
        if let Some(lane) = seen {
            // The picture does not wait for the sound's elements.
            let coding = coding.clone();
            lane.connect(Box::new(move |picture, caps, key| coding.push_picture(picture, caps, key)));
        }
        let (mut hear, mut voiced) = (None, None);
        if let Some(level_meter) = &begun.level_meter {
            let (first, last) = audio::add_audio_processing(&pipeline, &audio)?;
            audio::silence_while_muted(&last, lease)?;
            for (codec, name, queues) in
                [(AudioCodec::Aac, "audio-tap", &taps.aac), (AudioCodec::Opus, "opus-tap", &taps.opus)]
            {
                if !queues.is_empty() {
                    let tap = frame_sink(name, Track::Audio, lease.clone(), queues.clone());
                    let coded = audio::add_audio_encoder(&pipeline, &audio, codec)?;
                    pipeline.add(&tap)?;
                    coded.link(&tap)?;
                }
            }
            audio::measure(level_meter, &last);
            (hear, voiced) = (Some(first), Some(last));
        }
        let listen = match (&heard, &hear) {
            (Some(_), Some(first)) => Some(audio::add_audio_input(&pipeline, first)?),
            _ => None,
        };
        let (files, mut ends) = add_files(&pipeline, &video, &audio, &coding, hear.as_ref())?;
        // Not in front of `webrtcdsp`, which counts an offset twice.
        ends.extend(voiced.filter(|_| audio.source == AudioSource::File));
        let this = Self {
            devices,
            elements: pipeline,
            bus,
            coding,
            sound: hear.is_some(),
            files,
            ends,
            _writing: writing,
            video: described_video,
            audio: described_audio,
        };
        this.preroll()?;
        this.play(&begun.timebase)?;
        if let (Some(lane), Some(listen)) = (heard, listen) {
            lane.connect(Box::new(move |sound, _, _| {
                // A pipeline that takes nothing any more says why on its bus.
                let _ = listen.push_buffer(sound);
            }));
        }
        Ok(this)
    }

    /// Opens the files as far as their first pictures, where there are any.
    fn preroll(&self) -> Result<(), CaptureError> {
        if self.files.is_empty() {
            return Ok(());
        }
        self.elements.set_state(gst::State::Paused).map_err(|_| self.failed())?;
        for file in &self.files {
            file.wait_until_decoded(PREROLL, || self.check())?;
            file.loop_from_start()?;
        }
        Ok(())
    }

    fn play(&self, time: &Timebase) -> Result<(), CaptureError> {
        // A file begins with the first picture that is ready, however long that took.
        let late = if self.files.is_empty() { gst::ClockTime::ZERO } else { time.running_time() };
        for pad in self.ends.iter().filter_map(|end| end.static_pad("src")) {
            pad.set_offset(i64::try_from(late.nseconds()).unwrap_or(0));
        }
        time.apply_from(&self.elements, late);
        self.elements.set_state(gst::State::Playing).map(|_| ()).map_err(|_| self.failed())
    }

    fn failed(&self) -> CaptureError {
        let unknown = || CaptureError::source(format!("the picture from {} does not start", self.video));
        self.check().err().unwrap_or_else(unknown)
    }

    /// Whether microphone or sound file are in it.
    pub(crate) fn sound(&self) -> bool {
        self.sound
    }

    /// What the pipelines have to say: an error ends the session, the end of a file makes it begin anew. A device that
    /// goes away is a matter of `devices`, until it has been away for too long.
    pub(crate) fn check(&self) -> Result<(), CaptureError> {
        if let Some(devices) = &self.devices {
            devices.check()?;
        }
        self.coding.supervise()?;
        let mut done = Ok(());
        let posted = pop_error(&self.bus, |message| {
            let kind = message.type_();
            if kind == gst::MessageType::SegmentDone {
                if let Some(file) = self.files.iter().find(|file| file.owns(message)).or(self.files.first()) {
                    done = done.clone().and(file.restart_segment());
                }
            } else if kind == gst::MessageType::Eos {
                done = Err(CaptureError::source(format!("{} came to its end", self.video)));
            }
        });
        match posted {
            Some(posted) => Err(device_error(&posted, &self.video, &self.audio)),
            None => done,
        }
    }
}

/// Adds the files among the sources and links them to what takes picture and sound; returns them, and what their
/// pictures go through last.
fn add_files(
    pipeline: &gst::Pipeline,
    video: &Video,
    audio: &Audio,
    coding: &Arc<VideoEncoder>,
    hear: Option<&gst::Element>,
) -> Result<(Vec<MediaFile>, Vec<gst::Element>), CaptureError> {
    let (mut files, mut ends) = (Vec::new(), Vec::new());
    let mut sound = (audio.source == AudioSource::File).then_some(Path::new(&audio.device));
    if video.source == VideoSource::File {
        let (first, last) = crate::capture::input::add_normalizer(pipeline, video)?;
        let entry = coding.input_sink()?;
        pipeline.add(&entry)?;
        last.link(&entry)?;
        ends.push(last);
        // One file for both is decoded once.
        let hear = hear.filter(|_| sound == Some(&video.device));
        sound = sound.filter(|_| hear.is_none());
        files.push(MediaFile::add(pipeline, &video.device, "video-source", Some(&first), hear)?);
    }
    if let (Some(sound), Some(hear)) = (sound, hear) {
        files.push(MediaFile::add(pipeline, sound, "audio-source", None, Some(hear))?);
    }
    Ok((files, ends))
}
