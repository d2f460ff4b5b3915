//! What a box does about the release in force, now.

use core::time::Duration;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::release::Release;
use crate::version::Version;
use crate::wave::{Turn, WaveState};

/// After a session the box is left alone for this long: whoever stopped may start again.
pub const AFTER_SESSION: Duration = Duration::from_mins(5);

/// A text is no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write two times of the day, as \"02:00-05:00\"")]
pub struct WindowError;

/// The part of the day in which updates are installed, in minutes from midnight of the box's local time. One that ends
/// before it begins lies over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: u16,
    until: u16,
}

const DAY_MINUTES: u16 = 24 * 60;

impl Window {
    /// How long it is until the window opens, at this second of the local day; zero: it is open.
    pub fn opens_in(self, second_of_day: u32) -> Duration {
        let minute = u16::try_from(second_of_day / 60).unwrap_or(0) % DAY_MINUTES;
        let is_open = if self.from < self.until {
            (self.from..self.until).contains(&minute)
        } else {
            minute >= self.from || minute < self.until
        };
        if is_open {
            return Duration::ZERO;
        }
        let minutes = (self.from + DAY_MINUTES - minute) % DAY_MINUTES;
        Duration::from_secs(u64::from(minutes) * 60).saturating_sub(Duration::from_secs(u64::from(second_of_day % 60)))
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let time = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let number = |text: &str, below: u16| {
                let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| text.parse::<u16>().ok()).flatten().filter(|number| *number < below)
            };
            Some(number(hours, 24)? * 60 + number(minutes, 60)?)
        };
        let (from, until) = text.split_once('-').ok_or(WindowError)?;
        let (from, until) = (time(from).ok_or(WindowError)?, time(until).ok_or(WindowError)?);
        if from == until { Err(WindowError) } else { Ok(Self { from, until }) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from, self.until);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

/// How it stands with sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionView {
    /// One is on, or staff are asked for one.
    On,
    /// The last one ended this long ago.
    EndedAgo(Duration),
    /// There was none since the box came up, nor shortly before.
    None,
}

impl SessionView {
    /// How long the box is still left alone; `None`: nobody knows, because a session is on.
    fn quiet_in(self) -> Option<Duration> {
        match self {
            Self::On => None,
            Self::EndedAgo(ago) => Some(AFTER_SESSION.saturating_sub(ago)),
            Self::None => Some(Duration::ZERO),
        }
    }
}

/// What of a box matters for its updates.
#[derive(Clone, Debug)]
pub struct BoxView<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its channel.
    pub channel: &'a str,
    /// Debian's name of its architecture.
    pub architecture: &'a str,
    /// The version of the package that is installed.
    pub installed: &'a Version,
    /// Whether it takes updates by itself.
    pub automatic: bool,
    /// When it installs them; `None`: at any time.
    pub window: Option<Window>,
    /// The second of its local day, for the window.
    pub second_of_day: u32,
    /// Its wall clock, if that is synchronised. A clock that may be wrong neither expires a document nor starts it.
    pub now: Option<Timestamp>,
    /// Sessions.
    pub session: SessionView,
    /// Until when it was put off by hand.
    pub postponed: Option<Timestamp>,
    /// An operator asked for this version by a signed command, or root did here: turn, window and putting off do not
    /// matter then. Sessions do.
    pub asked: bool,
    /// This version was tried here, and does not get another try by itself.
    pub given_up: bool,
}

/// Why a box waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its turn has not come.
    Turn,
    /// The wave does not reach it as far as it is described.
    Share,
    /// A session is on, or ended less than five minutes ago.
    Session,
    /// The window is closed.
    Window,
    /// It was put off by hand.
    Postponed,
    /// Its clock is not synchronised.
    Clock,
}

/// What a box does about a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it has this version.
    Installed,
    /// Nothing: the document is for another channel.
    OtherChannel,
    /// Nothing: there is no package for its architecture.
    OtherArchitecture,
    /// Nothing: it has a newer version, and the document does not say that it should go back.
    Downgrade,
    /// Nothing: its version is too old to go there in one step.
    BelowMinimum,
    /// Nothing: the document has expired.
    Expired,
    /// Nothing: the wave was stopped.
    Aborted,
    /// Nothing before a newer document.
    Paused,
    /// Nothing before somebody asks: it does not take updates by itself.
    Manual,
    /// Nothing before somebody asks, or a newer version comes: this one failed here.
    GivenUp,
    /// Nothing before `until`, as far as that is known.
    Wait {
        /// Until when.
        until: Option<Timestamp>,
        /// Why.
        why: Hold,
    },
    /// Download it, and do not install it before `until`, as far as that is known.
    Fetch {
        /// Until when.
        until: Option<Timestamp>,
        /// Why.
        why: Hold,
    },
    /// Download and install it now.
    Start,
}

impl Decision {
    /// Why nothing happens, or what happens next: a sentence.
    pub const fn explain(&self) -> &'static str {
        match self {
            Self::Installed => "this version is installed",
            Self::OtherChannel => "it is for another channel: see [update] channel",
            Self::OtherArchitecture => "it has no package for this box's architecture",
            Self::Downgrade => "it is older than what is installed, and the release does not say that boxes go back",
            Self::BelowMinimum => "what is installed is too old to go there in one step: install a version in between",
            Self::Expired => "the release has expired: the operator has to sign a new one",
            Self::Aborted => "the operator stopped this release",
            Self::Paused => "the operator paused this release, or it waits at a pause point",
            Self::Manual => "[update] automatic is off: it waits for a signed command, or for tallybox update install",
            Self::GivenUp => "it failed here, and is not tried again by itself",
            Self::Wait { why, .. } | Self::Fetch { why, .. } => why.explain(),
            Self::Start => "nothing keeps it",
        }
    }
}

impl Hold {
    /// Why the box waits: a sentence.
    pub const fn explain(self) -> &'static str {
        match self {
            Self::Turn => "this box's turn in the wave has not come",
            Self::Share => "the wave does not reach this box yet",
            Self::Session => "a session is on, or ended less than five minutes ago",
            Self::Window => "it waits for [update] window",
            Self::Postponed => "it was put off at the box",
            Self::Clock => "the clock is not synchronised: nobody can tell whether the release has expired",
        }
    }
}

/// Decides. Of several reasons for nothing to happen the one that lasts longest is told.
pub fn decide(release: &Release, seen: &BoxView<'_>) -> Decision {
    if let Some(lasting) = not_for_this_box(release, seen) {
        return lasting;
    }
    let Some(now) = seen.now else { return Decision::Wait { until: None, why: Hold::Clock } };
    if now > release.not_after {
        return Decision::Expired;
    }
    if !seen.asked
        && let Some(decision) = by_itself(release, seen, now)
    {
        return decision;
    }
    let at = |span: Duration| now.checked_add(SignedDuration::try_from(span).unwrap_or_default()).ok();
    match seen.session.quiet_in() {
        // A download would take the stream's bandwidth.
        None => return Decision::Wait { until: None, why: Hold::Session },
        Some(span) if !span.is_zero() => return Decision::Fetch { until: at(span), why: Hold::Session },
        Some(_) => {}
    }
    if seen.asked {
        return Decision::Start;
    }
    if let Some(until) = seen.postponed.filter(|until| *until > now) {
        return Decision::Fetch { until: Some(until), why: Hold::Postponed };
    }
    match seen.window.map(|window| window.opens_in(seen.second_of_day)) {
        Some(span) if !span.is_zero() => Decision::Fetch { until: at(span), why: Hold::Window },
        Some(_) | None => Decision::Start,
    }
}

/// What no time and nobody's wish changes.
fn not_for_this_box(release: &Release, seen: &BoxView<'_>) -> Option<Decision> {
    if release.channel != seen.channel {
        return Some(Decision::OtherChannel);
    }
    if release.version == *seen.installed {
        return Some(Decision::Installed);
    }
    if release.files.of(seen.architecture).is_none() {
        return Some(Decision::OtherArchitecture);
    }
    if release.version < *seen.installed && !release.downgrade {
        return Some(Decision::Downgrade);
    }
    if release.minimum_version.as_ref().is_some_and(|minimum| seen.installed < minimum) {
        return Some(Decision::BelowMinimum);
    }
    (release.wave.state == WaveState::Aborted).then_some(Decision::Aborted)
}

/// What keeps a box that nobody asks.
fn by_itself(release: &Release, seen: &BoxView<'_>, now: Timestamp) -> Option<Decision> {
    if seen.given_up {
        return Some(Decision::GivenUp);
    }
    if !seen.automatic {
        return Some(Decision::Manual);
    }
    if release.wave.state == WaveState::Paused {
        return Some(Decision::Paused);
    }
    match release.turn(seen.id) {
        Turn::BehindPause => Some(Decision::Paused),
        Turn::Beyond => Some(Decision::Wait { until: None, why: Hold::Share }),
        Turn::At(turn) => (turn > now).then_some(Decision::Wait { until: Some(turn), why: Hold::Turn }),
    }
}
