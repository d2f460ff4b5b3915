//! Where the stream goes: a queue for each destination, with what an outage needs, and the thread that empties it. None
//! waits for another.

pub(crate) mod backoff;
pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod credentials;
pub(crate) mod error;
pub(crate) mod publisher;
pub(crate) mod rate_adapter;
pub(crate) mod reporter;
pub(crate) mod rtmp;
pub(crate) mod sink_pipeline;
pub(crate) mod srt;
pub(crate) mod target;
pub(crate) mod tls;
pub(crate) mod whip;

use std::path::PathBuf;
use std::sync::Arc;

use super::queue::{FrameQueue, QueueLimits};
use crate::capture::error::CaptureError;
use crate::capture::guard_link::GuardLink;
use crate::capture::output::credentials::IngestCredentials;
use crate::capture::output::publisher::{Publisher, StatusReporter};
use crate::capture::output::rate_adapter::RateAdapter;
use crate::capture::output::target::IngestTarget;
use crate::capture::queue::EncoderQueues;
use crate::capture::queue::spill_file::SpillFile;
use crate::capture::queue::spill_writer::SpillWriter;
use crate::capture::session_context::SessionContext;
use crate::config::{Config, Destination, Outage, OutageBuffer, Video};
use crate::ipc::FailureKind;
use bitrate::Rendition;

/// One destination, before the pipeline runs.
pub(crate) struct Output {
    to: Destination,
    keys: IngestCredentials,
    queue: Arc<FrameQueue>,
    keeper: Option<SpillWriter>,
}

/// One destination, being supplied. Fields are dropped in order: who empties the queue first.
pub(crate) struct RunningOutput {
    push: Publisher,
    _keeper: Option<SpillWriter>,
}

impl RunningOutput {
    /// Nothing more is sent; does not wait for it.
    pub(crate) fn stop(&mut self) {
        self.push.stop();
    }
}

impl Output {
    /// All that are configured, if the policy lets streams go there.
    pub(crate) fn all(config: &Config) -> Result<Vec<Self>, CaptureError> {
        config.ingest.destinations().map(|to| Self::new(config, to)).collect()
    }

    fn new(config: &Config, to: &Destination) -> Result<Self, CaptureError> {
        if !config.privacy.allowed_ingest_hosts.iter().any(|pattern| pattern.allows(&to.host)) {
            let message = format!("{} is not one of [privacy] allowed-ingest-hosts", to.host);
            return Err(CaptureError { kind: FailureKind::IngestNotAllowed, message });
        }
        let keys = IngestCredentials::resolve(to)?;
        let (queue, keeper) = buffer(config)?;
        Ok(Self { to: to.clone(), keys, queue, keeper })
    }

    /// What the encoders' outputs have to go into.
    pub(crate) fn taps(all: &[Self]) -> EncoderQueues {
        let mut taps = EncoderQueues::default();
        for Self { to, queue, .. } in all {
            taps.video.push(queue.clone());
            if to.scheme().is_whip() { &mut taps.opus } else { &mut taps.aac }.push(queue.clone());
        }
        taps
    }

    /// Begins to supply all of them, with the first frame that comes; the first one's health is the session's.
    pub(crate) fn supply(
        all: Vec<Self>,
        config: &Config,
        begun: &SessionContext,
        guard_link: &GuardLink,
    ) -> Result<Vec<RunningOutput>, CaptureError> {
        let SessionContext { timebase, level_meter, encoder_control } = begun;
        let (sound, wheel) = (level_meter.is_some(), encoder_control.clone());
        let apply = move |wanted: &Rendition| {
            if let Err(failure) = wheel.apply(wanted) {
                tracing::warn!("{}", failure.message);
            }
        };
        let (video, scheme) = (&config.video, config.ingest.first.scheme());
        let steer = RateAdapter::new(scheme, video, sound.then_some(&config.audio), Box::new(apply));
        // There is one encoder, and the first destination steers it. The second drops what is too much for it.
        let first = (StatusReporter::First(guard_link.event_sender()), steer);
        let fixed = Video { adaptive: false, ..video.clone() };
        let second = (
            StatusReporter::second(guard_link.event_sender()),
            RateAdapter::new(scheme, &fixed, None, Box::new(|_| ())),
        );
        all.into_iter()
            .zip([first, second])
            .map(|(Self { to, keys, queue, keeper }, (reporter, steer))| {
                let target = IngestTarget::new(config, &to, keys, sound, timebase.clone());
                let push =
                    Publisher::start(target, queue, level_meter.clone(), reporter, encoder_control.clone(), steer)?;
                Ok(RunningOutput { push, _keeper: keeper })
            })
            .collect()
    }
}

/// A queue, with what an outage needs.
fn buffer(config: &Config) -> Result<(Arc<FrameQueue>, Option<SpillWriter>), CaptureError> {
    let Outage { buffer, size_mib, catch_up } = config.ingest.outage;
    // At most 4 GiB, which only a 64-bit box has.
    let bytes = usize::try_from(u64::from(size_mib) * 1024 * 1024).unwrap_or(usize::MAX);
    let window = config.ingest.reconnect_window;
    let memory = || (Arc::new(FrameQueue::new(QueueLimits { bytes, duration: window, catch_up }, None)), None);
    if buffer == OutageBuffer::Memory {
        return Ok(memory());
    }
    // systemd's, else the box's own folder.
    let dir = std::env::var_os("CACHE_DIRECTORY").map_or_else(|| config.device.data_dir.clone(), PathBuf::from);
    let vault = match SpillFile::open_in(&dir) {
        Ok(vault) => Arc::new(vault),
        Err(error) => {
            tracing::warn!("no outage buffer in {}: {error}; frames wait in memory instead", dir.display());
            return Ok(memory());
        }
    };
    let duration = window.min(config.privacy.footage_retention);
    let queue = Arc::new(FrameQueue::new(QueueLimits { bytes, duration, catch_up }, Some(vault.clone())));
    let keeper = SpillWriter::start(queue.clone(), vault, bytes);
    let keeper = keeper.map_err(|error| CaptureError::internal(format!("no thread: {error}")))?;
    Ok((queue, Some(keeper)))
}
