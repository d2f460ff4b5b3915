//! SRT: MPEG-TS from GStreamer's muxer.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::failure::{Failure, Trouble, make};
use super::line::{Line, Pipe, Target, source};
use super::queue::{Frame, Track};

/// One connection.
pub(super) struct Srt {
    pipe: Pipe,
    video: gst_app::AppSrc,
    audio: Option<gst_app::AppSrc>,
    muxer: gst::Element,
}

/// Builds one; it connects as soon as it begins.
pub(super) fn connect(target: &Target) -> Result<Srt, Failure> {
    let muxer = make("mpegtsmux", "mux")?;
    // Seven packets of 188 bytes fill SRT's 1316.
    muxer.set_property("alignment", 7);
    // At first one track waits for the other, since the muxer has to know both before it begins.
    muxer.set_property("latency", gst::ClockTime::from_seconds(2).nseconds());
    let sink = make("srtsink", "sink")?;
    sink.set_property("uri", target.url.expose());
    if sink.has_property("auto-reconnect") {
        // Reconnecting is ours to do: with a reason, and at a keyframe.
        sink.set_property("auto-reconnect", false);
    }
    let pipe = target.pipe(sink)?;
    let video = source("video");
    pipe.pipeline.add_many([video.upcast_ref(), &muxer])?;
    video.link(&muxer)?;
    let audio = target.sound.then(|| source("audio"));
    if let Some(audio) = &audio {
        pipe.pipeline.add(audio)?;
        audio.link(&muxer)?;
    }
    muxer.link(&pipe.sink)?;
    Ok(Srt { pipe, video, audio, muxer })
}

impl Srt {
    pub(super) fn begin(self) -> Result<Box<dyn Line>, Trouble> {
        self.pipe.start()?;
        Ok(Box::new(self))
    }
}

impl Line for Srt {
    fn is_connected(&self) -> bool {
        self.rtt().is_some()
    }

    fn knocks(&self) -> bool {
        // Its sink looks at the socket, and sees that the server said no, only when it has something to send.
        true
    }

    fn supply(&mut self, frame: Frame) -> Result<(), Trouble> {
        let source = match (frame.track, &self.audio) {
            (Track::Video, _) => &self.video,
            (Track::Audio, Some(audio)) => audio,
            (Track::Audio, None) => return Ok(()),
        };
        if let Some(caps) = &frame.caps
            && source.caps().as_ref() != Some(caps)
        {
            source.set_caps(Some(caps));
        }
        self.pipe.push(source, frame.buffer)
    }

    fn is_full(&self) -> bool {
        self.video.current_level_bytes() > self.video.max_bytes()
    }

    fn on_air(&mut self) {
        // From now on no track waits for the other.
        self.muxer.set_property("latency", 0_u64);
    }

    fn passed(&self) -> u64 {
        self.pipe.passed()
    }

    fn trouble(&self) -> Option<Trouble> {
        self.pipe.trouble()
    }

    fn rtt(&self) -> Option<u32> {
        let rtt = self.pipe.figure::<f64>("rtt-ms")?;
        // A round trip is between nothing and a minute.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (rtt.is_finite() && rtt >= 0.0).then_some(rtt as u32)
    }
}
