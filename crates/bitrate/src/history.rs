//! The recent history of a counter that only grows: its value at a time, and the time at which it had a value.

use std::collections::VecDeque;

/// Longer than any byte is on its way that still matters: what is queued on air (2 s), the longest round trip (1 s) and
/// what the kernel buffers. Seconds.
const HISTORY: f64 = 15.0;

#[derive(Clone, Debug, Default)]
pub(super) struct CounterHistory {
    /// Time and count, both strictly growing.
    points: VecDeque<(f64, f64)>,
}

impl CounterHistory {
    /// Records that the counter stood at `count` at `at`.
    pub(super) fn record(&mut self, at: f64, count: f64) {
        if self.points.back().is_some_and(|last| last.0 > at || last.1 >= count) {
            return;
        }
        self.points.push_back((at, count));
        // The newest point before that span stays: it holds the value at the span's start.
        while self.points.get(1).is_some_and(|old| at - old.0 > HISTORY) {
            self.points.pop_front();
        }
    }

    /// The latest count.
    pub(super) fn latest(&self) -> f64 {
        self.points.back().map_or(0.0, |point| point.1)
    }

    /// When the counter first exceeded `count`; `None` if it never did.
    pub(super) fn time_of(&self, count: f64) -> Option<f64> {
        let index = self.points.partition_point(|point| point.1 <= count);
        self.points.get(index).map(|point| point.0)
    }

    /// The count at `at`.
    pub(super) fn value_at(&self, at: f64) -> f64 {
        let index = self.points.partition_point(|point| point.0 <= at);
        let known = index.checked_sub(1).and_then(|index| self.points.get(index));
        known.or(self.points.front()).map_or(0.0, |point| point.1)
    }
}
