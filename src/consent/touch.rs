//! One touch of the record button, from down to up, and the holds it passes on the way.

use super::Time;
use super::limits::{ACKNOWLEDGE, HEARD_LATE, LOCK, PICTURE_BELOW, SOUND_BELOW, STUCK, UNBIND, UNBIND_WARNING};

/// The button, as far as gestures go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Touch {
    /// Not seen up since the guard started: whatever is held now was not pressed for us.
    #[default]
    Unknown,
    /// Nobody touches it.
    Up,
    /// Somebody does.
    Down {
        since: Time,
        /// It has had its effect (it stopped, unlocked, ...), so letting go starts nothing.
        spent: bool,
        /// The last hold that was acted on.
        reached: Hold,
    },
}

/// Holds, in the order in which a long touch reaches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hold {
    Short,
    Acknowledge,
    Lock,
    UnbindWarning,
    Unbind,
    Stuck,
}

impl Hold {
    const fn next(self) -> Option<(core::time::Duration, Self)> {
        match self {
            Self::Short => Some((ACKNOWLEDGE, Self::Acknowledge)),
            Self::Acknowledge => Some((LOCK, Self::Lock)),
            Self::Lock => Some((UNBIND_WARNING, Self::UnbindWarning)),
            Self::UnbindWarning => Some((UNBIND, Self::Unbind)),
            Self::Unbind => Some((STUCK, Self::Stuck)),
            Self::Stuck => None,
        }
    }
}

/// What a touch that was let go asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gesture {
    Start { sound: bool },
    Nothing,
}

impl Touch {
    pub(super) fn down(&mut self, now: Time, spent: bool) {
        *self = Self::Down { since: now, spent, reached: Hold::Short };
    }

    /// Lets go; tells what that asks for.
    pub(super) fn up(&mut self, now: Time) -> Gesture {
        let was = core::mem::replace(self, Self::Up);
        match was {
            Self::Down { since, spent: false, .. } => match now.since(since) {
                held if held < SOUND_BELOW => Gesture::Start { sound: true },
                held if held < PICTURE_BELOW => Gesture::Start { sound: false },
                _ => Gesture::Nothing,
            },
            Self::Down { spent: true, .. } | Self::Unknown | Self::Up => Gesture::Nothing,
        }
    }

    /// The next hold that this touch has reached by `now` and that was not yet acted on.
    pub(super) fn passes(&mut self, now: Time) -> Option<Hold> {
        match self {
            Self::Down { since, reached, .. } => {
                let (after, hold) = reached.next()?;
                (now.since(*since) >= after).then(|| {
                    *reached = hold;
                    hold
                })
            }
            Self::Unknown | Self::Up => None,
        }
    }

    /// It began earlier than was heard.
    pub(super) fn was_held(&mut self, now: Time, held: core::time::Duration) {
        match self {
            Self::Down { since, .. } => *since = (*since).min(now.minus(held.min(HEARD_LATE))),
            Self::Unknown | Self::Up => {}
        }
    }

    /// Letting go will start nothing.
    pub(super) fn spend(&mut self) {
        match self {
            Self::Down { spent, .. } => *spent = true,
            Self::Unknown | Self::Up => {}
        }
    }

    pub(super) const fn warns(self) -> bool {
        matches!(self, Self::Down { reached: Hold::UnbindWarning, .. })
    }

    /// When [`Self::passes`] will next have something to say.
    pub(super) fn deadline(self) -> Option<Time> {
        match self {
            Self::Down { since, reached, .. } => reached.next().map(|(after, _)| since.plus(after)),
            Self::Unknown | Self::Up => None,
        }
    }
}
