//! How the device does: an allow-listed struct, and nothing else leaves as telemetry.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use monotonic::Monotonic;
use serde::Serialize;

use crate::certificate;
use crate::config::Config;
#[cfg(feature = "sim")]
use crate::connect::simulated;
use crate::ipc::{LinkKind, Status};

/// One report of the device's health. A figure that this machine does not have is null.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Telemetry {
    /// Seconds since the machine started.
    pub uptime_s: Option<u64>,
    /// Seconds since the guard's epoch began, which signed commands' deadlines count.
    pub guard_uptime_s: Option<u64>,
    /// Temperature of the processor in degrees Celsius.
    pub temperature_c: Option<f32>,
    /// The Raspberry Pi firmware's throttling flags, as `vcgencmd get_throttled` prints them.
    pub throttled: Option<String>,
    /// Memory that programs can still have, in MiB.
    pub memory_available_mib: Option<u64>,
    /// Free space where the ledger is, in MiB.
    pub disk_free_mib: Option<u64>,
    /// When the first of the certificates ends that the box's connections stand on, UTC: its own, and the authorities
    /// of `ca-file`, as the files are now.
    #[cfg_attr(test, schemars(schema_with = "crate::wire::maybe_time"))]
    pub certificate_expires: Option<Timestamp>,
    /// Encoded frames per second that left for the server.
    pub fps: Option<f32>,
    /// Video and sound that left for the server, in kbit/s.
    pub bitrate_kbps: Option<u32>,
    /// What the encoder is asked for, picture alone, in kbit/s.
    pub target_kbps: Option<u32>,
    /// Height of the picture that it is asked for, in pixels.
    pub height: Option<u32>,
    /// Whether bitrate, frame rate or size are below what was configured, because the way to the server takes no more.
    pub reduced: Option<bool>,
    /// Encoded media that waits on the box to be sent, in milliseconds.
    pub queue_ms: Option<u32>,
    /// Frames dropped since the session began.
    pub dropped_frames: Option<u64>,
    /// Round-trip time to the server in milliseconds.
    pub round_trip_ms: Option<u32>,
    /// How often the server had to be reached again since the session began.
    pub reconnects: Option<u32>,
    /// Which kind of link carries the stream, or is refused: never which network. Null: there is no connection.
    pub link_kind: Option<LinkKind>,
    /// Whether that link is metered: mobile, or one that the configuration calls so.
    pub link_metered: Option<bool>,
    /// Loudness of the sound that is sent, over one second, in dB relative to full scale: one number, and nothing to
    /// listen to.
    pub level_db: Option<f32>,
    /// Whether the second destination has the stream.
    pub second_on_air: Option<bool>,
    /// Video and sound that left for the second destination, in kbit/s.
    pub second_bitrate_kbps: Option<u32>,
    /// Frames dropped for the second destination since the session began.
    pub second_dropped_frames: Option<u64>,
    /// How often the second destination had to be reached again since the session began.
    pub second_reconnects: Option<u32>,
}

/// The first report of a connection comes within this: boxes that come back together report apart.
const FIRST_WITHIN: Duration = Duration::from_secs(30);

/// When a connection that begins now sends its first report.
pub(super) fn first_at(now: Monotonic, interval: Duration) -> Monotonic {
    now.saturating_add(interval.min(FIRST_WITHIN).mul_f64(fastrand::f64()))
}

/// When the next one follows: each box has a rhythm of its own, which drifts, so that no two stay together.
pub(super) fn next_at(now: Monotonic, interval: Duration) -> Monotonic {
    now.saturating_add(interval.mul_f64(0.95 + fastrand::f64() / 10.0))
}

fn read(path: &str) -> Option<String> {
    #[cfg(feature = "sim")]
    if simulated::is_installed() {
        return None;
    }
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn free_mib(dir: &Path) -> Option<u64> {
    #[cfg(feature = "sim")]
    if simulated::is_installed() {
        return None;
    }
    rustix::fs::statvfs(dir).ok().map(|disk| disk.f_bavail * disk.f_frsize / (1024 * 1024))
}

/// Gathers one report.
pub fn gather(config: &Config, status: Option<&Status>) -> Telemetry {
    let stream = status.and_then(|status| status.stream);
    let second = status.and_then(|status| status.second.as_ref());
    let kib = |text: String| text.split_whitespace().nth(1)?.parse::<u64>().ok();
    Telemetry {
        uptime_s: read("/proc/uptime").and_then(|text| text.split('.').next()?.parse().ok()),
        guard_uptime_s: status.map(|status| status.uptime_s),
        temperature_c: read("/sys/class/thermal/thermal_zone0/temp")
            .and_then(|text| text.parse::<f32>().ok())
            .map(|millidegrees| millidegrees / 1000.0),
        throttled: read("/sys/devices/platform/soc/soc:firmware/get_throttled"),
        memory_available_mib: read("/proc/meminfo")
            .and_then(|text| text.lines().find(|line| line.starts_with("MemAvailable:")).map(str::to_owned))
            .and_then(kib)
            .map(|kib| kib / 1024),
        disk_free_mib: free_mib(&config.device.data_dir),
        certificate_expires: certificate::first_end(config),
        fps: stream.map(|stream| stream.fps),
        bitrate_kbps: stream.map(|stream| stream.bitrate_kbps),
        target_kbps: stream.map(|stream| stream.target_kbps),
        height: stream.map(|stream| stream.height),
        reduced: stream.map(|stream| stream.reduced),
        queue_ms: stream.map(|stream| stream.queue_ms),
        dropped_frames: stream.map(|stream| stream.dropped_frames),
        round_trip_ms: stream.and_then(|stream| stream.round_trip_ms),
        reconnects: stream.map(|stream| stream.reconnects),
        link_kind: stream.and_then(|stream| stream.link_kind),
        link_metered: stream.and_then(|stream| stream.link_kind.map(|_| stream.link_metered)),
        level_db: stream.and_then(|stream| stream.level_db),
        second_on_air: second.map(|second| second.on_air),
        second_bitrate_kbps: second.map(|second| second.bitrate_kbps),
        second_dropped_frames: second.map(|second| second.dropped_frames),
        second_reconnects: second.map(|second| second.reconnects),
    }
}
