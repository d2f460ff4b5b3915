//! From the smoothed round-trip time that SRT tells back to single round trips, and to how far the server has come.
//!
//! libsrt's receiver measures from an acknowledgement to the sender's answer to it, which queues behind all that was
//! sent before; it tells an average into which each new one enters by an eighth. When a link becomes slower the answers
//! come less often as well, and the average lags by seconds. Taken each time it changes it gives away what went into
//! it.

use super::history::Curve;

/// A new round trip enters the average by so much (libsrt, `avg_iir<8>`).
const EIGHTH: f64 = 0.125;

/// An average that stays as it is although acknowledgements come stands for new round trips like it, if the last one
/// was: libsrt counts whole microseconds. Seconds.
const ALIKE: f64 = 0.000_05;

/// What SRT says before it has measured anything. Seconds.
const UNKNOWN: f64 = 0.1;

/// From one acknowledgement to the next: so much what was found may be off. Seconds.
const SLACK: f64 = 0.01;
/// As many single ones as this make an average anew, and are not told apart.
const MANY: u32 = 16;

/// What was heard of round trips. Seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Trip {
    smoothed: Option<f64>,
    single: f64,
    /// The least average there was: no single one is much shorter.
    shortest: f64,
    /// The shortest since it was last asked for.
    least: Option<f64>,
    /// Acknowledgements heard, each of which was answered at once.
    acks: Curve,
    heard: f64,
    through: f64,
}

impl Trip {
    /// At `at` the average is `smoothed`, and so many acknowledgements had been heard.
    pub(super) fn add(&mut self, at: f64, smoothed: f64, acks: u64) {
        if self.smoothed.is_none() && (smoothed - UNKNOWN).abs() < 1e-9 {
            return;
        }
        let before = self.smoothed.replace(smoothed);
        let answered = self.acks.last();
        // 2^53 acknowledgements, 100 a second, take three million years.
        #[allow(clippy::cast_precision_loss)]
        self.acks.add(at, acks as f64);
        let Some(before) = before else {
            (self.single, self.shortest) = (smoothed, smoothed);
            return self.hear(at);
        };
        self.shortest = self.shortest.min(smoothed);
        if (smoothed - before).abs() > 1e-9 {
            let single = (1..=MANY).map(|many| self.single(at, before, smoothed, many)).find_map(|found| found);
            // Each answer left after the one before it, and none is faster than the way.
            self.single = single.unwrap_or(f64::INFINITY).min(at - self.through).max(self.shortest);
        } else if self.acks.last() > answered && (self.single - smoothed).abs() < ALIKE {
            self.single = smoothed;
        } else {
            return;
        }
        self.hear(at);
    }

    fn hear(&mut self, at: f64) {
        self.heard = at;
        self.through = self.through.max(at - self.single);
        self.least = Some(self.least.map_or(self.single, |least| least.min(self.single)));
    }

    /// The round trip which, `many` times, makes the average `smoothed` of `before`: if so many answers left since the
    /// last one that was heard of. Answers that queue behind one frame arrive together.
    fn single(&self, at: f64, before: f64, smoothed: f64, many: u32) -> Option<f64> {
        let kept = (0..many).fold(1.0, |kept, _| kept * (1.0 - EIGHTH));
        let single = before + (smoothed - before) / (1.0 - kept);
        let since = self.through - SLACK;
        let left = self.acks.at(at - single) - self.acks.at(since);
        (at - single > since && left + 1.0 > f64::from(many)).then_some(single)
    }

    /// The shortest round trip since this was last asked, or the last one.
    pub(super) fn take_least(&mut self) -> f64 {
        self.least.take().unwrap_or(self.single)
    }

    /// The average, and when a round trip was last heard of; none yet.
    pub(super) fn heard(&self) -> Option<(f64, f64)> {
        self.smoothed.map(|smoothed| (smoothed, self.heard))
    }

    /// What left the box until then has arrived, or is lost.
    pub(super) fn through(&self) -> f64 {
        self.through
    }
}

#[cfg(test)]
mod tests {
    use super::Trip;

    /// How far off single round trips are at worst: of answers that leave each 10 ms, each behind the frame before it,
    /// into a queue that what leaves at a time needs `queue(time)` seconds to pass.
    fn worst(queue: impl Fn(f64) -> f64, frame: f64) -> f64 {
        let (mut trip, mut smoothed, mut worst) = (Trip::default(), 0.04, 0.0_f64);
        let mut on_the_way: Vec<(f64, f64)> = Vec::new();
        for tick in 0..200_u32 {
            let now = f64::from(tick) / 100.0;
            // What leaves while a frame is queued arrives with its end.
            let left = (now / frame).floor() * frame;
            on_the_way.push((now, (left + 0.04 + queue(left)).max(now + 0.04)));
            let heard: Vec<_> = on_the_way.iter().copied().filter(|(_, at)| *at <= now).collect();
            on_the_way.retain(|(_, at)| *at > now);
            for (left, at) in &heard {
                smoothed += (at - left - smoothed) * 0.125;
            }
            trip.add(now, smoothed, (tick + 1).into());
            if let Some((left, at)) = heard.last().filter(|_| now > 0.5) {
                worst = worst.max((trip.single - (at - left)).abs());
            }
        }
        worst
    }

    #[test]
    fn single_round_trips_are_found_behind_a_queue_that_grows() {
        let grows = |now: f64| (now - 0.5).max(0.0) * 3.0;
        assert!(worst(|_| 0.0, 0.01) < 0.01, "{}", worst(|_| 0.0, 0.01));
        assert!(worst(grows, 0.01) < 0.2, "{}", worst(grows, 0.01));
        assert!(worst(grows, 1.0 / 30.0) < 0.2, "{}", worst(grows, 1.0 / 30.0));
    }

    #[test]
    fn what_libsrt_says_before_it_knows_is_nothing() {
        let mut trip = Trip::default();
        trip.add(0.0, 0.1, 0);
        assert_eq!(trip.heard(), None);
        trip.add(1.0, 0.3, 1);
        assert_eq!(trip.heard(), Some((0.3, 1.0)));
    }
}
