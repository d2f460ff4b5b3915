//! A media file instead of a camera or a microphone: decoded, paced in real time, looped without a seam.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::{self, make};
use crate::sync::LockExt;

/// The decoder of one file in a pipeline.
#[derive(Debug)]
pub(crate) struct MediaFile {
    decoder: gst::Element,
    /// Gets a message when the decoder has found all streams.
    complete: Receiver<()>,
    path: PathBuf,
    /// The streams that are asked of it, and the pads that they go to.
    requested: Vec<(StreamKind, gst::Pad)>,
    /// The media types of streams for which no decoder is installed.
    undecoded: Arc<Mutex<Vec<String>>>,
}

/// A kind of stream in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamKind {
    Video,
    Audio,
}

impl StreamKind {
    const ALL: [Self; 2] = [Self::Video, Self::Audio];

    /// How its media types start.
    fn prefix(self) -> &'static str {
        match self {
            Self::Video => "video/",
            Self::Audio => "audio/",
        }
    }

    /// In messages and in the names of elements.
    fn noun(self) -> &'static str {
        match self {
            Self::Video => "picture",
            Self::Audio => "sound",
        }
    }

    /// What to do about a file that has no such stream.
    fn advice(self) -> &'static str {
        match self {
            Self::Video => "name a file with a picture in [video] device",
            Self::Audio => "name a file with sound in [audio] device, or set [audio] source = \"none\"",
        }
    }
}

/// The common name of a media type that needs a decoder.
fn codec_name(media_type: &str) -> &str {
    match media_type {
        "video/x-h264" => "H.264",
        "video/x-h265" => "H.265 (HEVC)",
        "video/x-av1" => "AV1",
        "video/x-vp9" => "VP9",
        "audio/mpeg" => "AAC or MP3",
        other => other.rsplit(['/', '-']).next().unwrap_or(other),
    }
}

fn media_type(caps: &gst::CapsRef) -> Option<String> {
    Some(caps.structure(0)?.name().to_string())
}

/// The media type in the third argument of a signal of `decodebin`.
fn signal_media_type(values: &[gst::glib::Value]) -> Option<String> {
    let caps = values.get(2)?.get::<gst::Caps>().ok()?;
    media_type(&caps)
}

impl MediaFile {
    /// Adds a decoder for `path`. Its video goes to `video` and its audio to `audio`, both in real time.
    pub(crate) fn add(
        pipeline: &gst::Pipeline,
        path: &Path,
        name: &str,
        video: Option<&gst::Element>,
        audio: Option<&gst::Element>,
    ) -> Result<Self, CaptureError> {
        let decoder = add_decoder(pipeline, path, name)?;
        let mut requested = Vec::new();
        for (kind, next) in StreamKind::ALL.into_iter().zip([video, audio]) {
            if let Some(next) = next {
                requested.push((kind, add_pacer(pipeline, name, kind, next)?));
            }
        }
        let sinks = requested.clone();
        decoder.connect_pad_added(move |_, pad| {
            let Some(found) = pad.current_caps().as_deref().and_then(media_type) else { return };
            let sink_for = sinks.iter().find(|(kind, sink)| found.starts_with(kind.prefix()) && !sink.is_linked());
            if let Some((_, sink)) = sink_for {
                let _ = pad.link(sink);
            }
        });
        let (all_found, complete) = channel();
        decoder.connect_no_more_pads(move |_| {
            let _ = all_found.send(());
        });
        let undecoded = Arc::new(Mutex::new(Vec::new()));
        let unknown = undecoded.clone();
        decoder.connect("unknown-type", false, move |values| {
            unknown.lock_unpoisoned().extend(signal_media_type(values));
            None
        });
        Ok(Self { decoder, complete, path: path.to_owned(), requested, undecoded })
    }

    /// Waits until all streams are found, for at most `timeout`. `check` reports errors of the pipeline meanwhile.
    pub(crate) fn wait_until_decoded(
        &self,
        timeout: Duration,
        check: impl Fn() -> Result<(), CaptureError>,
    ) -> Result<(), CaptureError> {
        let step = Duration::from_millis(20);
        for _ in 0..timeout.as_millis() / step.as_millis() {
            if self.complete.recv_timeout(step).is_ok() {
                return self.check_streams();
            }
            if let Err(error) = check() {
                // A missing decoder explains more than what fails because of it.
                return Err(self.missing_decoder().unwrap_or(error));
            }
        }
        let (path, timeout) = (self.path.display(), timeout.as_secs());
        Err(CaptureError::source(format!("{path} cannot be decoded within {timeout} s: try it with gst-play-1.0")))
    }

    /// Whether all requested streams were found. Otherwise a server would be blamed for what is never sent.
    fn check_streams(&self) -> Result<(), CaptureError> {
        let Some((kind, _)) = self.requested.iter().find(|(_, sink)| !sink.is_linked()) else { return Ok(()) };
        let (path, noun, advice) = (self.path.display(), kind.noun(), kind.advice());
        let lacks = || CaptureError::source(format!("{path} has no {noun} in it: {advice}"));
        Err(self.missing_decoder().unwrap_or_else(lacks))
    }

    /// A requested stream is in the file, and no decoder for it is installed.
    fn missing_decoder(&self) -> Option<CaptureError> {
        let undecoded = self.undecoded.lock_unpoisoned();
        let mut missing = self.requested.iter().filter(|(_, sink)| !sink.is_linked()).map(|(kind, _)| *kind);
        let (kind, found) =
            missing.find_map(|kind| Some((kind, undecoded.iter().find(|found| found.starts_with(kind.prefix()))?)))?;
        let (path, noun, codec) = (self.path.display(), kind.noun(), codec_name(found));
        Some(CaptureError::source(format!(
            "{path}: its {noun} is {codec}, and no decoder for that is installed: install gstreamer1.0-libav, or make \
             the file H.264 and AAC"
        )))
    }

    /// Makes the file loop. To be called once its first picture is decoded.
    pub(crate) fn loop_from_start(&self) -> Result<(), CaptureError> {
        self.seek(gst::SeekFlags::FLUSH | gst::SeekFlags::SEGMENT | gst::SeekFlags::ACCURATE)
    }

    /// Goes on at the start of the file, whose end was reached. Running time goes on too.
    pub(crate) fn restart_segment(&self) -> Result<(), CaptureError> {
        self.seek(gst::SeekFlags::SEGMENT | gst::SeekFlags::ACCURATE)
    }

    fn seek(&self, flags: gst::SeekFlags) -> Result<(), CaptureError> {
        let end = self.decoder.query_duration::<gst::ClockTime>();
        let stop = if end.is_some() { gst::SeekType::Set } else { gst::SeekType::None };
        let location = self.path.display();
        self.decoder.seek(1.0, flags, gst::SeekType::Set, gst::ClockTime::ZERO, stop, end).map_err(|_| {
            CaptureError::source(format!(
                "{location} cannot be played from its beginning again; make it an .mp4 with an index"
            ))
        })
    }

    /// Whether `message` is from this file's decoder.
    pub(crate) fn owns(&self, message: &gst::Message) -> bool {
        message
            .src()
            .is_some_and(|src| src.has_as_ancestor(&self.decoder) || src == self.decoder.upcast_ref::<gst::Object>())
    }
}

/// Adds what reads `path` and decodes it, with the plugins that its media types need.
fn add_decoder(pipeline: &gst::Pipeline, path: &Path, name: &str) -> Result<gst::Element, CaptureError> {
    let source = make("filesrc", &format!("{name}-file"))?;
    source.set_property("location", path.to_string_lossy().as_ref());
    plugins::load_for_media_type(plugins::ANY_MEDIA_TYPE);
    let decoder = make("decodebin", name)?;
    // Runs in the thread that reads the file, while others connect to the server and select the encoder.
    decoder.connect("autoplug-continue", false, |values| {
        if let Some(found) = signal_media_type(values) {
            plugins::load_for_media_type(&found);
        }
        Some(true.to_value())
    });
    pipeline.add_many([&source, &decoder])?;
    source.link(&decoder)?;
    Ok(decoder)
}

/// Adds what paces a decoded stream, ahead of `next`. Returns the pad that the decoder has to link to.
fn add_pacer(
    pipeline: &gst::Pipeline,
    name: &str,
    kind: StreamKind,
    next: &gst::Element,
) -> Result<gst::Pad, CaptureError> {
    let noun = kind.noun();
    // The decoder runs ahead by what this holds. Without it one of the two streams would wait for the other.
    let queue = make("queue", &format!("{name}-{noun}-queue"))?;
    let pacer = make("clocksync", &format!("{name}-{noun}-pacer"))?;
    // Joins the segments of all loops into one with running time, because an encoder drains at each new one.
    let segment_joiner = make("identity", &format!("{name}-{noun}-rounds"))?;
    segment_joiner.set_property("single-segment", true);
    pipeline.add_many([&queue, &pacer, &segment_joiner])?;
    gst::Element::link_many([&queue, &pacer, &segment_joiner, next])?;
    queue.static_pad("sink").ok_or_else(|| CaptureError::internal("a queue without a sink pad"))
}
