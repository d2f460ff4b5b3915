//! What the lamp shows, and how.

use core::time::Duration;

/// What the lamp shows; README.md has the table. [`LampPattern::lit`] is the one place that knows each rhythm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LampPattern {
    /// Idle.
    #[default]
    Dark,
    /// Requested: remote asks staff to start, or the box waits for a guardian's hold.
    SlowPulse,
    /// Connecting to the ingest server; devices may be open.
    FastBlink,
    /// Live, with sound.
    Solid,
    /// Live without sound.
    SolidNotched,
    /// Reconnecting, still capturing.
    DoubleBlink,
    /// A policy has to be acknowledged.
    TripleBlink,
    /// Privacy lock.
    LockFlash,
    /// Lamp, button, ledger or supply voltage has a fault, or the box may have been tampered with.
    Sos,
    /// The button is held: a release will soon unbind the box.
    UnbindWarning,
    /// Remote asks staff to confirm an unbinding.
    UnbindRequest,
    /// A guardian holds the button: letting go now starts what the press before it said.
    ReleaseNow,
    /// Remote asked which box this is. Shown on an idle box only.
    Identify,
    /// Something happened that somebody has to look at: `tallybox status` says what. Shown on an idle box only, where
    /// it would be dark.
    Notice,
}

impl LampPattern {
    /// Each of them, those of a box that captures first.
    pub const ALL: [Self; 14] = [
        Self::Solid,
        Self::SolidNotched,
        Self::FastBlink,
        Self::DoubleBlink,
        Self::Dark,
        Self::SlowPulse,
        Self::ReleaseNow,
        Self::TripleBlink,
        Self::LockFlash,
        Self::UnbindRequest,
        Self::UnbindWarning,
        Self::Sos,
        Self::Notice,
        Self::Identify,
    ];

    /// The name in `status` and in the simulated panel's file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::SlowPulse => "slow-pulse",
            Self::FastBlink => "fast-blink",
            Self::Solid => "solid",
            Self::SolidNotched => "solid-notched",
            Self::DoubleBlink => "double-blink",
            Self::TripleBlink => "triple-blink",
            Self::LockFlash => "lock-flash",
            Self::Sos => "sos",
            Self::UnbindWarning => "unbind-warning",
            Self::UnbindRequest => "unbind-request",
            Self::ReleaseNow => "release-now",
            Self::Identify => "identify",
            Self::Notice => "notice",
        }
    }

    /// Whether the pattern means that capture may exist.
    pub const fn says_capturing(self) -> bool {
        match self {
            Self::FastBlink | Self::Solid | Self::SolidNotched | Self::DoubleBlink => true,
            Self::Dark
            | Self::SlowPulse
            | Self::TripleBlink
            | Self::LockFlash
            | Self::Sos
            | Self::UnbindWarning
            | Self::UnbindRequest
            | Self::ReleaseNow
            | Self::Identify
            | Self::Notice => false,
        }
    }

    /// Durations of on and off in milliseconds, alternating from on, repeated for ever.
    pub const fn spans(self) -> &'static [u16] {
        match self {
            Self::Dark => &[0, 1000],
            Self::SlowPulse => &[1000, 1000],
            Self::FastBlink => &[125, 125],
            Self::Solid => &[1000, 0],
            Self::SolidNotched => &[1900, 100],
            Self::DoubleBlink => &[150, 150, 150, 750],
            Self::TripleBlink => &[150, 150, 150, 150, 150, 950],
            Self::LockFlash => &[80, 4920],
            // Morse at 150 ms a dot: three dots, three dashes, three dots, a word's gap.
            Self::Sos => &[150, 150, 150, 150, 150, 450, 450, 150, 450, 150, 450, 450, 150, 150, 150, 150, 150, 1050],
            // A flicker without pauses always says: letting go now has an effect.
            Self::UnbindWarning | Self::ReleaseNow => &[50, 50],
            // The warning's flicker in bursts: held for long enough, it goes on without a pause.
            Self::UnbindRequest => &[50, 50, 50, 50, 50, 50, 50, 50, 50, 950],
            Self::Identify => &[100, 100, 500, 300],
            Self::Notice => &[80, 220, 80, 4620],
        }
    }

    /// Whether the lamp is on at `shown` after the pattern began, and how long until that changes (`None`: never).
    pub fn lit(self, shown: Duration) -> (bool, Option<Duration>) {
        let spans = self.spans();
        let total: u64 = spans.iter().map(|&s| u64::from(s)).sum();
        if spans.contains(&0) {
            return (spans[0] > 0, None);
        }
        let shown_us = u64::try_from(shown.as_micros()).unwrap_or(u64::MAX);
        let mut left = shown_us % (total * 1000);
        for (index, &span) in spans.iter().enumerate() {
            let span = u64::from(span) * 1000;
            if left < span {
                return (index % 2 == 0, Some(Duration::from_micros(span - left)));
            }
            left -= span;
        }
        (false, Some(Duration::ZERO))
    }
}
