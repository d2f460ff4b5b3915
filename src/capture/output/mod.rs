//! The outputs, one for each destination: a queue, the outage buffer, and the thread that publishes. None waits for
//! another.

mod backoff;
mod connect;
mod connection;
mod credentials;
mod error;
mod footage;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod publisher;
mod rate_adapter;
mod reporter;
mod route_watch;
mod rtmp;
mod sink_pipeline;
mod srt;
mod target;
mod tls;
mod whip;

pub(crate) use whip::open_resources;

use std::path::PathBuf;
use std::sync::Arc;

use crate::capture::error::CaptureError;
#[cfg(test)]
use crate::capture::guard_link::EventSender;
use crate::capture::guard_link::GuardLink;
use crate::capture::output::credentials::IngestCredentials;
use crate::capture::output::error::METERED_ADVICE;
use crate::capture::output::footage::{FootageKeeper, FootageSettings};
use crate::capture::output::publisher::{StatusReporter, StreamPublisher, StreamPublisherConfig};
use crate::capture::output::rate_adapter::RateAdapter;
use crate::capture::output::target::IngestTarget;
use crate::capture::queue::{EncoderQueues, FrameQueue, QueueLimits, SpillFile, SpillWriter};
use crate::capture::session_context::SessionContext;
use crate::config::{Config, Destination, Outage, OutageBuffer};
use crate::connect::{Links, Unreachable};
use crate::ipc::FailureKind;
use bitrate::Rendition;

/// Whether there is a way to the first destination that may be used, before any device is opened. Without any way at
/// all the session starts: one may come.
///
/// # Errors
/// All ways are metered links, and the configuration refuses those.
pub(crate) fn check_link(config: &Config) -> Result<(), CaptureError> {
    let first = &config.ingest.first;
    let Some(link) = Links::of_ingest(&config.ingest).only_refused(first.host.ip()) else { return Ok(()) };
    let (kind, advice) = (link.kind.as_str(), METERED_ADVICE);
    let message = format!("{}: {} ({kind}){advice}", first.host, Unreachable::Metered);
    Err(CaptureError { kind: FailureKind::MeteredLink, message })
}

/// One destination, before the session starts.
pub(crate) struct Output {
    destination: Destination,
    credentials: IngestCredentials,
    queue: Arc<FrameQueue>,
    spill_writer: Option<SpillWriter>,
    /// What of its outages is kept, if anything is.
    footage: Option<FootageSettings>,
}

/// One destination that is published to. Fields are dropped in this order: first the publisher, which empties the
/// queue.
pub(crate) struct RunningOutput {
    publisher: StreamPublisher,
    footage: Option<FootageKeeper>,
    _spill_writer: Option<SpillWriter>,
}

impl RunningOutput {
    /// Stops sending, without waiting for the publisher.
    pub(crate) fn stop(&self) {
        // First: what waits at this moment is what could not be delivered.
        if let Some(footage) = &self.footage {
            footage.end();
        }
        self.publisher.stop();
    }
}

impl Output {
    /// An output for each configured destination.
    ///
    /// # Errors
    /// The policy does not allow a destination, or a secret is missing.
    pub(crate) fn from_config(config: &Config, session: u64) -> Result<Vec<Self>, CaptureError> {
        config.ingest.destinations().map(|destination| Self::new(config, destination, session)).collect()
    }

    fn new(config: &Config, destination: &Destination, session: u64) -> Result<Self, CaptureError> {
        if !config.privacy.allowed_ingest_hosts.iter().any(|pattern| pattern.allows(&destination.host)) {
            let message = format!("{} is not one of [privacy] allowed-ingest-hosts", destination.host);
            return Err(CaptureError { kind: FailureKind::IngestNotAllowed, message });
        }
        let credentials = IngestCredentials::resolve(destination)?;
        let (queue, spill_writer) = outage_queue(config)?;
        let footage = FootageSettings::of(config, session, !destination.scheme().is_whip());
        Ok(Self { destination: destination.clone(), credentials, queue, spill_writer, footage })
    }

    /// The queues that the encoders fill.
    pub(crate) fn encoder_queues(all: &[Self]) -> EncoderQueues {
        let mut queues = EncoderQueues::default();
        for Self { destination, queue, .. } in all {
            queues.video.push(queue.clone());
            if destination.scheme().is_whip() { &mut queues.opus } else { &mut queues.aac }.push(queue.clone());
        }
        queues
    }

    /// Starts to publish to all of them. The first one's health is the session's.
    pub(crate) fn start_all(
        all: Vec<Self>,
        config: &Config,
        context: &SessionContext,
        guard_link: &GuardLink,
    ) -> Result<Vec<RunningOutput>, CaptureError> {
        let start = |(index, output): (usize, Self)| {
            let events = guard_link.event_sender();
            // There is one encoder, and the first output's link sets its bitrate. The others drop what is too much.
            let (reporter, rate_adapter) = if index == 0 {
                (StatusReporter::First(events), first_rate_adapter(config, context))
            } else {
                (StatusReporter::second(events), RateAdapter::fixed(config.video.rendition()))
            };
            output.start(config, context, reporter, rate_adapter)
        };
        all.into_iter().enumerate().map(start).collect()
    }

    fn start(
        self,
        config: &Config,
        context: &SessionContext,
        reporter: StatusReporter,
        rate_adapter: RateAdapter,
    ) -> Result<RunningOutput, CaptureError> {
        let Self { destination, credentials, queue, spill_writer, footage } = self;
        let SessionContext { timebase, level_meter, encoder_control } = context;
        let has_audio = level_meter.is_some();
        let keep = |settings| FootageKeeper::start(queue.clone(), settings, has_audio);
        let footage = footage.map(keep).transpose().map_err(|error| CaptureError::internal(error.to_string()))?;
        let publisher = StreamPublisher::start(StreamPublisherConfig {
            target: IngestTarget::new(config, &destination, credentials, has_audio, timebase.clone()),
            queue,
            level_meter: level_meter.clone(),
            reporter,
            encoder: encoder_control.clone(),
            rate_adapter,
        })?;
        Ok(RunningOutput { publisher, footage, _spill_writer: spill_writer })
    }
}

#[cfg(test)]
impl Output {
    /// Starts to publish `queue` to the first destination, at a bitrate that does not change.
    pub(crate) fn start_fixed(
        config: &Config,
        queue: Arc<FrameQueue>,
        context: &SessionContext,
        events: EventSender,
    ) -> Result<RunningOutput, CaptureError> {
        let destination = config.ingest.first.clone();
        let credentials = IngestCredentials::resolve(&destination)?;
        let output = Self { destination, credentials, queue, spill_writer: None, footage: None };
        let rate_adapter = RateAdapter::fixed(config.video.rendition());
        output.start(config, context, StatusReporter::First(events), rate_adapter)
    }
}

/// Adapts the encoder's bitrate to the first output's link.
fn first_rate_adapter(config: &Config, context: &SessionContext) -> RateAdapter {
    let encoder = context.encoder_control.clone();
    let apply = move |target: &Rendition| {
        if let Err(failure) = encoder.apply(target) {
            tracing::warn!("{}", failure.message);
        }
    };
    let audio = context.level_meter.is_some().then_some(&config.audio);
    RateAdapter::new(config.ingest.first.scheme(), &config.video, audio, Box::new(apply))
}

/// A queue with its outage buffer: on disk where it is configured and possible, else in memory.
fn outage_queue(config: &Config) -> Result<(Arc<FrameQueue>, Option<SpillWriter>), CaptureError> {
    let Outage { buffer, size_mib, catch_up } = config.ingest.outage;
    // At most 4 GiB, which only a 64-bit box has.
    let bytes = usize::try_from(u64::from(size_mib) * 1024 * 1024).unwrap_or(usize::MAX);
    let window = config.ingest.reconnect_window;
    let memory = || (Arc::new(FrameQueue::new(QueueLimits { bytes, duration: window, catch_up }, None)), None);
    if buffer == OutageBuffer::Memory {
        return Ok(memory());
    }
    // The directory that systemd provides, else the box's own.
    let dir = std::env::var_os("CACHE_DIRECTORY").map_or_else(|| config.device.data_dir.clone(), PathBuf::from);
    let spill_file = match SpillFile::open_in(&dir) {
        Ok(spill_file) => Arc::new(spill_file),
        Err(error) => {
            tracing::warn!("no outage buffer in {}: {error}; frames wait in memory instead", dir.display());
            return Ok(memory());
        }
    };
    let duration = window.min(config.privacy.footage_retention);
    let queue = Arc::new(FrameQueue::new(QueueLimits { bytes, duration, catch_up }, Some(spill_file.clone())));
    let spill_writer = SpillWriter::start(queue.clone(), spill_file, bytes);
    let spill_writer = spill_writer.map_err(|error| CaptureError::internal(error.to_string()))?;
    Ok((queue, Some(spill_writer)))
}
