//! Where a stream goes, and what every connection to there has to know.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bitrate::Rendition;

use crate::capture::gst::Timebase;
use crate::capture::output::credentials::{IngestCredentials, Redactor};
use crate::config::{Config, Destination, HostPattern};

/// The address that last took the stream: the next connection begins with it.
pub(crate) type LastAddress = Arc<Mutex<Option<SocketAddr>>>;

/// Where the stream goes, and what it is made of.
pub(crate) struct IngestTarget {
    pub(crate) to: Destination,
    pub(crate) keys: IngestCredentials,
    pub(crate) sound: bool,
    /// Target of the sound in kbit/s.
    pub(crate) audio_kbps: u32,
    /// Round trip as it was last seen.
    pub(crate) rtt: Cell<Option<Duration>>,
    /// The picture at its best.
    pub(crate) picture: Rendition,
    /// Hosts that a stream may go to.
    pub(crate) allowed: Arc<[HostPattern]>,
    pub(crate) reached: LastAddress,
    pub(super) time: Timebase,
    pub(crate) names: Redactor,
    /// Threads of connections that take their leave of the server.
    leaving: RefCell<Vec<JoinHandle<()>>>,
}

impl Drop for IngestTarget {
    fn drop(&mut self) {
        for thread in self.leaving.take() {
            let _ = thread.join();
        }
    }
}

impl IngestTarget {
    pub(crate) fn new(config: &Config, to: &Destination, keys: IngestCredentials, sound: bool, time: Timebase) -> Self {
        let names = Redactor {
            host: format!("{}:{}", to.host.in_url(), to.port),
            name: to.host.to_string(),
            hide: keys.hidden(to).into(),
        };
        Self {
            to: to.clone(),
            keys,
            sound,
            audio_kbps: config.audio.bitrate_kbps,
            rtt: Cell::new(None),
            picture: config.video.rendition(),
            allowed: config.privacy.allowed_ingest_hosts.clone().into(),
            reached: LastAddress::default(),
            time,
            names,
            leaving: RefCell::default(),
        }
    }

    /// A thread that ends by itself, and that the session's end waits for.
    pub(crate) fn farewell(&self, thread: JoinHandle<()>) {
        let mut all = self.leaving.borrow_mut();
        all.retain(|thread| !thread.is_finished());
        all.push(thread);
    }

    /// Host and port, for messages.
    pub(crate) fn host(&self) -> &str {
        &self.names.host
    }
}
