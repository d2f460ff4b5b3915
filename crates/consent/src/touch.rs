//! One touch of the record button, from down to up, and the holds it passes on the way.
//!
//! The guard may hear of a touch late. So a touch has two lengths: the longest that it may have been, which decides
//! what it starts, and the one that is sure, which decides what a hold brings. Both have to agree on what cannot be
//! undone.

use core::time::Duration;

use super::limits::{
    ACKNOWLEDGE, LOCK, LOOK_AWAY, LOOK_EVERY, PICTURE_BELOW, SOUND_BELOW, STUCK, UNBIND, UNBIND_WARNING,
};
use monotonic::Monotonic;

/// The button, as far as gestures go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Touch {
    /// Not seen up since the guard started or the button was broken: whatever is held now was not pressed for us.
    #[default]
    Unknown,
    /// Nobody touches it.
    Up,
    /// Somebody does.
    Down(Held),
}

/// A touch that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// When the guard heard of it; the finger came at this time or before.
    since: Monotonic,
    /// When the guard last looked, and it was down.
    seen: Monotonic,
    /// How long it was surely down: what lies between two looks that are too far apart does not count.
    sure: Duration,
    /// How long it was down by the kernel's clock; told just before it comes up, by panels that know.
    told: Option<Duration>,
    /// It has had its effect (it stopped, unlocked, ...), so letting go starts nothing.
    spent: bool,
    /// It may have begun before anybody heard of it, how long before is not known.
    vague: bool,
    /// The last hold that was acted on.
    reached: Hold,
}

/// Holds that have an effect while the button is still down, in the order in which a long touch reaches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hold {
    Short,
    Acknowledge,
    Lock,
    UnbindWarning,
    Stuck,
}

impl Hold {
    const fn next(self) -> Option<(Duration, Self)> {
        match self {
            Self::Short => Some((ACKNOWLEDGE, Self::Acknowledge)),
            Self::Acknowledge => Some((LOCK, Self::Lock)),
            Self::Lock => Some((UNBIND_WARNING, Self::UnbindWarning)),
            Self::UnbindWarning => Some((STUCK, Self::Stuck)),
            Self::Stuck => None,
        }
    }
}

/// What a touch that was let go asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gesture {
    /// A press.
    Start { sound: bool },
    /// A hold of 5 s. `new`: nobody knew of it before the release; `in_time`: it surely came up before it would have
    /// counted as stuck.
    Lock { new: bool, in_time: bool },
    /// A hold of 10 s.
    Unbind,
    /// Something else, or nothing that is known well enough.
    Nothing,
}

impl Held {
    /// What letting go at `now` means.
    fn ends(self, now: Monotonic) -> Gesture {
        let heard = now.duration_since(self.since);
        let longest = self.told.unwrap_or_default().max(heard);
        if !self.spent && longest < PICTURE_BELOW {
            return Gesture::Start { sound: longest < SOUND_BELOW };
        }
        let in_time = !self.vague && longest < STUCK;
        // The lamp warned, and each clock that there is says 10 s.
        let warned = self.reached >= Hold::UnbindWarning;
        if in_time && warned && heard >= UNBIND && self.told.unwrap_or(self.sure) >= UNBIND {
            return Gesture::Unbind;
        }
        // A lock is the safe side: without the kernel's word a touch may have been as long as it was heard.
        let new = self.reached < Hold::Lock;
        if !new || self.told.unwrap_or(heard).max(self.sure) >= LOCK {
            return Gesture::Lock { new, in_time };
        }
        Gesture::Nothing
    }
}

impl Touch {
    /// It went down, or was found down by somebody who does not know since when. `spent`: letting go will start
    /// nothing.
    pub(super) fn down(&mut self, now: Monotonic, spent: bool, found: bool) {
        match self {
            // Still held from a time of which nothing is known.
            Self::Unknown => {}
            Self::Up => {
                let (sure, told, reached) = (Duration::ZERO, None, Hold::Short);
                let spent = spent || found;
                *self = Self::Down(Held { since: now, seen: now, sure, told, spent, vague: found, reached });
            }
            // A release that nobody heard of: which of the two touches is how long is not known.
            Self::Down(held) => (held.spent, held.vague) = (true, true),
        }
    }

    /// Lets go; tells what that asks for.
    pub(super) fn up(&mut self, now: Monotonic) -> Gesture {
        match core::mem::replace(self, Self::Up) {
            Self::Down(held) => held.ends(now),
            Self::Unknown | Self::Up => Gesture::Nothing,
        }
    }

    /// Nothing is known of the finger until the button is seen up.
    pub(super) fn forget(&mut self) {
        *self = Self::Unknown;
    }

    /// Somebody looks: time that passed since the last look counts if it was short enough to have seen a release.
    pub(super) fn look(&mut self, now: Monotonic) {
        match self {
            Self::Down(held) => {
                let gap = now.duration_since(held.seen);
                if gap <= LOOK_AWAY {
                    held.sure += gap;
                }
                held.seen = now;
            }
            Self::Unknown | Self::Up => {}
        }
    }

    /// The next hold that this touch has reached and that was not yet acted on.
    pub(super) fn passes(&mut self) -> Option<Hold> {
        match self {
            Self::Down(held) => {
                let (after, next) = held.reached.next()?;
                (held.sure >= after).then(|| {
                    held.reached = next;
                    next
                })
            }
            Self::Unknown | Self::Up => None,
        }
    }

    /// The kernel's word on how long it was down.
    pub(super) fn was_held(&mut self, span: Duration) {
        match self {
            Self::Down(held) => held.told = Some(held.told.unwrap_or_default().max(span)),
            Self::Unknown | Self::Up => {}
        }
    }

    /// Letting go will start nothing.
    pub(super) fn spend(&mut self) {
        match self {
            Self::Down(held) => held.spent = true,
            Self::Unknown | Self::Up => {}
        }
    }

    /// Letting go may soon unbind, or does already.
    pub(super) const fn warns(self) -> bool {
        matches!(self, Self::Down(Held { reached: Hold::UnbindWarning, .. }))
    }

    /// When somebody has to look again: at the next hold, and often enough for it to count.
    pub(super) fn deadline(self) -> Option<Monotonic> {
        match self {
            Self::Down(held) => held
                .reached
                .next()
                .map(|(after, _)| held.seen.saturating_add(after.saturating_sub(held.sure).min(LOOK_EVERY))),
            Self::Unknown | Self::Up => None,
        }
    }
}
