//! A count that only grows, over the last seconds: how much it was at a time, and when it was so much.

use std::collections::VecDeque;

/// No byte waits longer than this and is still of interest: longer than what is queued on air (2 s) and any way (1 s),
/// and room for what the kernel holds. Seconds.
const KEPT: f64 = 15.0;

#[derive(Clone, Debug, Default)]
pub(super) struct Curve {
    /// Time and count, both growing.
    points: VecDeque<(f64, f64)>,
}

impl Curve {
    /// It is `count` at `at`.
    pub(super) fn add(&mut self, at: f64, count: f64) {
        if self.points.back().is_some_and(|last| last.0 > at || last.1 >= count) {
            return;
        }
        self.points.push_back((at, count));
        // The last one before that tells how much it was then.
        while self.points.get(1).is_some_and(|old| at - old.0 > KEPT) {
            self.points.pop_front();
        }
    }

    /// How much it is.
    pub(super) fn last(&self) -> f64 {
        self.points.back().map_or(0.0, |point| point.1)
    }

    /// When it first was more than `count`; `None`: it never was.
    pub(super) fn reached(&self, count: f64) -> Option<f64> {
        let index = self.points.partition_point(|point| point.1 <= count);
        self.points.get(index).map(|point| point.0)
    }

    /// How much it was at `at`.
    pub(super) fn at(&self, at: f64) -> f64 {
        let index = self.points.partition_point(|point| point.0 <= at);
        let known = index.checked_sub(1).and_then(|index| self.points.get(index));
        known.or(self.points.front()).map_or(0.0, |point| point.1)
    }
}
