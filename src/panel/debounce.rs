//! A level that holds long enough to be believed. Pure.

use core::time::Duration;

use crate::consent::Time;

/// Turns a bouncing level into a settled one.
#[derive(Debug)]
pub struct Debouncer {
    span: Duration,
    settled: bool,
    pending: Option<(bool, Time)>,
}

impl Debouncer {
    /// A level has to hold for `span` to be believed; `initial` is believed from the start.
    pub const fn new(span: Duration, initial: bool) -> Self {
        Self { span, settled: initial, pending: None }
    }

    /// The raw level changed, or was read again.
    pub fn level(&mut self, now: Time, level: bool) {
        if level == self.settled {
            self.pending = None;
        } else if self.pending.is_none() {
            self.pending = Some((level, now));
        }
    }

    /// The new settled level, once.
    pub fn settle(&mut self, now: Time) -> Option<bool> {
        let (level, since) = self.pending?;
        (now.since(since) >= self.span).then(|| {
            self.pending = None;
            self.settled = level;
            level
        })
    }

    /// When [`Debouncer::settle`] will have something to say, if nothing changes until then.
    pub fn deadline(&self) -> Option<Time> {
        self.pending.map(|(_, since)| since.plus(self.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Time {
        Time::at(Duration::from_millis(millis))
    }

    #[test]
    fn a_level_that_holds_is_believed_once() {
        let mut button = Debouncer::new(Duration::from_millis(30), false);
        button.level(ms(0), true);
        assert_eq!(button.deadline(), Some(ms(30)));
        assert_eq!(button.settle(ms(29)), None);
        assert_eq!(button.settle(ms(30)), Some(true));
        assert_eq!(button.settle(ms(31)), None);
        assert_eq!(button.deadline(), None);
    }

    #[test]
    fn a_bounce_starts_the_wait_anew() {
        let mut button = Debouncer::new(Duration::from_millis(30), false);
        for (at, level) in [(0, true), (5, false), (7, true), (20, false), (22, true)] {
            button.level(ms(at), level);
            assert_eq!(button.settle(ms(at)), None);
        }
        assert_eq!(button.settle(ms(51)), None);
        assert_eq!(button.settle(ms(52)), Some(true));
    }

    #[test]
    fn a_spike_is_nothing() {
        let mut button = Debouncer::new(Duration::from_millis(30), false);
        button.level(ms(0), true);
        button.level(ms(10), false);
        assert_eq!(button.deadline(), None);
        assert_eq!(button.settle(ms(100)), None);
    }
}
