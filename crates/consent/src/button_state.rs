//! The record button: one touch from down to up, and the holds that it reaches meanwhile.
//!
//! The guard may learn of an edge late. So a touch has two lengths: the longest that it may have been, which decides
//! what a press starts, and the confirmed one, which decides what a hold does. Both must agree before anything happens
//! that cannot be undone.

use core::time::Duration;

use super::limits::{
    ACKNOWLEDGE_HOLD, LOCK_HOLD, MAX_POLL_GAP, PICTURE_BELOW, POLL_INTERVAL, SOUND_BELOW, STUCK_HOLD, UNBIND_HOLD,
    UNBIND_WARNING_HOLD,
};
use monotonic::Monotonic;

/// What is known of the button.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum ButtonState {
    /// Not seen up since the guard started or since the button had a fault: what is held now is no press.
    #[default]
    Unknown,
    /// Released.
    Up,
    /// Touched.
    Down(Press),
}

/// A touch that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Press {
    /// When the guard learned of it; it began at this time or before.
    since: Monotonic,
    /// When the button was last polled, and was down.
    last_poll: Monotonic,
    /// How long it was down for certain: time between two polls further apart than [`MAX_POLL_GAP`] does not count.
    confirmed: Duration,
    /// How long it was down by the timestamps of the kernel, where the panel has them; known just before the release.
    kernel_held: Option<Duration>,
    /// It has had its effect (it stopped, unlocked, ...): its release starts nothing.
    consumed: bool,
    /// It may have begun an unknown time before `since`.
    start_unknown: bool,
    /// What the lamp asked when it began.
    question: Question,
    /// The last hold that was acted on.
    reached: Hold,
    /// Since when.
    reached_at: Monotonic,
}

/// What a touch may be the answer to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// Nothing but whether to start or stop.
    #[default]
    None,
    /// A policy, or a change, that waits for staff.
    Policy,
    /// Whether to unbind the box, asked since then.
    Unbind(Monotonic),
    /// Minors' mode: for a guardian's hold, asked since then.
    Guardian(Monotonic),
}

/// Holds that take effect while the button is still down, in the order in which a long touch reaches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
            Self::Short => Some((ACKNOWLEDGE_HOLD, Self::Acknowledge)),
            Self::Acknowledge => Some((LOCK_HOLD, Self::Lock)),
            Self::Lock => Some((UNBIND_WARNING_HOLD, Self::UnbindWarning)),
            Self::UnbindWarning => Some((STUCK_HOLD, Self::Stuck)),
            Self::Stuck => None,
        }
    }
}

/// What a finished touch means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gesture {
    /// A press.
    Start { sound: bool },
    /// A hold of 5 s. `new`: it was not noticed before the release; `in_time`: it was released before it would have
    /// counted as stuck, for certain.
    Lock { new: bool, in_time: bool },
    /// A hold of 10 s.
    Unbind,
    /// A hold of 2 s, and of less than 5 s, which began while the box asked whether to unbind it.
    ConfirmUnbind,
    /// A hold of 2 s, and of less than 3 s, which began while the box asked for a guardian.
    ConfirmStart,
    /// Something else, or something of uncertain length.
    Nothing,
}

impl Press {
    /// What the touch means if it is released at `now`.
    fn gesture_at(self, now: Monotonic) -> Gesture {
        let heard = now.duration_since(self.since);
        let longest = self.kernel_held.unwrap_or_default().max(heard);
        if !self.consumed && longest < PICTURE_BELOW {
            return Gesture::Start { sound: longest < SOUND_BELOW };
        }
        match self.question {
            Question::Unbind(asked) if self.confirms(now, asked, LOCK_HOLD) => return Gesture::ConfirmUnbind,
            Question::Guardian(asked) if self.confirms(now, asked, PICTURE_BELOW) => return Gesture::ConfirmStart,
            Question::Unbind(_) | Question::Guardian(_) | Question::Policy | Question::None => {}
        }
        let in_time = !self.start_unknown && longest < STUCK_HOLD;
        // The lamp warned, and every clock that measured it shows 10 s.
        let warned = self.reached >= Hold::UnbindWarning;
        if in_time && warned && heard >= UNBIND_HOLD && self.kernel_held.unwrap_or(self.confirmed) >= UNBIND_HOLD {
            return Gesture::Unbind;
        }
        // A lock is the safe choice: without the kernel's timestamps the touch may have been as long as it seemed.
        let new = self.reached < Hold::Lock;
        if !new || self.kernel_held.unwrap_or(heard).max(self.confirmed) >= LOCK_HOLD {
            return Gesture::Lock { new, in_time };
        }
        Gesture::Nothing
    }

    /// Whether the release at `now` confirms what was asked since `asked`: the lamp has shown before that it would,
    /// every clock that measured the hold agrees, it began after the question, and it was shorter than `limit`.
    fn confirms(self, now: Monotonic, asked: Monotonic, limit: Duration) -> bool {
        let heard = now.duration_since(self.since);
        let told = self.kernel_held.unwrap_or(heard);
        let began_before = told.saturating_sub(heard) > self.since.duration_since(asked);
        let shortest = self.kernel_held.unwrap_or(self.confirmed).min(heard);
        let in_time = shortest >= ACKNOWLEDGE_HOLD && told.max(heard) < limit;
        let shown = self.reached == Hold::Acknowledge && self.reached_at < now;
        shown && in_time && !self.start_unknown && !began_before
    }
}

impl ButtonState {
    /// The button went down. `consumed`: its release will start nothing. `found`: it was polled as down, and since when
    /// is not known. `question`: what the lamp asks.
    pub(super) fn down(&mut self, now: Monotonic, consumed: bool, found: bool, question: Question) {
        match self {
            // Held since before anything was known of it.
            Self::Unknown => {}
            Self::Up => {
                let (confirmed, kernel_held, reached) = (Duration::ZERO, None, Hold::Short);
                let consumed = consumed || found;
                *self = Self::Down(Press {
                    since: now,
                    last_poll: now,
                    confirmed,
                    kernel_held,
                    consumed,
                    start_unknown: found,
                    question,
                    reached,
                    reached_at: now,
                });
            }
            // The release between two touches was missed: the length of neither is known.
            Self::Down(held) => (held.consumed, held.start_unknown) = (true, true),
        }
    }

    /// The button was released; returns what the touch meant.
    pub(super) fn up(&mut self, now: Monotonic) -> Gesture {
        match core::mem::replace(self, Self::Up) {
            Self::Down(held) => held.gesture_at(now),
            Self::Unknown | Self::Up => Gesture::Nothing,
        }
    }

    /// The button's state is unknown until it is seen up.
    pub(super) fn forget(&mut self) {
        *self = Self::Unknown;
    }

    /// Counts the time since the last poll, if it is short enough that a release in between would have been noticed.
    pub(super) fn poll(&mut self, now: Monotonic) {
        match self {
            Self::Down(held) => {
                let gap = now.duration_since(held.last_poll);
                if gap <= MAX_POLL_GAP {
                    held.confirmed += gap;
                }
                held.last_poll = now;
            }
            Self::Unknown | Self::Up => {}
        }
    }

    /// The next hold that this touch has reached; each is returned once.
    pub(super) fn next_hold(&mut self) -> Option<Hold> {
        match self {
            Self::Down(held) => {
                let (after, next) = held.reached.next()?;
                (held.confirmed >= after).then(|| {
                    (held.reached, held.reached_at) = (next, held.last_poll);
                    next
                })
            }
            Self::Unknown | Self::Up => None,
        }
    }

    /// By the kernel's timestamps the button was down for at least `span`.
    pub(super) fn extend_hold(&mut self, span: Duration) {
        match self {
            Self::Down(held) => held.kernel_held = Some(held.kernel_held.unwrap_or_default().max(span)),
            Self::Unknown | Self::Up => {}
        }
    }

    /// The touch has had its effect: its release will start nothing.
    pub(super) fn consume(&mut self) {
        match self {
            Self::Down(held) => held.consumed = true,
            Self::Unknown | Self::Up => {}
        }
    }

    /// The question changed: a touch that has begun answers none, and starts nothing.
    pub(super) fn retract_question(&mut self) {
        match self {
            Self::Down(held) => (held.consumed, held.question) = (true, Question::None),
            Self::Unknown | Self::Up => {}
        }
    }

    /// Moves all moments, for the model check.
    #[cfg(test)]
    pub(super) fn move_moments(&mut self, now: Monotonic, change: &impl Fn(Monotonic) -> Monotonic) {
        if let Self::Down(held) = self {
            (held.since, held.last_poll) = (change(held.since), change(held.last_poll));
            // What matters is whether that was before the last poll.
            let is_new = held.reached_at == now;
            held.reached_at = if is_new { held.last_poll } else { held.since };
            if let Question::Unbind(asked) | Question::Guardian(asked) = &mut held.question {
                *asked = change(*asked);
            }
        }
    }

    /// What the present touch may be the answer to.
    pub(super) const fn question(self) -> Question {
        match self {
            Self::Down(held) => held.question,
            Self::Unknown | Self::Up => Question::None,
        }
    }

    /// Whether it is known that nobody touches it.
    pub(super) fn is_up(self) -> bool {
        self == Self::Up
    }

    /// Whether the release unbinds, or will soon.
    pub(super) const fn is_unbind_warning(self) -> bool {
        matches!(
            self,
            Self::Down(
                Press { reached: Hold::UnbindWarning, .. }
                    | Press { reached: Hold::Acknowledge, question: Question::Unbind(_), start_unknown: false, .. }
            )
        )
    }

    /// Whether a release would start what a guardian was asked for. From 3 s on it does not any more.
    pub(super) fn is_guardian_enough(self) -> bool {
        match self {
            Self::Down(held) => {
                held.reached == Hold::Acknowledge
                    && matches!(held.question, Question::Guardian(_))
                    && !held.start_unknown
                    && held.last_poll.duration_since(held.since) < PICTURE_BELOW
            }
            Self::Unknown | Self::Up => false,
        }
    }

    /// When the next poll is due: at the next hold, when a guardian's hold gets too long, and often enough for the time
    /// to count.
    pub(super) fn deadline(self) -> Option<Monotonic> {
        match self {
            Self::Down(held) => held.reached.next().map(|(after, _)| {
                let next = held.last_poll.saturating_add(after.saturating_sub(held.confirmed).min(POLL_INTERVAL));
                let too_long = held.since.saturating_add(PICTURE_BELOW);
                if self.is_guardian_enough() { next.min(too_long) } else { next }
            }),
            Self::Unknown | Self::Up => None,
        }
    }
}
