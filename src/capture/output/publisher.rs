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
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// A server that takes nothing for this long is gone: twice the longest pause of a busy server, and what a viewer
/// bears.
const STALL_TIMEOUT: Duration = Duration::from_secs(8);
/// How often the guard is told how the stream does.
const STATS_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at a connection that is being made: nobody waits for more than this once it is.
const CONNECT_POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Frames that a server is given before it has taken one: a muxer needs both tracks, and the sound may come late.
const MAX_PRECONNECT_FRAMES: usize = 256;

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
        level_meter: Option<Arc<LevelMeter>>,
        reporter: StatusReporter,
        encoder: EncoderControl,
        rate_adapter: RateAdapter,
    ) -> Result<Self, CaptureError> {
        let (stop, stopped) = channel();
        let clock = Clock::start();
        let rate_meter = RateMeter::new(clock.now());
        let publisher = PublishLoop {
            target,
            queue,
            level_meter,
            reporter,
            encoder,
            rate_adapter,
            stopped,
            clock,
            reconnects: 0,
            rate_meter,
            last_reported: None,
        };
        let thread = std::thread::Builder::new().name("push".to_owned()).spawn(move || publisher.run());
        let thread = thread.map_err(|error| CaptureError::internal(format!("no thread: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

struct PublishLoop {
    target: IngestTarget,
    queue: Arc<FrameQueue>,
    level_meter: Option<Arc<LevelMeter>>,
    reporter: StatusReporter,
    encoder: EncoderControl,
    rate_adapter: RateAdapter,
    stopped: Receiver<()>,
    clock: Clock,
    reconnects: u32,
    rate_meter: RateMeter,
    /// What was last said about a server out of reach.
    last_reported: Option<String>,
}

/// It is over.
struct Stopped;

impl PublishLoop {
    fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let (error, on_air) = match connect(&self.target) {
                Ok(mut connection) => match self.publish_once(connection.as_mut()) {
                    Ok(ended) => ended,
                    Err(Stopped) => return,
                },
                Err(error) => (error, Duration::ZERO),
            };
            self.queue.begin_outage();
            self.forward_keyframe_request();
            let ConnectionError { kind, reason } = error;
            if kind == ConnectionErrorKind::Renegotiate {
                continue;
            }
            let reason = stabilize(&reason);
            if self.last_reported.as_ref() != Some(&reason) {
                self.last_reported = Some(reason.clone());
                self.reporter.reconnecting(reason);
            }
            self.reconnects += 1;
            backoff.record_uptime(on_air);
            if self.wait_before_retry(backoff.next_delay(kind)).is_err() {
                return;
            }
        }
    }

    /// Waits for the next attempt.
    fn wait_before_retry(&mut self, span: Duration) -> Result<(), Stopped> {
        let until = self.clock.now().saturating_add(span);
        loop {
            self.forward_keyframe_request();
            self.report(None);
            let remaining = until.duration_since(self.clock.now());
            if remaining.is_zero() {
                return Ok(());
            }
            self.pause(remaining.min(STATS_INTERVAL))?;
        }
    }

    fn pause(&self, span: Duration) -> Result<(), Stopped> {
        match self.stopped.recv_timeout(span) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }

    fn forward_keyframe_request(&self) {
        if self.queue.take_keyframe_request() {
            self.encoder.request_keyframe();
        }
    }

    /// Supplies one connection with frames until it fails. Why it did, and how long the server took the stream.
    fn publish_once(&mut self, connection: &mut dyn IngestConnection) -> Result<(ConnectionError, Duration), Stopped> {
        let mut unconfirmed = Vec::new();
        let mut on_air = None;
        let ended = self.run_connection(connection, &mut unconfirmed, &mut on_air);
        if on_air.is_none() {
            self.queue.requeue(unconfirmed);
        }
        Ok((ended?, on_air.unwrap_or_default()))
    }

    /// `on_air`: from the server's having the first frame to the last sign of it; `None` until then.
    fn run_connection(
        &mut self,
        connection: &mut dyn IngestConnection,
        unconfirmed: &mut Vec<Frame>,
        on_air: &mut Option<Duration>,
    ) -> Result<ConnectionError, Stopped> {
        self.rate_adapter.on_connected();
        let mut last_progress = (0, self.clock.now());
        let mut connected = false;
        let mut live_since = None;
        // The first frame of a connection is a keyframe with everything that a decoder needs.
        let mut keyframe_sent = false;
        // What waits together is sent together.
        let mut drain_queue = false;
        loop {
            if !drain_queue {
                connection.poll();
            }
            if !connected && connection.is_connected() {
                if let Some(rtt) = connection.renegotiate_with() {
                    self.target.rtt.set(Some(rtt));
                    return Ok(ConnectionError { kind: ConnectionErrorKind::Renegotiate, reason: String::new() });
                }
                connected = true;
                self.queue.end_outage();
            }
            let wanted = if connected {
                !connection.would_block()
            } else {
                connection.needs_data_to_connect() && unconfirmed.len() < MAX_PRECONNECT_FRAMES
            };
            if !matches!(self.stopped.try_recv(), Err(TryRecvError::Empty)) {
                return Err(Stopped);
            }
            let frame = if wanted {
                match live_since {
                    _ if drain_queue => self.queue.pop(Duration::ZERO),
                    None => self.queue.pop(POLL_INTERVAL),
                    Some(_) if connection.batches_audio() => self.queue.pop_batched(self.rate_adapter.poll_interval()),
                    Some(_) => self.queue.pop(self.rate_adapter.poll_interval()),
                }
            } else {
                if !connection.wait(POLL_INTERVAL) {
                    self.pause(if connected { POLL_INTERVAL } else { CONNECT_POLL_INTERVAL })?;
                }
                None
            };
            drain_queue = frame.is_some();
            if let Some(frame) = frame.filter(|frame| keyframe_sent || frame.is_keyframe()) {
                keyframe_sent = true;
                self.rate_meter.count(&frame);
                self.rate_adapter.on_sent(frame.buffer.size());
                if on_air.is_none() {
                    unconfirmed.push(frame.clone());
                }
                if let Err(error) = connection.send(frame) {
                    return Ok(error);
                }
            }
            self.forward_keyframe_request();
            if connection.take_keyframe_request() {
                self.encoder.request_keyframe();
            }
            if let Some(error) = connection.take_error() {
                return Ok(error);
            }
            let (progress, now) = (connection.progress(), self.clock.now());
            if live_since.is_some() {
                self.rate_adapter.update(now, &self.queue, connection);
            } else if connected && connection.first_frame_delivered() {
                live_since = Some(now);
                *on_air = Some(Duration::ZERO);
                unconfirmed.clear();
                connection.set_live();
                self.last_reported = None;
                self.reporter.live();
            }
            if progress != last_progress.0 {
                last_progress = (progress, now);
                *on_air = live_since.map(|since| now.duration_since(since));
            } else if now.duration_since(last_progress.1) >= STALL_TIMEOUT {
                let what = if connected { "it takes nothing any more" } else { "no answer in time" };
                return Ok(ConnectionError::unreachable(format!("{}: {what}", self.target.host_port())));
            }
            self.report(connection.rtt_ms());
        }
    }

    /// Tells how the stream does, each second, also while there is no connection.
    fn report(&mut self, round_trip_ms: Option<u32>) {
        let Some((fps, bitrate_kbps)) = self.rate_meter.sample(STATS_INTERVAL, self.clock.now()) else { return };
        if let Some(rtt) = round_trip_ms {
            self.target.rtt.set(Some(Duration::from_millis(rtt.into())));
        }
        let queue_ms = u32::try_from(self.queue.duration().mseconds()).unwrap_or(u32::MAX);
        let target = self.rate_adapter.target();
        self.reporter.stats(StreamStats {
            fps,
            bitrate_kbps,
            dropped_frames: self.queue.dropped_frames(),
            round_trip_ms,
            reconnects: self.reconnects,
            // What the kernel has not got rid of waits on the box too.
            queue_ms: queue_ms.max(self.rate_adapter.queuing_delay_ms()),
            target_kbps: target.bitrate_kbps,
            height: target.height,
            reduced: self.rate_adapter.is_reduced(),
            level_db: self.level_meter.as_ref().and_then(|level_meter| level_meter.level_db()),
        });
    }
}

#[cfg(test)]
mod tests;
