//! The one module that reads a clock.

use core::time::Duration;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use monotonic::Monotonic;

#[cfg(feature = "sim")]
pub mod simulated;

/// The box's two clocks: monotonic for what is decided, wall for what is written down.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that counts from now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Monotonic time since [`Clock::start`].
    pub fn now(&self) -> Monotonic {
        #[cfg(feature = "sim")]
        simulated::count_look();
        Monotonic::from_start(self.start.elapsed())
    }

    /// When `time` will be, for timers.
    pub fn to_instant(&self, time: Monotonic) -> Instant {
        self.start + time.duration_since(Monotonic::default())
    }
}

/// The kernel's clock for the timestamps of edges, `CLOCK_MONOTONIC`. Later than any edge where it cannot be read: what
/// is measured with it is too long then, and starts nothing.
pub fn edge_now() -> Duration {
    #[cfg(feature = "sim")]
    if let Some(up) = simulated::up() {
        return up;
    }
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::MAX, Duration::from)
}

/// The wall clock, UTC.
pub fn utc_now() -> Timestamp {
    #[cfg(feature = "sim")]
    if let Some(reading) = simulated::read() {
        return reading.utc;
    }
    Timestamp::now()
}

/// Software build year as the floor of a clock that can be believed: a box without a battery starts in 1970.
/// 2026-01-01T00:00:00Z in seconds.
const EARLIEST_PLAUSIBLE_SECOND: i64 = 1_767_225_600;

/// Whether the wall clock can be right at all; certificates and expiry dates cannot be judged before it is.
pub fn is_plausible(now: Timestamp) -> bool {
    now.as_second() >= EARLIEST_PLAUSIBLE_SECOND
}

/// The box's clocks at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The wall clock, whether it is right or not.
    pub utc: Timestamp,
    /// Whether the kernel has the wall clock as synchronised (`STA_UNSYNC` is not set).
    pub synchronised: bool,
    /// The boot of the machine: 16 hex digits derived from the kernel's random boot id. They tell boots apart, and
    /// identify no box.
    pub boot: Arc<str>,
    /// Time since the machine was booted, sleep included, in milliseconds.
    pub monotonic_ms: u64,
}

/// Reads all of them.
pub fn read() -> ClockReading {
    #[cfg(feature = "sim")]
    if let Some(reading) = simulated::read() {
        return reading;
    }
    // A kernel without this clock does not run systemd either.
    let up = || clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    let look = || {
        let before = up();
        (utc_now(), before, up().saturating_sub(before))
    };
    // Where the process had to wait between the two clocks they do not belong together: the best of three.
    let (utc, up, _) = [look(), look(), look()].into_iter().min_by_key(|(_, _, took)| *took).unwrap_or_else(look);
    let boot = boot(up);
    let monotonic_ms = millis(up.saturating_sub(boot.begun));
    ClockReading { utc, synchronised: kernel_clock::is_synchronised(), boot: boot.id.clone(), monotonic_ms }
}

/// A boot of the machine.
struct Boot {
    id: Arc<str>,
    /// From when on its time counts.
    begun: Duration,
}

/// The boot id, from systemd's unit (`%b`: the guard sees no `/proc/sys`) or from the kernel. Without either, each
/// process counts as a boot of its own that begins now: no time is credited between two of them.
fn boot(now: Duration) -> &'static Boot {
    static BOOT: OnceLock<Boot> = OnceLock::new();
    let find = || {
        let told = std::env::var("TALLYBOX_BOOT_ID").ok().filter(|id| !id.is_empty());
        let known = told.or_else(|| std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok());
        let begun = if known.is_some() { Duration::ZERO } else { now };
        let id = known.unwrap_or_else(|| format!("{} {}", std::process::id(), utc_now()));
        // The kernel's own number would tie these entries to the logs of everything else on the machine.
        let digest = Sha256::digest(format!("tallybox boot\n{}", id.trim().replace('-', "")));
        Boot { id: crate::hex(&digest)[..16].into(), begun }
    };
    BOOT.get_or_init(find)
}

/// Detects that the wall clock was set: it departs from the monotonic clock at once, which slewing never does.
#[derive(Debug)]
pub struct StepDetector {
    last: ClockReading,
}

/// A wall clock that differs by more than this from one check to the next was stepped. NTP slews smaller differences.
const STEP_THRESHOLD: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

impl StepDetector {
    /// Watches from now on.
    pub fn new(now: ClockReading) -> Self {
        Self { last: now }
    }

    /// The time that the clock would show without a step since the last check; `None`: there was no step.
    pub fn check(&mut self, now: ClockReading) -> Option<Timestamp> {
        let passed = now.monotonic_ms.saturating_sub(self.last.monotonic_ms);
        let passed = jiff::SignedDuration::from_millis(i64::try_from(passed).unwrap_or(i64::MAX));
        let expected = self.last.utc.checked_add(passed).unwrap_or(Timestamp::MAX);
        let stepped = now.utc.duration_since(expected).abs() > STEP_THRESHOLD;
        self.last = now;
        stepped.then_some(expected)
    }
}

/// `span` as whole milliseconds, for messages.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
