//! A media file in place of a camera or a microphone: decoded, paced in real time, looped without a seam.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use super::failure::Failure;
use super::plugins::{self, make};

/// A decoder for one file in `pipeline`, and where its picture and sound go.
#[derive(Debug)]
pub(super) struct File {
    decoder: gst::Element,
    source: gst::Element,
    complete: Receiver<()>,
}

impl File {
    /// Adds a decoder for `path`; its picture goes to `video`, its sound to `audio`, each through a pacer.
    pub(super) fn add(
        pipeline: &gst::Pipeline,
        path: &Path,
        name: &str,
        video: Option<&gst::Element>,
        audio: Option<&gst::Element>,
    ) -> Result<Self, Failure> {
        let source = make("filesrc", &format!("{name}-file"))?;
        source.set_property("location", path.to_string_lossy().as_ref());
        plugins::load_all(plugins::OF_FILES);
        let decoder = make("decodebin", name)?;
        pipeline.add_many([&source, &decoder])?;
        source.link(&decoder)?;
        let mut wanted = Vec::new();
        for (kind, next) in [("video", video), ("audio", audio)] {
            let Some(next) = next else { continue };
            // Decoding runs ahead by what this holds; without it one of the two would wait for the other.
            let queue = make("queue", &format!("{name}-{kind}-queue"))?;
            let pacer = make("clocksync", &format!("{name}-{kind}-pacer"))?;
            // One segment with running time in it for all rounds: encoders would drain at each new one.
            let rounds = make("identity", &format!("{name}-{kind}-rounds"))?;
            rounds.set_property("single-segment", true);
            pipeline.add_many([&queue, &pacer, &rounds])?;
            gst::Element::link_many([&queue, &pacer, &rounds, next])?;
            let pad = queue.static_pad("sink").ok_or_else(|| Failure::internal("a queue without a sink pad"))?;
            wanted.push((format!("{kind}/"), pad));
        }
        decoder.connect_pad_added(move |_, pad| {
            let Some(kind) = pad.current_caps().and_then(|caps| Some(caps.structure(0)?.name().to_string())) else {
                return;
            };
            let place = wanted.iter().find(|(prefix, sink)| kind.starts_with(prefix.as_str()) && !sink.is_linked());
            if let Some((_, sink)) = place {
                let _ = pad.link(sink);
            }
        });
        let (all_found, complete) = channel();
        decoder.connect_no_more_pads(move |_| {
            let _ = all_found.send(());
        });
        Ok(Self { decoder, source, complete })
    }

    /// Waits until picture and sound are found in it; `check` tells what went wrong meanwhile.
    pub(super) fn wait_until_decoded(
        &self,
        patience: Duration,
        check: impl Fn() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let step = Duration::from_millis(20);
        for _ in 0..patience.as_millis() / step.as_millis() {
            if self.complete.recv_timeout(step).is_ok() {
                return Ok(());
            }
            check()?;
        }
        Err(Failure::source("the media file cannot be decoded in time"))
    }

    /// Makes the file begin anew each time it ends; call once it is decoded as far as its first picture.
    pub(super) fn loop_from_start(&self) -> Result<(), Failure> {
        self.seek(gst::SeekFlags::FLUSH | gst::SeekFlags::SEGMENT | gst::SeekFlags::ACCURATE)
    }

    /// The file came to its end: goes on at its beginning, with running time going on too.
    pub(super) fn again(&self) -> Result<(), Failure> {
        self.seek(gst::SeekFlags::SEGMENT | gst::SeekFlags::ACCURATE)
    }

    fn seek(&self, flags: gst::SeekFlags) -> Result<(), Failure> {
        let end = self.decoder.query_duration::<gst::ClockTime>();
        let stop = if end.is_some() { gst::SeekType::Set } else { gst::SeekType::None };
        let location = self.source.property::<Option<String>>("location").unwrap_or_default();
        self.decoder.seek(1.0, flags, gst::SeekType::Set, gst::ClockTime::ZERO, stop, end).map_err(|_| {
            Failure::source(format!(
                "{location} cannot be played from its beginning again; make it an .mp4 with an index"
            ))
        })
    }

    /// Whether `message` came from within this file's decoder.
    pub(super) fn sent(&self, message: &gst::Message) -> bool {
        message
            .src()
            .is_some_and(|src| src.has_as_ancestor(&self.decoder) || src == self.decoder.upcast_ref::<gst::Object>())
    }
}
