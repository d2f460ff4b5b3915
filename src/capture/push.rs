//! The push pipeline: a thread that keeps the ingest server supplied, builds the pipeline anew when the server goes
//! away, and begins each time with a keyframe. Capture goes on meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::backoff::Backoff;
use super::door::Teller;
use super::failure::{Failure, error_on, make, of_push};
use super::pipeline::Timebase;
use super::queue::{Frame, Queue, Track};
use crate::clock::Clock;
use crate::config::{Ingest, IngestScheme, Secret};
use crate::consent::Time;
use crate::ipc::{FromCapture, StreamStats};

/// How long the thread waits for a frame before it looks at the bus: a third of a frame at 30 frames per second.
const LOOK: Duration = Duration::from_millis(10);
/// A server that takes nothing for this long is gone: twice the longest pause of a busy server, and what a viewer bears.
const STALL: Duration = Duration::from_secs(8);
/// A connection that held this long was good: the next wait is the shortest again.
const GOOD: Duration = Duration::from_secs(10);
/// Buffers that pass before one of them can be a frame: header, metadata and the two codecs' configurations.
const HEADERS: u64 = 5;

/// The thread, owned. Dropping it ends it.
pub(super) struct Push {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Push {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Push {
    /// Begins to push `queue` to the server.
    pub(super) fn start(
        ingest: &Ingest,
        url: Secret,
        queue: Arc<Queue>,
        time: Timebase,
        sound: bool,
        teller: Teller,
    ) -> Result<Self, Failure> {
        let (stop, stopped) = channel();
        let host = format!("{}:{}", ingest.host, ingest.port);
        let hide = hidden(url.expose());
        let pusher = Pusher {
            scheme: ingest.scheme,
            url,
            host,
            hide,
            queue,
            time,
            sound,
            teller,
            stopped,
            clock: Clock::start(),
            reconnects: 0,
        };
        let thread = std::thread::Builder::new().name("push".to_owned()).spawn(move || pusher.run());
        let thread = thread.map_err(|error| Failure::internal(format!("no thread: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
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

struct Pusher {
    scheme: IngestScheme,
    url: Secret,
    host: String,
    hide: Vec<String>,
    queue: Arc<Queue>,
    time: Timebase,
    sound: bool,
    teller: Teller,
    stopped: Receiver<()>,
    clock: Clock,
    reconnects: u32,
}

/// One connection's pipeline.
struct Line {
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    video: gst_app::AppSrc,
    audio: Option<gst_app::AppSrc>,
    sink: gst::Element,
    /// Buffers that reached the sink; it blocks until the server has taken the stream.
    passed: Arc<AtomicU64>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Line {
    fn supply(&self, frame: Frame) -> Result<(), gst::FlowError> {
        let source = match frame.track {
            Track::Video => &self.video,
            Track::Audio => match &self.audio {
                Some(audio) => audio,
                None => return Ok(()),
            },
        };
        if let Some(caps) = &frame.caps
            && source.caps().as_ref() != Some(caps)
        {
            source.set_caps(Some(caps));
        }
        source.push_buffer(frame.buffer).map(|_| ())
    }

    /// Bytes that wait in front of the muxer.
    fn waiting(&self) -> u64 {
        self.video.current_level_bytes()
    }

    /// Round-trip time in milliseconds, where the protocol tells.
    fn rtt(&self) -> Option<u32> {
        let stats = self.sink.property::<Option<gst::Structure>>("stats")?;
        let rtt = stats.get::<f64>("rtt-ms").ok()?;
        // A round trip is between nothing and a minute.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (rtt.is_finite() && rtt >= 0.0).then_some(rtt as u32)
    }
}

fn source(name: &str) -> gst_app::AppSrc {
    let source = gst_app::AppSrc::builder().name(name).format(gst::Format::Time).build();
    // What stands between the queue and a server that does not read; the queue behind it is bounded by itself.
    source.set_max_bytes(256 * 1024);
    source.set_block(false);
    source
}

impl Pusher {
    fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let begun = self.clock.now();
            let reason = match self.line() {
                Ok(line) => match self.supply(&line) {
                    Some(reason) => reason,
                    None => return,
                },
                Err(failure) => failure.message,
            };
            self.teller.tell(FromCapture::Reconnecting { reason });
            self.reconnects += 1;
            if self.clock.now().since(begun) >= GOOD {
                backoff.reset();
            }
            // While nobody takes them the queue keeps the newest frames only.
            if self.wait(backoff.wait()) {
                return;
            }
            self.queue.trim_to_keyframe();
        }
    }

    /// Waits; whether it is over.
    fn wait(&self, span: Duration) -> bool {
        !matches!(self.stopped.recv_timeout(span), Err(RecvTimeoutError::Timeout))
    }

    /// Builds the pipeline for one connection.
    fn line(&self) -> Result<Line, Failure> {
        let pipeline = gst::Pipeline::with_name("push");
        let bus = pipeline.bus().ok_or_else(|| Failure::internal("a pipeline without a bus"))?;
        let (muxer, sink) = match self.scheme {
            IngestScheme::Rtmp | IngestScheme::Rtmps => {
                let muxer = make("flvmux", "mux")?;
                muxer.set_property("streamable", true);
                let sink = make("rtmp2sink", "sink")?;
                sink.set_property("location", self.url.expose());
                (muxer, sink)
            }
            IngestScheme::Srt => {
                let muxer = make("mpegtsmux", "mux")?;
                // Seven packets of 188 bytes fill SRT's 1316.
                muxer.set_property("alignment", 7);
                let sink = make("srtsink", "sink")?;
                sink.set_property("uri", self.url.expose());
                if sink.has_property("auto-reconnect") {
                    // Reconnecting is ours to do: with a reason, and at a keyframe.
                    sink.set_property("auto-reconnect", false);
                }
                (muxer, sink)
            }
        };
        sink.set_property("sync", false);
        sink.set_property("async", false);
        let video = source("video");
        pipeline.add_many([video.upcast_ref(), &muxer, &sink])?;
        let pads = match self.scheme {
            IngestScheme::Rtmp | IngestScheme::Rtmps => [Some("video"), Some("audio")],
            IngestScheme::Srt => [None, None],
        };
        video.link_pads(None, &muxer, pads[0])?;
        let audio = if self.sound {
            let audio = source("audio");
            pipeline.add(&audio)?;
            audio.link_pads(None, &muxer, pads[1])?;
            Some(audio)
        } else {
            None
        };
        muxer.link(&sink)?;
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
        let line = Line { pipeline, bus, video, audio, sink, passed };
        if line.pipeline.set_state(gst::State::Playing).is_err() {
            let posted = error_on(&line.bus, |_| {});
            let message = posted.map_or_else(
                || format!("{}: the connection cannot be made", self.host),
                |posted| of_push(&posted, &self.host, &self.hide),
            );
            return Err(Failure::source(message));
        }
        Ok(line)
    }

    /// Supplies one connection with frames until it fails. `None`: it is over.
    fn supply(&self, line: &Line) -> Option<String> {
        let mut meter = Meter::new(self.clock.now());
        let mut on_air = false;
        let mut taken = (0, self.clock.now());
        // The first frame of a connection is a keyframe with everything that a decoder needs.
        let mut begun = false;
        loop {
            if !matches!(self.stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
                return None;
            }
            let frame = if line.waiting() > line.video.max_bytes() { self.pause() } else { self.queue.take(LOOK) };
            if let Some(frame) = frame.filter(|frame| begun || frame.is_keyframe()) {
                begun = true;
                meter.count(&frame);
                if let Err(error) = line.supply(frame) {
                    let posted = error_on(&line.bus, |_| {});
                    return Some(posted.map_or_else(
                        || format!("{}: {error}", self.host),
                        |posted| of_push(&posted, &self.host, &self.hide),
                    ));
                }
            }
            if let Some(posted) = error_on(&line.bus, |_| {}) {
                return Some(of_push(&posted, &self.host, &self.hide));
            }
            let (passed, now) = (line.passed.load(Ordering::Relaxed), self.clock.now());
            if passed != taken.0 {
                taken = (passed, now);
                if !on_air && passed > HEADERS {
                    on_air = true;
                    self.teller.tell(FromCapture::Live {});
                }
            } else if now.since(taken.1) >= STALL {
                return Some(format!("{}: it takes nothing any more", self.host));
            }
            if let Some((fps, bitrate_kbps)) = meter.second(now) {
                let (dropped_frames, rtt_ms) = (self.queue.dropped(), line.rtt());
                let reconnects = self.reconnects;
                self.teller.tell(FromCapture::Stats(StreamStats {
                    fps,
                    bitrate_kbps,
                    dropped_frames,
                    rtt_ms,
                    reconnects,
                }));
            }
        }
    }

    /// The server is behind: frames wait in the queue, which drops what gets too old.
    fn pause(&self) -> Option<Frame> {
        let _ = self.wait(LOOK);
        None
    }
}

/// Frames and bytes of the last second.
struct Meter {
    since: Time,
    frames: u16,
    bytes: usize,
}

impl Meter {
    fn new(now: Time) -> Self {
        Self { since: now, frames: 0, bytes: 0 }
    }

    fn count(&mut self, frame: &Frame) {
        self.frames += u16::from(frame.track == Track::Video);
        self.bytes += frame.buffer.size();
    }

    /// Frames per second and kbit/s, once a second.
    fn second(&mut self, now: Time) -> Option<(f32, u32)> {
        let span = now.since(self.since);
        if span < Duration::from_secs(1) {
            return None;
        }
        let kbps = (self.bytes * 8) as u128 / span.as_millis().max(1);
        let fps = f32::from(self.frames) / span.as_secs_f32();
        *self = Self::new(now);
        Some((fps, u32::try_from(kbps).unwrap_or(u32::MAX)))
    }
}
