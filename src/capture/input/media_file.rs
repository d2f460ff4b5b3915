//! A media file in place of a camera or a microphone: decoded, paced in real time, looped without a seam.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::{self, make};

/// A decoder for one file in `pipeline`, and where its picture and sound go.
#[derive(Debug)]
pub(crate) struct MediaFile {
    decoder: gst::Element,
    complete: Receiver<()>,
    path: PathBuf,
    /// What was asked of it, and where it goes.
    requested: Vec<(StreamKind, gst::Pad)>,
    /// Streams in it for which no decoder is installed, by their media types.
    undecoded: Arc<Mutex<Vec<String>>>,
}

/// What a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamKind {
    Video,
    Audio,
}

impl StreamKind {
    const ALL: [Self; 2] = [Self::Video, Self::Audio];

    /// In front of GStreamer's media types.
    fn prefix(self) -> &'static str {
        match self {
            Self::Video => "video/",
            Self::Audio => "audio/",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Video => "picture",
            Self::Audio => "sound",
        }
    }

    /// What to do about a file that has none of it.
    fn advice(self) -> &'static str {
        match self {
            Self::Video => "name a file with a picture in [video] device",
            Self::Audio => "name a file with sound in [audio] device, or set [audio] source = \"none\"",
        }
    }
}

/// What people call a media type that needs a decoder.
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

impl MediaFile {
    /// Adds a decoder for `path`; its picture goes to `video`, its sound to `audio`, each through a pacer.
    pub(crate) fn add(
        pipeline: &gst::Pipeline,
        path: &Path,
        name: &str,
        video: Option<&gst::Element>,
        audio: Option<&gst::Element>,
    ) -> Result<Self, CaptureError> {
        let source = make("filesrc", &format!("{name}-file"))?;
        source.set_property("location", path.to_string_lossy().as_ref());
        plugins::load_for_media_type(plugins::ANY_MEDIA_TYPE);
        let decoder = make("decodebin", name)?;
        // In the thread that reads the file, while others call the server and make the encoder.
        decoder.connect("autoplug-continue", false, |values| {
            let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
            if let Some(found) = caps.as_deref().and_then(media_type) {
                plugins::load_for_media_type(&found);
            }
            Some(true.to_value())
        });
        pipeline.add_many([&source, &decoder])?;
        source.link(&decoder)?;
        let mut requested = Vec::new();
        for (kind, next) in StreamKind::ALL.into_iter().zip([video, audio]) {
            let Some(next) = next else { continue };
            let noun = kind.noun();
            // Decoding runs ahead by what this holds; without it one of the two would wait for the other.
            let queue = make("queue", &format!("{name}-{noun}-queue"))?;
            let pacer = make("clocksync", &format!("{name}-{noun}-pacer"))?;
            // One segment with running time in it for all rounds: encoders would drain at each new one.
            let segment_joiner = make("identity", &format!("{name}-{noun}-rounds"))?;
            segment_joiner.set_property("single-segment", true);
            pipeline.add_many([&queue, &pacer, &segment_joiner])?;
            gst::Element::link_many([&queue, &pacer, &segment_joiner, next])?;
            let pad = queue.static_pad("sink").ok_or_else(|| CaptureError::internal("a queue without a sink pad"))?;
            requested.push((kind, pad));
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
            let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
            unknown.lock().unwrap_or_else(PoisonError::into_inner).extend(caps.as_deref().and_then(media_type));
            None
        });
        Ok(Self { decoder, complete, path: path.to_owned(), requested, undecoded })
    }

    /// Waits until picture and sound are found in it; `check` tells what went wrong meanwhile.
    pub(crate) fn wait_until_decoded(
        &self,
        patience: Duration,
        check: impl Fn() -> Result<(), CaptureError>,
    ) -> Result<(), CaptureError> {
        let step = Duration::from_millis(20);
        for _ in 0..patience.as_millis() / step.as_millis() {
            if self.complete.recv_timeout(step).is_ok() {
                return self.check_streams();
            }
            if let Err(failure) = check() {
                // What it lacks says more than what went wrong behind it.
                return self.missing_decoder().map_or(Err(failure), Err);
            }
        }
        let (path, patience) = (self.path.display(), patience.as_secs());
        Err(CaptureError::source(format!("{path} cannot be decoded within {patience} s: try it with gst-play-1.0")))
    }

    /// Whether all is in it that was asked for. A server would be blamed for what never comes.
    fn check_streams(&self) -> Result<(), CaptureError> {
        let Some((kind, _)) = self.requested.iter().find(|(_, sink)| !sink.is_linked()) else { return Ok(()) };
        let (path, noun, advice) = (self.path.display(), kind.noun(), kind.advice());
        let lacks = || CaptureError::source(format!("{path} has no {noun} in it: {advice}"));
        Err(self.missing_decoder().unwrap_or_else(lacks))
    }

    /// What was asked for is in it, and nothing is installed that can read it.
    fn missing_decoder(&self) -> Option<CaptureError> {
        let undecoded = self.undecoded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = self.requested.iter().filter(|(_, sink)| !sink.is_linked()).map(|(kind, _)| *kind);
        let (kind, found) =
            missing.find_map(|kind| Some((kind, undecoded.iter().find(|found| found.starts_with(kind.prefix()))?)))?;
        let (path, noun, codec) = (self.path.display(), kind.noun(), codec_name(found));
        Some(CaptureError::source(format!(
            "{path}: its {noun} is {codec}, and no decoder for that is installed: install gstreamer1.0-libav, or make the \
             file H.264 and AAC"
        )))
    }

    /// Makes the file begin anew each time it ends; call once it is decoded as far as its first picture.
    pub(crate) fn loop_from_start(&self) -> Result<(), CaptureError> {
        self.seek(gst::SeekFlags::FLUSH | gst::SeekFlags::SEGMENT | gst::SeekFlags::ACCURATE)
    }

    /// The file came to its end: goes on at its beginning, with running time going on too.
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

    /// Whether `message` came from within this file's decoder.
    pub(crate) fn owns(&self, message: &gst::Message) -> bool {
        message
            .src()
            .is_some_and(|src| src.has_as_ancestor(&self.decoder) || src == self.decoder.upcast_ref::<gst::Object>())
    }
}
