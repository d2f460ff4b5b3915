//! Simulated staff: they start and end sessions, answer most requests, and lock a box now and then.

use std::time::Duration;

use consent::Phase;
use monotonic::Monotonic;

/// How long a short press takes.
const PRESS: Duration = Duration::from_millis(150);
/// Holding this long locks the box.
const LOCK: Duration = Duration::from_millis(5_500);
/// Holding this long unlocks it, acknowledges a policy, and agrees to what the platform wants.
pub(super) const HOLD: Duration = Duration::from_millis(2_500);
/// When the shop closes, a session ends after this: longer than a press takes.
const CLOSING: Duration = Duration::from_secs(1);
/// Of 100 requests from the platform so many are answered by a press.
const ANSWERED: u8 = 85;

/// How busy a shop is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Activity {
    /// Mean time between sessions.
    pub(super) idle: Duration,
    /// Mean length of a session.
    pub(super) live: Duration,
}

/// A movement of a button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Down,
    Up,
    Mute,
}

/// The staff of one shop.
#[derive(Debug)]
pub(super) struct Staff {
    random: fastrand::Rng,
    /// `None`: nobody presses by themselves.
    activity: Option<Activity>,
    /// When they do something next; nothing is planned at [`Monotonic`]'s end.
    next: Monotonic,
    /// The button is down until then.
    held: Option<Monotonic>,
    /// How long the next press is.
    hold: Duration,
    /// The shop is closed: they end what runs, and start nothing.
    is_closed: bool,
}

/// No plan: later than any simulation lasts.
const NEVER: Monotonic = Monotonic::from_start(Duration::from_secs(u64::MAX / 4));

impl Staff {
    /// Staff of a box that starts now.
    pub(super) fn new(seed: u64, activity: Option<Activity>) -> Self {
        let random = fastrand::Rng::with_seed(seed ^ 0x57af);
        let mut staff = Self { random, activity, next: NEVER, held: None, hold: PRESS, is_closed: false };
        if let Some(Activity { idle, .. }) = activity {
            staff.next = staff.after(Monotonic::default(), idle);
        }
        staff
    }

    /// When [`Staff::step`] is due.
    pub(super) fn due(&self) -> Monotonic {
        self.held.unwrap_or(self.next)
    }

    /// They press now, for so long.
    pub(super) fn press(&mut self, now: Monotonic, hold: Duration) {
        (self.next, self.hold) = (now, hold);
    }

    /// They end the session that runs in this phase, and do nothing by themselves any more.
    pub(super) fn close(&mut self, now: Monotonic, phase: Phase) {
        (self.activity, self.hold, self.is_closed) = (None, PRESS, true);
        let ends = phase.may_capture() || self.held.is_some();
        self.next = if ends { now.saturating_add(CLOSING) } else { NEVER };
    }

    /// The lamp asks them to start.
    pub(super) fn asked(&mut self, now: Monotonic) {
        if self.activity.is_some() && self.random.u8(0..100) < ANSWERED {
            self.next = now.saturating_add(Duration::from_secs_f64(2.0 + 18.0 * self.random.f64()));
        }
    }

    /// The lamp asks them to acknowledge a policy, or to agree: they do.
    pub(super) fn asked_to_agree(&mut self, now: Monotonic) {
        if self.activity.is_some() {
            self.next = now.saturating_add(Duration::from_secs_f64(2.0 + 8.0 * self.random.f64()));
        }
    }

    /// What they do by now.
    pub(super) fn step(&mut self, now: Monotonic, phase: Phase) -> Option<Move> {
        if let Some(until) = self.held {
            return (now >= until).then(|| {
                self.held = None;
                Move::Up
            });
        }
        if now < self.next {
            return None;
        }
        let hold = std::mem::replace(&mut self.hold, PRESS);
        self.plan(now, phase);
        // Once in some ten sessions they mute and go on.
        if phase == Phase::Live && hold == PRESS && self.activity.is_some() && self.random.u8(0..100) < 10 {
            return Some(Move::Mute);
        }
        let asks_for_hold = matches!(phase, Phase::Locked | Phase::Policy);
        let hold = if asks_for_hold && hold == PRESS { HOLD } else { hold };
        self.held = Some(now.saturating_add(hold));
        Some(Move::Down)
    }

    /// What comes after the press that is made now in this phase.
    fn plan(&mut self, now: Monotonic, phase: Phase) {
        let starts = matches!(phase, Phase::Idle | Phase::Requested);
        let Some(Activity { idle, live }) = self.activity else {
            // A press that was to end a session, and came when it had ended, began another one.
            self.next = if self.is_closed && starts { now.saturating_add(CLOSING) } else { NEVER };
            return;
        };
        self.next = self.after(now, if starts { live } else { idle });
        if !starts && self.random.u8(0..100) < 3 {
            self.hold = LOCK;
        }
    }

    /// A moment after `now`, exponentially distributed.
    fn after(&mut self, now: Monotonic, mean: Duration) -> Monotonic {
        let wait = mean.mul_f64(-self.random.f64().max(1e-9).ln());
        now.saturating_add(wait.max(Duration::from_secs(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_presses_at_the_same_times_and_lets_go() {
        let activity = Some(Activity { idle: Duration::from_mins(1), live: Duration::from_secs(30) });
        let run = |seed| {
            let (mut staff, mut moves) = (Staff::new(seed, activity), Vec::new());
            for _ in 0..100 {
                let now = staff.due();
                let step = staff.step(now, Phase::Idle).unwrap();
                assert!(moves.last().is_none_or(|(_, last)| *last != step), "down and up take turns");
                moves.push((now, step));
            }
            moves
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_shop_that_closes_ends_with_no_session() {
        let activity = Some(Activity { idle: Duration::from_mins(1), live: Duration::from_secs(30) });
        for presses_before in 0..8 {
            let (mut staff, mut phase) = (Staff::new(7, activity), Phase::Idle);
            for round in 0..20 {
                let now = staff.due();
                if now == NEVER {
                    break;
                }
                if round == presses_before {
                    staff.close(now, phase);
                } else if staff.step(now, phase) == Some(Move::Up) {
                    phase = if phase == Phase::Idle { Phase::Live } else { Phase::Idle };
                }
            }
            assert_eq!((staff.due(), phase), (NEVER, Phase::Idle), "{presses_before}");
        }
    }

    #[test]
    fn without_activity_only_a_script_presses() {
        let mut staff = Staff::new(1, None);
        assert_eq!(staff.due(), NEVER);
        let now = Monotonic::from_start(Duration::from_secs(5));
        staff.press(now, LOCK);
        assert_eq!(staff.step(now, Phase::Live), Some(Move::Down));
        assert_eq!(staff.due(), now.saturating_add(LOCK));
        assert_eq!(staff.step(staff.due(), Phase::Locked), Some(Move::Up));
        assert_eq!(staff.due(), NEVER);
    }
}
