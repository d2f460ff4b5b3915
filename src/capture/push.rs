//! The push pipeline: a thread that keeps the ingest server supplied, builds the pipeline anew when the server goes
//! away, and begins each time with a keyframe. Capture goes on meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::backoff::Backoff;
use super::door::Teller;
use super::failure::Failure;
use super::line::{Line, Target};
use super::meter::Meter;
use super::queue::{Frame, Queue};
use crate::clock::Clock;
use crate::ipc::{FromCapture, StreamStats};

/// How long the thread waits for a frame before it looks at the bus: a third of a frame at 30 frames per second.
const LOOK: Duration = Duration::from_millis(10);
/// A server that takes nothing for this long is gone: twice the longest pause of a busy server, and what a viewer bears.
const STALL: Duration = Duration::from_secs(8);
/// A connection that held this long was good: the next wait is the shortest again.
const GOOD: Duration = Duration::from_secs(10);
/// How often the guard is told how the stream does.
const STATS: Duration = Duration::from_secs(1);
/// Buffers that pass before one of them is a frame: metadata and the codecs' configurations.
const HEADERS: u64 = 3;

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
    /// Begins to push `queue` to `target`.
    pub(super) fn start(target: Target, queue: Arc<Queue>, teller: Teller) -> Result<Self, Failure> {
        let (stop, stopped) = channel();
        let pusher = Pusher { target, queue, teller, stopped, clock: Clock::start(), reconnects: 0 };
        let thread = std::thread::Builder::new().name("push".to_owned()).spawn(move || pusher.run());
        let thread = thread.map_err(|error| Failure::internal(format!("no thread: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

struct Pusher {
    target: Target,
    queue: Arc<Queue>,
    teller: Teller,
    stopped: Receiver<()>,
    clock: Clock,
    reconnects: u32,
}

impl Pusher {
    fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let begun = self.clock.now();
            let reason = match self.target.connect() {
                Ok(mut line) => match self.supply(&mut line) {
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

    /// Supplies one connection with frames until it fails. `None`: it is over.
    fn supply(&self, line: &mut Line) -> Option<String> {
        let mut meter = Meter::new(self.clock.now());
        let mut on_air = false;
        let mut taken = (0, self.clock.now());
        // The first frame of a connection is a keyframe with everything that a decoder needs.
        let mut begun = false;
        loop {
            if !matches!(self.stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
                return None;
            }
            let frame = if line.is_full() { self.pause() } else { self.queue.take(LOOK) };
            if let Some(frame) = frame.filter(|frame| begun || frame.is_keyframe()) {
                begun = true;
                meter.count(&frame);
                if let Err(error) = line.supply(frame) {
                    return Some(line.error().unwrap_or_else(|| format!("{}: {error}", self.target.host)));
                }
            }
            if let Some(error) = line.error() {
                return Some(error);
            }
            let (passed, now) = (line.passed(), self.clock.now());
            if passed != taken.0 {
                taken = (passed, now);
                if !on_air && passed > HEADERS {
                    on_air = true;
                    line.on_air();
                    self.teller.tell(FromCapture::Live {});
                }
            } else if now.since(taken.1) >= STALL {
                return Some(format!("{}: it takes nothing any more", self.target.host));
            }
            if let Some((fps, bitrate_kbps)) = meter.over(STATS, now) {
                let (dropped_frames, rtt_ms) = (self.queue.dropped(), line.rtt());
                let reconnects = self.reconnects;
                self.teller.tell(FromCapture::Stats(StreamStats {
                    fps,
                    bitrate_kbps,
                    dropped_frames,
                    rtt_ms,
                    reconnects,
                    ..StreamStats::default()
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
