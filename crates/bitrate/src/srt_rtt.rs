//! Recovers single round-trip times from the smoothed one (SRTT) that SRT reports, and from them how far the server's
//! acknowledgements have come.
//!
//! libsrt's receiver measures from an acknowledgement (ACK) to the sender's answer to it (ACKACK), which queues behind
//! all data that was sent before it, and reports an average into which each new sample enters by an eighth. When a link
//! becomes slower the samples also come less often, and the average lags by seconds. Each change of the average,
//! though, reveals the sample that caused it.

use super::history::CounterHistory;

/// By how much a new sample enters the average (libsrt, `avg_iir<8>`).
const SRTT_GAIN: f64 = 0.125;
/// When acknowledgements arrive and the average does not change, the new samples equal the last one, if that is this
/// close to the average: libsrt counts whole microseconds. Seconds.
const EQUAL_TOLERANCE: f64 = 0.000_05;
/// What SRT reports before its first sample. Seconds.
const INITIAL_RTT: f64 = 0.1;
/// Between two acknowledgements, which is how exactly times are known. Seconds.
const ACK_INTERVAL: f64 = 0.01;
/// This many samples renew the average completely, so that they cannot be told apart.
const MAX_SAMPLES: u32 = 16;
/// Two averages closer than this are the same. Seconds.
const UNCHANGED: f64 = 1e-9;

/// The round-trip times of one connection. Seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct RttUnsmoother {
    smoothed: Option<f64>,
    last_sample: f64,
    /// The smallest average so far: no single sample is much shorter.
    min_smoothed: f64,
    /// The smallest sample since `take_min`.
    min_sample: Option<f64>,
    /// Acknowledgements received, each of which the sender answered at once.
    acks: CounterHistory,
    last_sample_at: f64,
    acked_until: f64,
}

impl RttUnsmoother {
    /// Records the average and the number of acknowledgements received, as they are at `at`.
    pub(super) fn record(&mut self, at: f64, smoothed: f64, acks: u64) {
        if self.smoothed.is_none() && (smoothed - INITIAL_RTT).abs() < UNCHANGED {
            return;
        }
        let before = self.smoothed.replace(smoothed);
        let acks_before = self.acks.latest();
        // 2^53 acknowledgements, 100 a second, take three million years.
        #[allow(clippy::cast_precision_loss)]
        self.acks.record(at, acks as f64);
        let Some(before) = before else {
            (self.last_sample, self.min_smoothed) = (smoothed, smoothed);
            return self.record_sample(at);
        };
        self.min_smoothed = self.min_smoothed.min(smoothed);
        if (smoothed - before).abs() > UNCHANGED {
            let sample =
                (1..=MAX_SAMPLES).map(|count| self.sample(at, before, smoothed, count)).find_map(|found| found);
            // Each answer left after the one before it, and none is faster than the unloaded path.
            self.last_sample = sample.unwrap_or(f64::INFINITY).min(at - self.acked_until).max(self.min_smoothed);
        } else if self.acks.latest() > acks_before && (self.last_sample - smoothed).abs() < EQUAL_TOLERANCE {
            self.last_sample = smoothed;
        } else {
            return;
        }
        self.record_sample(at);
    }

    fn record_sample(&mut self, at: f64) {
        self.last_sample_at = at;
        self.acked_until = self.acked_until.max(at - self.last_sample);
        self.min_sample = Some(self.min_sample.map_or(self.last_sample, |min| min.min(self.last_sample)));
    }

    /// The sample that, entered `count` times, turns the average `before` into `smoothed`; `None` if fewer answers than
    /// `count` have left since the last known one. Answers that queue behind one frame arrive together.
    fn sample(&self, at: f64, before: f64, smoothed: f64, count: u32) -> Option<f64> {
        let weight_before = (0..count).fold(1.0, |weight, _| weight * (1.0 - SRTT_GAIN));
        let sample = before + (smoothed - before) / (1.0 - weight_before);
        let since = self.acked_until - ACK_INTERVAL;
        let answers = self.acks.value_at(at - sample) - self.acks.value_at(since);
        (at - sample > since && answers + 1.0 > f64::from(count)).then_some(sample)
    }

    /// The smallest sample since the last call, or else the latest one.
    pub(super) fn take_min(&mut self) -> f64 {
        self.min_sample.take().unwrap_or(self.last_sample)
    }

    /// The average, and when the latest sample came; `None` before the first.
    pub(super) fn latest(&self) -> Option<(f64, f64)> {
        self.smoothed.map(|smoothed| (smoothed, self.last_sample_at))
    }

    /// What left the box until then has arrived or is lost.
    pub(super) fn acked_until(&self) -> f64 {
        self.acked_until
    }
}

#[cfg(test)]
mod tests {
    use super::RttUnsmoother;

    /// The largest error of a recovered sample. Answers leave every 10 ms, each behind the frame before it, into a
    /// queue that takes `queue(time)` seconds to pass for what leaves at `time`.
    fn worst_error(queue: impl Fn(f64) -> f64, frame_interval: f64) -> f64 {
        let (mut rtt, mut smoothed, mut worst) = (RttUnsmoother::default(), 0.04, 0.0_f64);
        let mut in_flight: Vec<(f64, f64)> = Vec::new();
        for tick in 0..200_u32 {
            let now = f64::from(tick) / 100.0;
            // What leaves while a frame is queued arrives with that frame's end.
            let left = (now / frame_interval).floor() * frame_interval;
            in_flight.push((now, (left + 0.04 + queue(left)).max(now + 0.04)));
            let arrived: Vec<_> = in_flight.iter().copied().filter(|(_, at)| *at <= now).collect();
            in_flight.retain(|(_, at)| *at > now);
            for (left, at) in &arrived {
                smoothed += (at - left - smoothed) * 0.125;
            }
            rtt.record(now, smoothed, (tick + 1).into());
            if let Some((left, at)) = arrived.last().filter(|_| now > 0.5) {
                worst = worst.max((rtt.last_sample - (at - left)).abs());
            }
        }
        worst
    }

    #[test]
    fn single_round_trips_are_found_behind_a_queue_that_grows() {
        let grows = |now: f64| (now - 0.5).max(0.0) * 3.0;
        assert!(worst_error(|_| 0.0, 0.01) < 0.01, "{}", worst_error(|_| 0.0, 0.01));
        assert!(worst_error(grows, 0.01) < 0.2, "{}", worst_error(grows, 0.01));
        assert!(worst_error(grows, 1.0 / 30.0) < 0.2, "{}", worst_error(grows, 1.0 / 30.0));
    }

    #[test]
    fn the_value_that_libsrt_reports_before_its_first_sample_is_ignored() {
        let mut rtt = RttUnsmoother::default();
        rtt.record(0.0, 0.1, 0);
        assert_eq!(rtt.latest(), None);
        rtt.record(1.0, 0.3, 1);
        assert_eq!(rtt.latest(), Some((0.3, 1.0)));
    }
}
