//! What is known of the present session beyond what consent needs: for the status and for replies to callers.

use std::time::Duration;

use crate::ipc::{CaptureDevice, ProbeReport, SecondaryStats, StreamStats};
use consent::Reason;
use monotonic::Monotonic;

/// Capture reports its figures each second. After this time without a report (capture hangs, or the machine does) the
/// last figures no longer count as present ones.
const STATS_EXPIRY: Duration = Duration::from_secs(5);

/// Capture's own reports, the latest of each kind.
#[derive(Debug, Default)]
pub(super) struct SessionReport {
    /// The encoder's element, and why it was chosen.
    pub(super) encoder: Option<String>,
    /// The encoder that took over, in place of which one, and why.
    pub(super) encoder_fallback: Option<String>,
    /// The mode that the camera runs in.
    pub(super) camera_mode: Option<String>,
    /// The cap of the picture's bitrate that capture keeps to, in kbit/s.
    pub(super) bitrate_kbps: Option<u32>,
    /// Why capture does not keep to another one.
    pub(super) bitrate_refused: Option<String>,
    pub(super) stream: Option<StreamStats>,
    /// When `stream` came.
    stream_at: Monotonic,
    pub(super) secondary: Option<SecondaryStats>,
    /// Capture's process id.
    pub(super) pid: Option<u32>,
    pub(super) probe: Option<ProbeReport>,
    /// Why the ingest server is out of reach.
    pub(super) ingest_error: Option<String>,
    /// Devices that are lost, the camera first, each with its cause.
    lost_devices: Vec<(CaptureDevice, String)>,
}

impl SessionReport {
    pub(super) fn on_encoder(&mut self, name: &str, why: &str) {
        tracing::info!("encoder: {name}: {why}");
        self.encoder = Some(format!("{name}: {why}"));
    }

    pub(super) fn on_encoder_fallback(&mut self, from: &str, to: &str, why: &str) {
        tracing::error!("the encoder {from} was given up: {why}; {to} goes on in its place");
        let text = format!("{to}: in place of {from}: {why}");
        self.encoder = Some(text.clone());
        self.encoder_fallback = Some(text);
    }

    pub(super) fn on_camera(&mut self, mode: String) {
        tracing::info!("camera: {mode}");
        self.camera_mode = Some(mode);
    }

    pub(super) fn on_bitrate(&mut self, kbps: u32, refused: Option<String>) {
        if self.bitrate_kbps.is_some_and(|before| before != kbps) {
            tracing::info!("the picture has at most {kbps} kbit/s now");
        }
        (self.bitrate_kbps, self.bitrate_refused) = (Some(kbps), refused);
    }

    pub(super) fn on_stats(&mut self, now: Monotonic, stats: StreamStats) {
        (self.stream, self.stream_at) = (Some(stats), now);
    }

    /// Logs only a reason that is new: the figures come each second.
    pub(super) fn on_secondary(&mut self, secondary: SecondaryStats) {
        let before = self.secondary.as_ref().and_then(|before| before.reason.as_ref());
        if let Some(reason) = secondary.reason.as_ref().filter(|reason| before != Some(*reason)) {
            tracing::warn!("the second ingest server is out of reach: {reason}");
        }
        self.secondary = Some(secondary);
    }

    pub(super) fn on_ingest_unreachable(&mut self, reason: String) {
        if self.ingest_error.as_ref() != Some(&reason) {
            tracing::warn!("the ingest server is out of reach: {reason}");
        }
        self.ingest_error = Some(reason);
    }

    pub(super) fn on_device_lost(&mut self, device: CaptureDevice, why: String) {
        tracing::warn!("{}: {why}", lost_reason(device).as_str());
        self.lost_devices.retain(|(known, _)| *known != device);
        self.lost_devices.push((device, why));
        self.lost_devices.sort_by_key(|(device, _)| *device != CaptureDevice::Camera);
    }

    pub(super) fn on_device_recovered(&mut self, device: CaptureDevice) {
        tracing::info!("{}: it is back", lost_reason(device).as_str());
        self.lost_devices.retain(|(known, _)| *known != device);
    }

    /// The device whose loss matters most, and its cause.
    pub(super) fn lost_device(&self) -> Option<(Reason, &str)> {
        self.lost_devices.first().map(|(device, why)| (lost_reason(*device), why.as_str()))
    }

    /// Drops figures that are too old. Returns whether there were any.
    pub(super) fn expire_stats(&mut self, now: Monotonic) -> bool {
        if self.stream.is_none() || now.duration_since(self.stream_at) <= STATS_EXPIRY {
            return false;
        }
        let seconds = STATS_EXPIRY.as_secs();
        tracing::warn!("capture has told nothing of its stream for {seconds} s: it hangs, or the machine does");
        (self.stream, self.secondary) = (None, None);
        true
    }
}

const fn lost_reason(device: CaptureDevice) -> Reason {
    match device {
        CaptureDevice::Camera => Reason::CameraLost,
        CaptureDevice::Microphone => Reason::MicrophoneLost,
    }
}
