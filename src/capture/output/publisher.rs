//! The push pipeline: a thread that keeps an ingest server supplied, connects anew when the server goes away, and
//! begins each time with a keyframe. Capture goes on meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::backoff::Backoff;
pub(crate) use super::reporter::StatusReporter;
use crate::capture::audio::LevelMeter;
use crate::capture::encoder::EncoderControl;
use crate::capture::error::CaptureError;
use crate::capture::guard_link::stabilize;
use crate::capture::media::Frame;
use crate::capture::media::RateMeter;
use crate::capture::output::connect::connect;
use crate::capture::output::connection::IngestConnection;
use crate::capture::output::error::ConnectionError;
use crate::capture::output::error::ConnectionErrorKind;
use crate::capture::output::rate_adapter::RateAdapter;
use crate::capture::output::target::IngestTarget;
use crate::capture::queue::FrameQueue;
use crate::clock::Clock;
use crate::ipc::StreamStats;

/// How long the thread waits for a frame before it looks at the bus, until the stream is on air: a third of a frame at
/// 30 frames per second.
const LOOK: Duration = Duration::from_millis(10);
/// A server that takes nothing for this long is gone: twice the longest pause of a busy server, and what a viewer
/// bears.
const STALL: Duration = Duration::from_secs(8);
/// How often the guard is told how the stream does.
const STATS: Duration = Duration::from_secs(1);
/// Between two looks at a connection that is being made: nobody waits for more than this once it is.
const GLANCE: Duration = Duration::from_millis(2);
/// Frames that a server is given before it has taken one: a muxer needs both tracks, and the sound may come late.
const KNOCK: usize = 256;

/// The thread, owned. Dropping it ends it.
pub(crate) struct Publisher {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Publisher {
    /// Nothing more is sent; does not wait for it.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Begins to push `queue` to `target`.
    pub(crate) fn start(
        target: IngestTarget,
        queue: Arc<FrameQueue>,
        loudness: Option<Arc<LevelMeter>>,
        reporter: StatusReporter,
        knobs: EncoderControl,
        steer: RateAdapter,
    ) -> Result<Self, CaptureError> {
        let (stop, stopped) = channel();
        let clock = Clock::start();
        let meter = RateMeter::new(clock.now());
        let pusher = PublishLoop {
            target,
            queue,
            loudness,
            reporter,
            knobs,
            steer,
            stopped,
            clock,
            reconnects: 0,
            meter,
            told: None,
        };
        let thread = std::thread::Builder::new().name("push".to_owned()).spawn(move || pusher.run());
        let thread = thread.map_err(|error| CaptureError::internal(format!("no thread: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

struct PublishLoop {
    target: IngestTarget,
    queue: Arc<FrameQueue>,
    loudness: Option<Arc<LevelMeter>>,
    reporter: StatusReporter,
    knobs: EncoderControl,
    steer: RateAdapter,
    stopped: Receiver<()>,
    clock: Clock,
    reconnects: u32,
    meter: RateMeter,
    /// What was last said about a server out of reach.
    told: Option<String>,
}

/// It is over.
struct Over;

impl PublishLoop {
    fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let (trouble, on_air) = match connect(&self.target) {
                Ok(mut line) => match self.supply(line.as_mut()) {
                    Ok(ended) => ended,
                    Err(Over) => return,
                },
                Err(trouble) => (trouble, Duration::ZERO),
            };
            self.queue.begin_outage();
            self.ask_for_keyframe();
            let ConnectionError { kind, reason } = trouble;
            if kind == ConnectionErrorKind::Renegotiate {
                continue;
            }
            let reason = stabilize(&reason);
            if self.told.as_ref() != Some(&reason) {
                self.told = Some(reason.clone());
                self.reporter.reconnecting(reason);
            }
            self.reconnects += 1;
            backoff.was_on_air(on_air);
            if self.rest(backoff.wait(kind)).is_err() {
                return;
            }
        }
    }

    /// Waits for the next attempt.
    fn rest(&mut self, span: Duration) -> Result<(), Over> {
        let until = self.clock.now().saturating_add(span);
        loop {
            self.ask_for_keyframe();
            self.report(None);
            let left = until.duration_since(self.clock.now());
            if left.is_zero() {
                return Ok(());
            }
            self.pause(left.min(STATS))?;
        }
    }

    fn pause(&self, span: Duration) -> Result<(), Over> {
        match self.stopped.recv_timeout(span) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Over),
        }
    }

    fn ask_for_keyframe(&self) {
        if self.queue.take_keyframe_request() {
            self.knobs.request_keyframe();
        }
    }

    /// Supplies one connection with frames until it fails. Why it did, and how long the server took the stream.
    fn supply(&mut self, line: &mut dyn IngestConnection) -> Result<(ConnectionError, Duration), Over> {
        let mut given = Vec::new();
        let mut on_air = None;
        let ended = self.attend(line, &mut given, &mut on_air);
        if on_air.is_none() {
            self.queue.requeue(given);
        }
        Ok((ended?, on_air.unwrap_or_default()))
    }

    /// `on_air`: from the server's having the first frame to the last sign of it; `None` until then.
    fn attend(
        &mut self,
        line: &mut dyn IngestConnection,
        given: &mut Vec<Frame>,
        on_air: &mut Option<Duration>,
    ) -> Result<ConnectionError, Over> {
        self.steer.connected();
        let mut taken = (0, self.clock.now());
        let mut connected = false;
        let mut live_since = None;
        // The first frame of a connection is a keyframe with everything that a decoder needs.
        let mut begun = false;
        // What waits together is sent together.
        let mut more = false;
        loop {
            if !more {
                line.drive();
            }
            if !connected && line.is_connected() {
                if let Some(rtt) = line.misfit() {
                    self.target.rtt.set(Some(rtt));
                    return Ok(ConnectionError { kind: ConnectionErrorKind::Renegotiate, reason: String::new() });
                }
                connected = true;
                self.queue.end_outage();
            }
            let wanted = if connected { !line.is_full() } else { line.knocks() && given.len() < KNOCK };
            if !matches!(self.stopped.try_recv(), Err(TryRecvError::Empty)) {
                return Err(Over);
            }
            let frame = if wanted {
                match live_since {
                    _ if more => self.queue.pop(Duration::ZERO),
                    None => self.queue.pop(LOOK),
                    Some(_) if line.bundles() => self.queue.pop_batched(self.steer.patience()),
                    Some(_) => self.queue.pop(self.steer.patience()),
                }
            } else {
                if !line.wait(LOOK) {
                    self.pause(if connected { LOOK } else { GLANCE })?;
                }
                None
            };
            more = frame.is_some();
            if let Some(frame) = frame.filter(|frame| begun || frame.is_keyframe()) {
                begun = true;
                self.meter.count(&frame);
                self.steer.gave(frame.buffer.size());
                if on_air.is_none() {
                    given.push(frame.clone());
                }
                if let Err(trouble) = line.supply(frame) {
                    return Ok(trouble);
                }
            }
            self.ask_for_keyframe();
            if line.wants_keyframe() {
                self.knobs.request_keyframe();
            }
            if let Some(trouble) = line.trouble() {
                return Ok(trouble);
            }
            let (arrived, now) = (line.arrived(), self.clock.now());
            if live_since.is_some() {
                self.steer.look(now, &self.queue, line);
            } else if connected && line.has_first() {
                live_since = Some(now);
                *on_air = Some(Duration::ZERO);
                given.clear();
                line.on_air();
                self.told = None;
                self.reporter.live();
            }
            if arrived != taken.0 {
                taken = (arrived, now);
                *on_air = live_since.map(|since| now.duration_since(since));
            } else if now.duration_since(taken.1) >= STALL {
                let said = if connected { "it takes nothing any more" } else { "no answer in time" };
                return Ok(ConnectionError::unreachable(format!("{}: {said}", self.target.host())));
            }
            self.report(line.rtt());
        }
    }

    /// Tells how the stream does, each second, also while there is no connection.
    fn report(&mut self, round_trip_ms: Option<u32>) {
        let Some((fps, bitrate_kbps)) = self.meter.sample(STATS, self.clock.now()) else { return };
        if let Some(rtt) = round_trip_ms {
            self.target.rtt.set(Some(Duration::from_millis(rtt.into())));
        }
        let queue_ms = u32::try_from(self.queue.duration().mseconds()).unwrap_or(u32::MAX);
        let asked = self.steer.asked();
        self.reporter.stats(StreamStats {
            fps,
            bitrate_kbps,
            dropped_frames: self.queue.dropped_frames(),
            round_trip_ms,
            reconnects: self.reconnects,
            // What the kernel has not got rid of waits on the box too.
            queue_ms: queue_ms.max(self.steer.wait_ms()),
            target_kbps: asked.bitrate_kbps,
            height: asked.height,
            reduced: self.steer.reduces(),
            level_db: self.loudness.as_ref().and_then(|loudness| loudness.level_db()),
        });
    }
}

#[cfg(test)]
mod tests;
