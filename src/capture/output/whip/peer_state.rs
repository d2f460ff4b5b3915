//! What a WHIP connection and its thread share: the offer's parameters, and what the thread learns from the server.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::capture::output::error::ConnectionError;
use crate::sync::LockExt;

static OPEN_RESOURCES: AtomicUsize = AtomicUsize::new(0);

/// How many WHIP resources (RFC 9725) stay on servers if this process ends now: created there, and not deleted yet.
pub(crate) fn open_resources() -> usize {
    OPEN_RESOURCES.load(Ordering::Relaxed)
}

/// Counts a resource as open for as long as this lives.
pub(super) struct OpenResource(());

impl OpenResource {
    pub(super) fn new() -> Self {
        OPEN_RESOURCES.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for OpenResource {
    fn drop(&mut self) {
        OPEN_RESOURCES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the connection's thread has learned.
#[derive(Debug)]
pub(super) struct PeerState {
    pub(super) connected: AtomicBool,
    /// Where the last packet before that went.
    pub(super) server: Mutex<Option<SocketAddr>>,
    pub(super) frames_sent: AtomicU64,
    pub(super) keyframe_requested: AtomicBool,
    /// Round-trip time in milliseconds; `u32::MAX`: not known yet.
    pub(super) rtt_ms: AtomicU32,
    /// Bandwidth estimate in kbit/s; 0: not known yet.
    pub(super) bandwidth_estimate_kbps: AtomicU32,
    pub(super) error: Mutex<Option<ConnectionError>>,
}

impl PeerState {
    pub(super) fn new() -> Self {
        Self {
            connected: AtomicBool::new(false),
            server: Mutex::new(None),
            frames_sent: AtomicU64::new(0),
            keyframe_requested: AtomicBool::new(false),
            rtt_ms: AtomicU32::new(u32::MAX),
            bandwidth_estimate_kbps: AtomicU32::new(0),
            error: Mutex::new(None),
        }
    }

    pub(super) fn fail(&self, error: ConnectionError) {
        *self.error.lock_unpoisoned() = Some(error);
    }
}

/// What the offer is made from.
#[derive(Clone, Debug)]
pub(super) struct OfferParams {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) has_audio: bool,
    /// The picture's `profile-level-id` (RFC 6184, section 8.1).
    pub(super) profile_level_id: u32,
    /// The highest bitrate in all, in kbit/s.
    pub(super) max_kbps: u32,
}
