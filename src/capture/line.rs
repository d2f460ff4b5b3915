//! One connection to the ingest server: a pipeline of its own, on capture's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::failure::{Failure, error_on, make, of_push};
use super::flv::Flv;
use super::pipeline::Timebase;
use super::queue::{Frame, Track};
use crate::config::{Ingest, IngestScheme, Secret};

/// Where the stream goes, and what it is made of.
pub(super) struct Target {
    scheme: IngestScheme,
    url: Secret,
    /// Host and port, for messages.
    pub(super) host: String,
    hide: Vec<String>,
    sound: bool,
    time: Timebase,
}

/// The parts of a URL that are nobody's business: what stands behind the host, and who.
fn hidden(url: &str) -> Vec<String> {
    let mut hide = vec![url.to_owned()];
    if let Ok(url) = url::Url::parse(url) {
        hide.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
        hide.extend(url.query().map(str::to_owned));
        hide.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        hide.extend(url.password().map(str::to_owned));
    }
    // One or two letters hide nothing and would eat words.
    hide.retain(|part| part.len() > 2);
    hide.sort_by_key(|part| std::cmp::Reverse(part.len()));
    hide
}

impl Target {
    /// `url` is the ingest's with its secrets in place.
    pub(super) fn new(ingest: &Ingest, url: Secret, sound: bool, time: Timebase) -> Self {
        let host = format!("{}:{}", ingest.host, ingest.port);
        Self { scheme: ingest.scheme, hide: hidden(url.expose()), url, host, sound, time }
    }

    /// Builds the pipeline for one connection.
    pub(super) fn connect(&self) -> Result<Line, Failure> {
        let pipeline = gst::Pipeline::with_name("push");
        let bus = pipeline.bus().ok_or_else(|| Failure::internal("a pipeline without a bus"))?;
        let (feed, sink) = match self.scheme {
            IngestScheme::Rtmp | IngestScheme::Rtmps => self.tags(&pipeline)?,
            IngestScheme::Srt => self.streams(&pipeline)?,
        };
        sink.set_property("sync", false);
        sink.set_property("async", false);
        let passed = Arc::new(AtomicU64::new(0));
        let counter = passed.clone();
        if let Some(pad) = sink.static_pad("sink") {
            pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
                counter.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
        }
        if let Some(clock) = &self.time.clock {
            pipeline.use_clock(Some(clock));
        }
        // Capture's time goes on through every connection: no gap and no step back at the server.
        pipeline.set_start_time(gst::ClockTime::NONE);
        if let Some(base) = self.time.base {
            pipeline.set_base_time(base);
        }
        let (host, hide) = (self.host.clone(), self.hide.clone());
        let line = Line { pipeline, bus, feed, sink, passed, host, hide };
        if line.pipeline.set_state(gst::State::Playing).is_err() {
            let unknown = || format!("{}: the connection cannot be made", self.host);
            return Err(Failure::source(line.error().unwrap_or_else(unknown)));
        }
        Ok(line)
    }

    /// RTMP: tags go straight into the sink.
    fn tags(&self, pipeline: &gst::Pipeline) -> Result<(Feed, gst::Element), Failure> {
        let sink = make("rtmp2sink", "sink")?;
        sink.set_property("location", self.url.expose());
        let source = source("tags");
        source.set_caps(Some(&gst::Caps::new_empty_simple("video/x-flv")));
        pipeline.add_many([source.upcast_ref(), &sink])?;
        source.link(&sink)?;
        Ok((Feed::Tags { source, flv: Flv::new(self.sound) }, sink))
    }

    /// SRT: MPEG-TS.
    fn streams(&self, pipeline: &gst::Pipeline) -> Result<(Feed, gst::Element), Failure> {
        let muxer = make("mpegtsmux", "mux")?;
        // Seven packets of 188 bytes fill SRT's 1316.
        muxer.set_property("alignment", 7);
        // At first one track waits for the other, since the muxer has to know both before it begins.
        muxer.set_property("latency", gst::ClockTime::from_seconds(2).nseconds());
        let sink = make("srtsink", "sink")?;
        sink.set_property("uri", self.url.expose());
        if sink.has_property("auto-reconnect") {
            // Reconnecting is ours to do: with a reason, and at a keyframe.
            sink.set_property("auto-reconnect", false);
        }
        let video = source("video");
        pipeline.add_many([video.upcast_ref(), &muxer, &sink])?;
        video.link(&muxer)?;
        let audio = self.sound.then(|| source("audio"));
        if let Some(audio) = &audio {
            pipeline.add(audio)?;
            audio.link(&muxer)?;
        }
        muxer.link(&sink)?;
        Ok((Feed::Streams { video, audio, muxer }, sink))
    }
}

fn source(name: &str) -> gst_app::AppSrc {
    let source = gst_app::AppSrc::builder().name(name).format(gst::Format::Time).build();
    // What stands between the queue and a server that does not read; the queue behind it is bounded by itself.
    source.set_max_bytes(256 * 1024);
    source.set_block(false);
    // Muxers wait for what is late only where their sources are live.
    source.set_is_live(true);
    source
}

/// One connection's pipeline.
pub(super) struct Line {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    feed: Feed,
    sink: gst::Element,
    /// Buffers that reached the sink; it blocks until the server has taken the stream.
    passed: Arc<AtomicU64>,
    host: String,
    hide: Vec<String>,
}

/// How frames reach the sink.
enum Feed {
    /// As FLV tags (RTMP), in the order in which they come.
    Tags { source: gst_app::AppSrc, flv: Flv },
    /// Through GStreamer's muxer for MPEG-TS (SRT).
    Streams { video: gst_app::AppSrc, audio: Option<gst_app::AppSrc>, muxer: gst::Element },
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Line {
    pub(super) fn supply(&mut self, frame: Frame) -> Result<(), gst::FlowError> {
        let source = match (&mut self.feed, frame.track) {
            (Feed::Tags { source, flv }, _) => {
                return flv.tags(&frame).into_iter().try_for_each(|tag| source.push_buffer(tag).map(|_| ()));
            }
            (Feed::Streams { video, .. }, Track::Video) => video,
            (Feed::Streams { audio: Some(audio), .. }, Track::Audio) => audio,
            (Feed::Streams { audio: None, .. }, Track::Audio) => return Ok(()),
        };
        if let Some(caps) = &frame.caps
            && source.caps().as_ref() != Some(caps)
        {
            source.set_caps(Some(caps));
        }
        source.push_buffer(frame.buffer).map(|_| ())
    }

    /// More waits in front of the sink than should.
    pub(super) fn is_full(&self) -> bool {
        let (Feed::Tags { source, .. } | Feed::Streams { video: source, .. }) = &self.feed;
        source.current_level_bytes() > source.max_bytes()
    }

    /// The server has the stream: from now on no track waits for the other.
    pub(super) fn on_air(&self) {
        match &self.feed {
            Feed::Tags { .. } => {}
            Feed::Streams { muxer, .. } => muxer.set_property("latency", 0_u64),
        }
    }

    /// How many buffers have reached the sink.
    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// What went wrong, if something did.
    pub(super) fn error(&self) -> Option<String> {
        error_on(&self.bus, |_| {}).map(|posted| of_push(&posted, &self.host, &self.hide))
    }

    /// Round-trip time in milliseconds, where the protocol tells.
    pub(super) fn rtt(&self) -> Option<u32> {
        let stats = self.sink.property::<Option<gst::Structure>>("stats")?;
        let rtt = stats.get::<f64>("rtt-ms").ok()?;
        // A round trip is between nothing and a minute.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (rtt.is_finite() && rtt >= 0.0).then_some(rtt as u32)
    }
}
