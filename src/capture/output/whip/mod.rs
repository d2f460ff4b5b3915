//! WHIP: WebRTC, set up over HTTP (RFC 9725).

mod client;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod http;
mod peer_state;
mod sockets;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use crate::capture::media::Frame;
use crate::capture::media::h264;
use crate::capture::output::connection::{IngestConnection, TransportStats};
use crate::capture::output::credentials::Redactor;
use crate::capture::output::error::ConnectionError;
use crate::capture::output::target::IngestTarget;
use crate::clock::Clock;
use crate::config::Secret;
use crate::sync::LockExt;
use crate::worker::{OnDrop, Worker};
use bitrate::Rendition;

use client::WhipClient;
use http::WhipEndpoint;
pub(crate) use peer_state::open_resources;
use peer_state::{OfferParams, PeerState};

/// A connection, whose work a thread does.
struct WhipConnection {
    peer_state: Arc<PeerState>,
    /// Closing the channel ends the thread.
    frames: Option<Sender<Frame>>,
    waker: Arc<OwnedFd>,
    redactor: Redactor,
}

/// The `profile-level-id` (RFC 6184, section 8.1) of constrained baseline with the lowest level for the highest
/// rendition: profile, constraints, and ten times the level.
fn profile_level_id(picture: Rendition) -> u32 {
    let Rendition { width, height, fps, bitrate_kbps } = picture;
    // Level 1b has no number of its own, and not every server knows the flag for it.
    let lowest = h264::levels(width, height, fps, bitrate_kbps).find_map(h264::Level::idc);
    // If no level is high enough, the highest comes closest.
    let level = lowest.unwrap_or(52);
    0x42_e000 | level
}

/// Starts to connect, in a thread of its own.
pub(super) fn connect(
    target: &IngestTarget,
    endpoint: &Secret,
    token: Option<&Secret>,
) -> Result<Box<dyn IngestConnection>, ConnectionError> {
    let redactor = target.redactor.clone();
    let unreachable = |reason: String| ConnectionError::unreachable(format!("{}: {reason}", redactor.host_port));
    let params = OfferParams {
        host: target.destination.host.as_str().to_owned(),
        port: target.destination.port,
        has_audio: target.has_audio,
        profile_level_id: profile_level_id(target.rendition),
        max_kbps: target.rendition.bitrate_kbps,
    };
    let waker = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
    let waker = Arc::new(waker.map_err(|error| unreachable(format!("no event: {error}")))?);
    let peer_state = Arc::new(PeerState::new());
    let (frames, inbox) = channel();
    let endpoint = WhipEndpoint::new(endpoint.clone(), token.cloned(), target.destinations.clone());
    let client = WhipClient {
        redactor: redactor.clone(),
        params,
        peer_state: peer_state.clone(),
        inbox,
        waker: waker.clone(),
        clock: Clock::start(),
    };
    // It ends once its channel of frames is closed.
    let worker = Worker::spawn("whip", OnDrop::Join, move |_| client.run(&endpoint));
    target.join_on_drop(worker.map_err(|error| unreachable(error.to_string()))?);
    Ok(Box::new(WhipConnection { peer_state, frames: Some(frames), waker, redactor }))
}

impl WhipConnection {
    fn wake(&self) {
        let _ = rustix::io::write(&self.waker, &1_u64.to_ne_bytes());
    }
}

impl Drop for WhipConnection {
    fn drop(&mut self) {
        drop(self.frames.take());
        self.wake();
    }
}

impl IngestConnection for WhipConnection {
    fn is_connected(&self) -> bool {
        self.peer_state.connected.load(Ordering::Relaxed)
    }

    fn server(&self) -> Option<SocketAddr> {
        *self.peer_state.server.lock_unpoisoned()
    }

    fn send(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        if let Some(frames) = &self.frames {
            // If the thread has ended, it has recorded why.
            let _ = frames.send(frame);
        }
        self.wake();
        Ok(())
    }

    fn would_block(&self) -> bool {
        // Datagrams do not block.
        false
    }

    fn progress(&self) -> u64 {
        // ICE detects within seconds that the server is gone.
        self.peer_state.frames_sent.load(Ordering::Relaxed)
    }

    fn first_frame_delivered(&self) -> bool {
        // DTLS has shown that the server is there; its first receiver report may take a second.
        self.progress() > 0
    }

    fn take_error(&mut self) -> Option<ConnectionError> {
        let error = self.peer_state.error.lock_unpoisoned().take()?;
        // The reason contains no part of the URL.
        Some(ConnectionError { reason: format!("{}: {}", self.redactor.host_port, error.reason), ..error })
    }

    fn rtt_ms(&self) -> Option<u32> {
        Some(self.peer_state.rtt_ms.load(Ordering::Relaxed)).filter(|rtt| *rtt < u32::MAX)
    }

    fn stats(&self) -> TransportStats {
        let bandwidth_estimate_kbps =
            Some(self.peer_state.bandwidth_estimate_kbps.load(Ordering::Relaxed)).filter(|kbps| *kbps > 0);
        let rtt = self.rtt_ms().map(|millis| Duration::from_millis(millis.into()));
        TransportStats { rtt, bandwidth_estimate_kbps, ..TransportStats::default() }
    }

    fn take_keyframe_request(&mut self) -> bool {
        self.peer_state.keyframe_requested.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_holds_the_picture() {
        for ((width, height, fps, bitrate_kbps), level) in [
            ((176, 144, 15, 64), 10),
            // Level 1b would be enough.
            ((176, 144, 15, 100), 11),
            ((320, 180, 30, 400), 13),
            ((640, 360, 30, 1_000), 30),
            ((1280, 720, 30, 2_500), 31),
            ((1280, 720, 30, 14_001), 32),
            ((1280, 720, 60, 2_500), 32),
            ((1920, 1080, 30, 6_000), 40),
            ((1920, 1080, 60, 12_000), 42),
            ((3840, 2160, 30, 20_000), 51),
            ((3840, 3840, 60, 20_000), 52),
        ] {
            let picture = Rendition { bitrate_kbps, fps, width, height };
            assert_eq!(profile_level_id(picture), 0x42_e000 | level, "{picture:?}");
        }
    }
}
