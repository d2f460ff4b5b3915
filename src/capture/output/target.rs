//! Where a stream goes, and what its connections need to know.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitrate::Rendition;

use crate::capture::gst::Timebase;
use crate::capture::output::credentials::{IngestCredentials, Redactor};
use crate::config::{Config, Destination};
use crate::connect::Destinations;
use crate::worker::Worker;

/// The address of the last successful connection: the next attempt starts with it.
pub(super) type LastAddress = Arc<Mutex<Option<SocketAddr>>>;

/// Where a stream goes, and what it consists of.
pub(super) struct IngestTarget {
    pub(super) destination: Destination,
    pub(super) credentials: IngestCredentials,
    pub(super) has_audio: bool,
    /// The audio's bitrate in kbit/s.
    pub(super) audio_kbps: u32,
    /// The last measured round-trip time.
    pub(super) rtt: Option<Duration>,
    /// The configured, highest rendition.
    pub(super) rendition: Rendition,
    /// Where streams may go.
    pub(super) destinations: Destinations,
    pub(super) last_address: LastAddress,
    pub(super) timebase: Timebase,
    pub(super) redactor: Redactor,
    /// Threads of connections that are closing.
    closing_threads: RefCell<Vec<Worker>>,
}

impl IngestTarget {
    pub(super) fn new(
        config: &Config,
        destination: &Destination,
        credentials: IngestCredentials,
        has_audio: bool,
        timebase: Timebase,
    ) -> Self {
        let redactor = Redactor {
            host_port: format!("{}:{}", destination.host.in_url(), destination.port),
            host: destination.host.to_string(),
            secrets: credentials.secret_strings(destination).into(),
        };
        Self {
            destination: destination.clone(),
            credentials,
            has_audio,
            audio_kbps: config.audio.bitrate_kbps,
            rtt: None,
            rendition: config.video.rendition(),
            destinations: Destinations::of_ingest(config),
            last_address: LastAddress::default(),
            timebase,
            redactor,
            closing_threads: RefCell::default(),
        }
    }

    /// Adds a thread that ends by itself. Dropping the target waits for it.
    pub(super) fn join_on_drop(&self, thread: Worker) {
        let mut all = self.closing_threads.borrow_mut();
        all.retain(|thread| !thread.is_finished());
        all.push(thread);
    }

    /// Host and port, for messages.
    pub(super) fn host_port(&self) -> &str {
        &self.redactor.host_port
    }
}
