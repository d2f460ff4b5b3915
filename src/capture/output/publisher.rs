//! The thread that publishes one output's stream: it sends the frames of a queue to the ingest server, and connects
//! again after each failure. Each connection starts with a keyframe. Capture does not wait for it.

mod publication;

use std::sync::Arc;
use std::time::Duration;

use super::backoff::ReconnectBackoff;
pub(super) use super::reporter::StatusReporter;
use crate::capture::audio::LevelMeter;
use crate::capture::encoder::EncoderControl;
use crate::capture::error::CaptureError;
use crate::capture::guard_link::stabilize;
use crate::capture::media::{Frame, RateMeter};
use crate::capture::output::connect::connect;
use crate::capture::output::connection::IngestConnection;
use crate::capture::output::error::{ConnectionError, ConnectionErrorKind};
use crate::capture::output::rate_adapter::RateAdapter;
use crate::capture::output::route_watch::{RouteChange, RouteWatch};
use crate::capture::output::target::IngestTarget;
use crate::capture::queue::FrameQueue;
use crate::clock::Clock;
use crate::connect::{Link, Unreachable};
use crate::ipc::StreamStats;
use crate::worker::{OnDrop, Stop, Worker};

use publication::{Publication, Stage};

/// How long the thread waits for a frame before it polls the connection, until the stream is live: a third of a frame
/// at 30 frames per second.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// A server that makes no progress for this long is considered lost: twice the longest pause of a busy server, and what
/// a viewer puts up with.
const STALL_TIMEOUT: Duration = Duration::from_secs(8);
/// How often statistics are reported to the guard.
const STATS_INTERVAL: Duration = Duration::from_secs(1);
/// Between two polls of a connection that is being made: once it is, the first frame goes out at most this much later.
const CONNECT_POLL_INTERVAL: Duration = Duration::from_millis(2);
/// At most this many frames are sent before the connection is made: a muxer needs both tracks, and audio may come late.
const MAX_PRECONNECT_FRAMES: usize = 256;

/// The publishing thread, owned: dropping it ends the thread and waits for it.
pub(super) struct StreamPublisher(Worker);

/// What a publisher publishes, and where to.
pub(super) struct StreamPublisherConfig {
    pub(super) target: IngestTarget,
    pub(super) queue: Arc<FrameQueue>,
    pub(super) level_meter: Option<Arc<LevelMeter>>,
    pub(super) reporter: StatusReporter,
    pub(super) encoder: EncoderControl,
    pub(super) rate_adapter: RateAdapter,
}

impl StreamPublisher {
    /// Stops sending, without waiting for the thread.
    pub(super) fn stop(&self) {
        self.0.stop();
    }

    /// Starts to publish.
    pub(super) fn start(config: StreamPublisherConfig) -> Result<Self, CaptureError> {
        let worker =
            Worker::spawn("push", OnDrop::Join, move |stop| StreamPublisherThread::new(config, stop.clone()).run());
        worker.map(Self).map_err(|error| CaptureError::internal(error.to_string()))
    }
}

struct StreamPublisherThread {
    target: IngestTarget,
    queue: Arc<FrameQueue>,
    level_meter: Option<Arc<LevelMeter>>,
    reporter: StatusReporter,
    encoder: EncoderControl,
    rate_adapter: RateAdapter,
    stop: Stop,
    clock: Clock,
    reconnects: u32,
    rate_meter: RateMeter,
    /// The last reason reported for a reconnect: one that stays the same is reported once.
    last_reported: Option<String>,
    /// The link that carries the stream, or that is refused.
    link: Option<Link>,
}

/// The publisher was stopped.
struct Stopped;

/// Why a connection is over.
enum PublicationEnd {
    Stopped,
    Failed(ConnectionError),
}

impl From<Stopped> for PublicationEnd {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<ConnectionError> for PublicationEnd {
    fn from(error: ConnectionError) -> Self {
        Self::Failed(error)
    }
}

impl StreamPublisherThread {
    fn new(config: StreamPublisherConfig, stop: Stop) -> Self {
        let StreamPublisherConfig { target, queue, level_meter, reporter, encoder, rate_adapter } = config;
        let clock = Clock::start();
        let rate_meter = RateMeter::new(clock.now());
        Self {
            target,
            queue,
            level_meter,
            reporter,
            encoder,
            rate_adapter,
            stop,
            clock,
            reconnects: 0,
            rate_meter,
            last_reported: None,
            link: None,
        }
    }

    /// Connects, publishes and connects again, until it is stopped.
    fn run(mut self) {
        let mut backoff = ReconnectBackoff::new();
        loop {
            let (error, uptime) = match connect(&self.target) {
                Ok(mut connection) => match self.publish_once(connection.as_mut()) {
                    Ok(failed) => failed,
                    Err(Stopped) => return,
                },
                Err(error) => (error, Duration::ZERO),
            };
            self.queue.begin_outage();
            self.link = self.target.destinations.refused_link();
            self.reporter.refused(&self.target.destinations);
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
            backoff.record_uptime(uptime);
            if self.wait_before_retry(backoff.next_delay(kind)).is_err() {
                return;
            }
        }
    }

    /// Waits for `delay`, and goes on reporting meanwhile.
    fn wait_before_retry(&mut self, delay: Duration) -> Result<(), Stopped> {
        let until = self.clock.now().saturating_add(delay);
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

    fn pause(&self, timeout: Duration) -> Result<(), Stopped> {
        if self.stop.wait_timeout(timeout) { Err(Stopped) } else { Ok(()) }
    }

    fn forward_keyframe_request(&self) {
        if self.queue.take_keyframe_request() {
            self.encoder.request_keyframe();
        }
    }

    /// Publishes over one connection until it fails. Returns why it failed, and for how long the stream was live.
    fn publish_once(&mut self, connection: &mut dyn IngestConnection) -> Result<(ConnectionError, Duration), Stopped> {
        self.rate_adapter.on_connected();
        let mut publication = Publication::new(connection, self.clock.now());
        let ended = loop {
            if let Err(ended) = self.step(&mut publication) {
                break ended;
            }
        };
        let uptime = publication.uptime();
        if uptime.is_none() {
            self.queue.requeue(publication.unconfirmed);
        }
        match ended {
            PublicationEnd::Stopped => Err(Stopped),
            PublicationEnd::Failed(error) => Ok((error, uptime.unwrap_or_default())),
        }
    }

    /// Sends a frame at most, or waits for one, and watches the connection.
    fn step(&mut self, publication: &mut Publication<'_>) -> Result<(), PublicationEnd> {
        if self.stop.is_requested() {
            return Err(PublicationEnd::Stopped);
        }
        match publication.stage {
            Stage::Connecting => self.connecting(publication)?,
            Stage::Connected => self.connected(publication)?,
            Stage::Live { .. } => self.live(publication)?,
        }
        self.check_progress(publication)?;
        self.link = publication.route.as_ref().and_then(RouteWatch::link);
        self.report(publication.connection.rtt_ms());
        Ok(())
    }

    /// Waits for the server to accept the stream. Some protocols need a few frames for that.
    fn connecting(&mut self, publication: &mut Publication<'_>) -> Result<(), PublicationEnd> {
        publication.connection.poll();
        if publication.connection.is_connected() {
            if let Some(rtt) = publication.connection.renegotiate_with() {
                self.target.rtt = Some(rtt);
                return Err(PublicationEnd::Failed(ConnectionError::renegotiate()));
            }
            publication.stage = Stage::Connected;
            let (links, now) = (self.target.destinations.links(), self.clock.now());
            publication.route = publication.connection.server().and_then(|at| RouteWatch::begin(at, links, now));
            self.queue.end_outage();
        } else if publication.connection.needs_data_to_connect()
            && publication.unconfirmed.len() < MAX_PRECONNECT_FRAMES
        {
            let timeout = if publication.draining { Duration::ZERO } else { POLL_INTERVAL };
            self.send(publication, self.queue.pop(timeout))?;
        } else {
            self.wait(publication, CONNECT_POLL_INTERVAL)?;
        }
        self.check_connection(publication)
    }

    /// Sends frames until the server has the first one.
    fn connected(&mut self, publication: &mut Publication<'_>) -> Result<(), PublicationEnd> {
        publication.poll();
        if publication.connection.would_block() {
            self.wait(publication, POLL_INTERVAL)?;
        } else {
            let timeout = if publication.draining { Duration::ZERO } else { POLL_INTERVAL };
            self.send(publication, self.queue.pop(timeout))?;
        }
        self.check_connection(publication)?;
        if publication.connection.first_frame_delivered() {
            publication.stage = Stage::Live { since: self.clock.now() };
            publication.unconfirmed.clear();
            publication.connection.set_live();
            self.last_reported = None;
            self.reporter.live();
        }
        Ok(())
    }

    /// Sends frames, and adapts the bitrate to the link.
    fn live(&mut self, publication: &mut Publication<'_>) -> Result<(), PublicationEnd> {
        publication.poll();
        if publication.connection.would_block() {
            self.wait(publication, POLL_INTERVAL)?;
        } else {
            let timeout = self.rate_adapter.poll_interval();
            let frame = if publication.draining {
                self.queue.pop(Duration::ZERO)
            } else if publication.connection.batches_audio() {
                self.queue.pop_batched(timeout)
            } else {
                self.queue.pop(timeout)
            };
            self.send(publication, frame)?;
        }
        self.check_connection(publication)?;
        self.rate_adapter.follow_cap(&self.encoder);
        self.reporter.refused(&self.target.destinations);
        self.rate_adapter.update(self.clock.now(), &self.queue, &self.encoder, publication.connection);
        Ok(())
    }

    /// Sends what came out of the queue, from the first keyframe on.
    fn send(&mut self, publication: &mut Publication<'_>, frame: Option<Frame>) -> Result<(), ConnectionError> {
        publication.draining = frame.is_some();
        let Some(frame) = frame.filter(|frame| publication.keyframe_sent || frame.is_keyframe()) else { return Ok(()) };
        publication.keyframe_sent = true;
        self.rate_meter.count(&frame);
        self.rate_adapter.on_sent(frame.buffer.size());
        match publication.stage {
            Stage::Connecting | Stage::Connected => publication.unconfirmed.push(frame.clone()),
            Stage::Live { .. } => {}
        }
        publication.connection.send(frame)
    }

    /// Waits until the connection can go on; where it cannot tell, for `interval`.
    fn wait(&self, publication: &mut Publication<'_>, interval: Duration) -> Result<(), Stopped> {
        publication.draining = false;
        if publication.connection.wait(POLL_INTERVAL) { Ok(()) } else { self.pause(interval) }
    }

    /// Passes keyframe requests on to the encoder, and finds out whether the connection has failed.
    fn check_connection(&self, publication: &mut Publication<'_>) -> Result<(), PublicationEnd> {
        self.forward_keyframe_request();
        if publication.connection.take_keyframe_request() {
            self.encoder.request_keyframe();
        }
        publication.connection.take_error().map_or(Ok(()), |error| Err(PublicationEnd::Failed(error)))
    }

    /// Finds out whether the server has stopped to take anything, or is to be reached another way now.
    fn check_progress(&self, publication: &mut Publication<'_>) -> Result<(), ConnectionError> {
        let (progress, now) = (publication.connection.progress(), self.clock.now());
        if let Some(change) = publication.route.as_mut().and_then(|route| route.look(now)) {
            let host_port = self.target.host_port();
            return Err(match change {
                RouteChange::Moved => {
                    ConnectionError::unreachable(format!("{host_port}: the box has moved to another network"))
                }
                RouteChange::Metered => {
                    let ConnectionError { kind, reason } = ConnectionError::from(Unreachable::Metered);
                    ConnectionError { kind, reason: format!("{host_port}: {reason}") }
                }
            });
        }
        if progress != publication.progress {
            (publication.progress, publication.progress_at) = (progress, now);
        } else if now.duration_since(publication.progress_at) >= STALL_TIMEOUT {
            let symptom = match publication.stage {
                Stage::Connecting => "no answer in time",
                Stage::Connected | Stage::Live { .. } => "it takes nothing any more",
            };
            return Err(ConnectionError::unreachable(format!("{}: {symptom}", self.target.host_port())));
        }
        Ok(())
    }

    /// Reports statistics once a second, also while there is no connection.
    fn report(&mut self, round_trip_ms: Option<u32>) {
        let Some((fps, bitrate_kbps)) = self.rate_meter.sample(STATS_INTERVAL, self.clock.now()) else { return };
        if let Some(rtt) = round_trip_ms {
            self.target.rtt = Some(Duration::from_millis(rtt.into()));
        }
        let queue_ms = u32::try_from(self.queue.duration().mseconds()).unwrap_or(u32::MAX);
        self.rate_adapter.follow_cap(&self.encoder);
        let target = self.rate_adapter.target();
        self.reporter.stats(StreamStats {
            fps,
            bitrate_kbps,
            dropped_frames: self.queue.dropped_frames(),
            round_trip_ms,
            reconnects: self.reconnects,
            // Bytes that the kernel has not delivered wait on the box too.
            queue_ms: queue_ms.max(self.rate_adapter.queuing_delay_ms()),
            target_kbps: target.bitrate_kbps,
            height: target.height,
            reduced: self.rate_adapter.is_reduced(),
            link_kind: self.link.map(|link| link.kind),
            link_metered: self.link.is_some_and(|link| link.is_metered),
            level_db: self.level_meter.as_ref().and_then(|level_meter| level_meter.level_db()),
        });
    }
}

#[cfg(test)]
mod tests;
