//! The demo's fingers: a tap on a trackpad lasts 0 to 10 ms, and a button that is so quick is a bounce to the guard.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ipc::Request;
use monotonic::Monotonic;

/// How many moves of the buttons wait at most; more are not taken from the page until some were made.
const WAITING: usize = 16;

/// Moves of the two buttons, spread out in time so that the guard feels each of them.
#[derive(Debug)]
pub(super) struct Buttons {
    /// How long a button keeps each level at least.
    shortest: Duration,
    /// From when on the record and the mute button may be moved.
    free: [Monotonic; 2],
    waiting: VecDeque<(Monotonic, Request)>,
}

impl Buttons {
    pub(super) fn new(shortest: Duration) -> Self {
        Self { shortest, free: [Monotonic::default(); 2], waiting: VecDeque::new() }
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING
    }

    /// Takes a move that the page made at `now`.
    pub(super) fn take(&mut self, now: Monotonic, request: Request) {
        let [record, mute] = &mut self.free;
        let free = if matches!(request, Request::MuteButton { .. }) { mute } else { record };
        let at = now.max(*free);
        *free = at.saturating_add(self.shortest);
        let place = self.waiting.iter().position(|(other, _)| *other > at).unwrap_or(self.waiting.len());
        self.waiting.insert(place, (at, request));
    }

    /// When the next move is due.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.waiting.front().map(|(at, _)| *at)
    }

    /// The next move that is due by `now`.
    pub(super) fn due(&mut self, now: Monotonic) -> Option<Request> {
        if self.deadline()? > now {
            return None;
        }
        self.waiting.pop_front().map(|(_, request)| request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn each_level_lasts_and_the_two_buttons_do_not_wait_for_each_other() {
        let mut fingers = Buttons::new(Duration::from_millis(60));
        let record = |down| Request::Button { down };
        let mute = |down| Request::MuteButton { down };
        for (at, request) in [
            (1000, record(true)),
            (1005, record(false)),
            (1006, mute(true)),
            (1010, record(true)),
            (1500, record(false)),
        ] {
            fingers.take(ms(at), request);
        }
        let mut made = Vec::new();
        while let Some(at) = fingers.deadline() {
            assert_eq!(fingers.due(Monotonic::from_start(at.duration_since(ms(1)))), None);
            made.push((at, fingers.due(at).unwrap()));
        }
        let wanted = [
            (1000, record(true)),
            (1006, mute(true)),
            (1060, record(false)),
            (1120, record(true)),
            (1500, record(false)),
        ];
        assert_eq!(made, wanted.map(|(at, request)| (ms(at), request)));
    }

    #[test]
    fn a_page_that_never_stops_has_to_wait() {
        let mut fingers = Buttons::new(Duration::from_millis(60));
        let mut taken = 0;
        while fingers.has_room() {
            fingers.take(ms(0), Request::Button { down: taken % 2 == 0 });
            taken += 1;
        }
        assert_eq!(taken, WAITING);
        assert!(fingers.due(ms(0)).is_some() && fingers.has_room());
    }
}
