//! WHIP: WebRTC to a server that is asked over HTTP.

mod client;
mod dialer;
mod http;
mod sockets;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
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
use bitrate::Rendition;

use client::Session;
use http::Endpoint;

/// Sessions that servers were asked for and that are not deleted.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// How many sessions servers may be left with if this process ends now.
pub(crate) fn left_open() -> usize {
    OPEN.load(Ordering::Relaxed)
}

/// Counts as open while it lives.
struct Opened;

impl Opened {
    fn new() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection's thread tells.
#[derive(Debug, Default)]
struct Shared {
    connected: AtomicBool,
    passed: AtomicU64,
    /// The peer misses a keyframe.
    keyframe: AtomicBool,
    /// Round trip in milliseconds; `u32::MAX`: not known yet.
    rtt: AtomicU32,
    /// What the way is thought to carry, in kbit/s; 0: not known yet.
    estimate: AtomicU32,
    trouble: Mutex<Option<ConnectionError>>,
}

impl Shared {
    fn fail(&self, trouble: ConnectionError) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }
}

/// What is offered.
#[derive(Clone, Debug)]
struct Offer {
    host: String,
    port: u16,
    sound: bool,
    /// Of the picture: constrained baseline, and a level that holds it.
    profile_level_id: u32,
    /// What is to be sent in all, in kbit/s.
    kbps: u32,
}

/// One connection.
struct Whip {
    shared: Arc<Shared>,
    /// Closed, it ends the thread.
    frames: Option<Sender<Frame>>,
    bell: Arc<OwnedFd>,
    names: Redactor,
}

/// Constrained baseline, with the lowest level that holds the picture at its best: as RTP's H.264 payload format writes
/// it (RFC 6184, 8.1), profile, constraints, and ten times the level.
fn profile_level_id(picture: Rendition) -> u32 {
    let Rendition { width, height, fps, bitrate_kbps } = picture;
    // Level 1b has no number of its own, and not every server knows the bit that stands for it.
    let lowest = h264::levels(width, height, fps, bitrate_kbps).into_iter().find_map(h264::level_idc);
    // Where no level holds it the highest comes closest.
    let level = lowest.unwrap_or(52);
    0x42_e000 | level
}

/// Begins a connection.
pub(super) fn connect(
    target: &IngestTarget,
    endpoint: &Secret,
    token: Option<&Secret>,
) -> Result<Box<dyn IngestConnection>, ConnectionError> {
    let names = target.names.clone();
    let away = |reason: &str| ConnectionError::unreachable(format!("{}: {reason}", names.host));
    let offer = Offer {
        host: target.to.host.as_str().to_owned(),
        port: target.to.port,
        sound: target.sound,
        profile_level_id: profile_level_id(target.picture),
        kbps: target.picture.bitrate_kbps,
    };
    let nothing = |error: rustix::io::Errno| away(&format!("no event: {error}"));
    let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(nothing)?);
    let shared = Arc::new(Shared { rtt: AtomicU32::new(u32::MAX), ..Shared::default() });
    let (frames, inbox) = channel();
    let endpoint = Endpoint::new(endpoint.clone(), token.cloned(), target.allowed.clone());
    let session = Session { offer, shared: shared.clone(), inbox, bell: bell.clone(), clock: Clock::start() };
    let thread = std::thread::Builder::new().name("whip".to_owned()).spawn(move || session.run(&endpoint));
    target.farewell(thread.map_err(|error| away(&format!("no thread: {error}")))?);
    Ok(Box::new(Whip { shared, frames: Some(frames), bell, names: target.names.clone() }))
}

impl Whip {
    fn ring(&self) {
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

impl Drop for Whip {
    fn drop(&mut self) {
        drop(self.frames.take());
        self.ring();
    }
}

impl IngestConnection for Whip {
    fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    fn supply(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        if let Some(frames) = &self.frames {
            // A thread that is gone has said why.
            let _ = frames.send(frame);
        }
        self.ring();
        Ok(())
    }

    fn is_full(&self) -> bool {
        // A datagram waits for nobody.
        false
    }

    fn arrived(&self) -> u64 {
        // ICE finds out within seconds that the server is gone.
        self.shared.passed.load(Ordering::Relaxed)
    }

    fn has_first(&self) -> bool {
        // The server has proved over DTLS that it is there; its first report on what it got may take a second.
        self.arrived() > 0
    }

    fn trouble(&self) -> Option<ConnectionError> {
        let trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        // Its words are ours, and none of the URL's.
        Some(ConnectionError { reason: format!("{}: {}", self.names.host, trouble.reason), ..trouble })
    }

    fn rtt(&self) -> Option<u32> {
        Some(self.shared.rtt.load(Ordering::Relaxed)).filter(|rtt| *rtt < u32::MAX)
    }

    fn way(&self) -> TransportStats {
        let bandwidth_estimate_kbps = Some(self.shared.estimate.load(Ordering::Relaxed)).filter(|kbps| *kbps > 0);
        let rtt = self.rtt().map(|millis| Duration::from_millis(millis.into()));
        TransportStats { rtt, bandwidth_estimate_kbps, ..TransportStats::default() }
    }

    fn wants_keyframe(&self) -> bool {
        self.shared.keyframe.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_holds_the_picture() {
        for ((width, height, fps, bitrate_kbps), level) in [
            ((176, 144, 15, 64), 10),
            // What 1b would hold.
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
