//! Estimates delivery rate and queuing delay from the last seconds of measurements.

use std::collections::VecDeque;

use super::history::CounterHistory;
use super::measurement::{Measurement, TransportStats};
use super::srt_rtt::RttUnsmoother;
use monotonic::Monotonic;

// All times are seconds, since durations are subtracted, divided and compared with rates here.

/// The delivery rate is measured over this span: ten frames at 30 frames per second.
const RATE_SPAN: f64 = 0.3;
/// The same while acknowledgements stall.
const STALLED_RATE_SPAN: f64 = 0.6;
/// A sudden queue shows within this.
const RECENT_SPAN: f64 = 0.2;
/// A round trip measured this long ago still describes the present.
const FEEDBACK_GRACE: f64 = 0.1;
/// A lost packet is repaired after one round trip, or after twice that if it is lost once more. Round trips.
const REPAIR_ROUND_TRIPS: f64 = 2.5;
/// Data that left within two frames of a measured round trip, before or after, may delay the next one.
const FRAME_SPREAD: f64 = 0.07;
/// A queue that is never empty for this long is a standing queue. A keyframe alone (every 2 s, drained in half of that)
/// does not make one.
const STANDING_SPAN: f64 = 1.2;
/// The encoder's output is measured over this span, of some 30 frames.
const PRODUCE_SPAN: f64 = 1.0;
/// The base delay is the minimum of this span: a probe or a drained queue occurs more often.
const BASE_DELAY_SPAN: f64 = 20.0;
/// Tolerance for times that were added up: less than any two measurements are apart.
const TIME_TOLERANCE: f64 = 1e-6;

/// One measurement. Amounts in kilobits.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: f64,
    produced: f64,
    delivered: f64,
    /// The time that `delivered` refers to: with round trips alone, when the latest of them was measured.
    feedback_at: f64,
    retransmitted: f64,
    /// How long the oldest undelivered byte has waited.
    delay: f64,
    /// Upper bound of the delivery rate while feedback is overdue.
    max_rate: f64,
}

/// What the measurements show. Rates in kbit/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LinkEstimate {
    /// When it was measured.
    pub(super) at: f64,
    /// The span of `delivery_rate` and `min_queuing_delay`.
    pub(super) span: f64,
    /// At which rate bytes arrive.
    pub(super) delivery_rate: f64,
    /// At which rate the encoders produce.
    pub(super) produce_rate: f64,
    /// At which rate bytes are sent again.
    pub(super) retransmit_rate: f64,
    /// No feedback arrives: `delivery_rate` is an upper bound, and probably far too high.
    pub(super) no_feedback: bool,
    /// Which bytes have arrived is known; otherwise it follows from round trips.
    pub(super) is_exact: bool,
    /// How far the present delay exceeds the base delay.
    pub(super) queuing_delay: f64,
    /// The smallest such delay of `span`: every byte waited at least this long.
    pub(super) min_queuing_delay: f64,
    /// The same over [`RECENT_SPAN`].
    pub(super) recent_min_queuing_delay: f64,
    /// The same over [`STANDING_SPAN`].
    pub(super) standing_delay: f64,
}

/// The measurements of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkEstimator {
    produced: CounterHistory,
    sent: CounterHistory,
    retransmitted: CounterHistory,
    rtt: RttUnsmoother,
    samples: VecDeque<Sample>,
    /// A windowed minimum filter: time and delay, each delay smaller than all later ones. The first is the base delay.
    delay_minima: VecDeque<(f64, f64)>,
}

fn seconds(now: Monotonic) -> f64 {
    now.duration_since(Monotonic::default()).as_secs_f64()
}

fn kilobits(bytes: u64) -> f64 {
    // 2^53 bits are sent in 14 years at 20 Mbit/s.
    #[allow(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    bytes * 8.0 / 1000.0
}

impl LinkEstimator {
    /// Records what was produced, what of it waits on the box, and round trips. To be called whenever they may have
    /// changed.
    pub(super) fn record(&mut self, m: &Measurement) {
        let at = seconds(m.now);
        self.produced.record(at, kilobits(m.produced_bytes));
        self.sent.record(at, kilobits(m.sent_bytes()));
        let TransportStats { unacked_bytes, rtt, ack_count, retransmitted_bytes, .. } = m.transport;
        if let (None, Some(rtt), Some(acks)) = (unacked_bytes, rtt, ack_count) {
            self.retransmitted.record(at, kilobits(retransmitted_bytes));
            self.rtt.record(at, rtt.as_secs_f64(), acks);
        }
    }

    /// Takes a sample of the link.
    pub(super) fn sample(&mut self, m: &Measurement) {
        let at = seconds(m.now);
        if self.samples.back().is_some_and(|last| last.at >= at) {
            return;
        }
        self.record(m);
        let sample = match (m.transport.unacked_bytes, m.transport.ack_count) {
            // The base delay is unknown before the first round trip.
            (None, Some(_)) => match self.rtt.latest() {
                Some(latest) => self.sample_by_rtt(at, m, latest),
                None => return,
            },
            (unacked, _) => match self.sample_by_unacked(at, m, unacked.unwrap_or(0)) {
                Some(sample) => sample,
                None => return,
            },
        };
        self.update_base_delay(at, sample.delay);
        self.samples.push_back(sample);
        while self.samples.front().is_some_and(|old| at - old.at > STANDING_SPAN.max(PRODUCE_SPAN) + RATE_SPAN) {
            self.samples.pop_front();
        }
    }

    fn update_base_delay(&mut self, at: f64, delay: f64) {
        while self.delay_minima.back().is_some_and(|min| min.1 >= delay) {
            self.delay_minima.pop_back();
        }
        self.delay_minima.push_back((at, delay));
        while self.delay_minima.front().is_some_and(|min| at - min.0 > BASE_DELAY_SPAN) {
            self.delay_minima.pop_front();
        }
    }

    /// A sample where the transport knows which bytes the server has not acknowledged; `None` before the first arrived,
    /// since the base delay is unknown until then.
    fn sample_by_unacked(&self, at: f64, m: &Measurement, unacked_bytes: u64) -> Option<Sample> {
        let sent = kilobits(m.sent_bytes());
        let delivered = (sent - kilobits(unacked_bytes)).max(0.0);
        if delivered <= 0.0 && self.samples.is_empty() {
            return None;
        }
        // With nothing in flight there is no delay to measure: the base delay stands in for it.
        let base_delay = self.delay_minima.front().map_or(0.0, |min| min.1);
        let delay = self.produced.time_of(delivered).map_or(base_delay, |since| at - since);
        let (produced, retransmitted) = (kilobits(m.produced_bytes), kilobits(m.transport.retransmitted_bytes));
        Some(Sample { at, produced, delivered, feedback_at: at, retransmitted, delay, max_rate: f64::INFINITY })
    }

    /// A sample where only round trips are known: the smoothed one, and when it was last updated.
    fn sample_by_rtt(&mut self, at: f64, m: &Measurement, (rtt, feedback_at): (f64, f64)) -> Sample {
        let (produced, retransmitted) = (kilobits(m.produced_bytes), kilobits(m.transport.retransmitted_bytes));
        let sent = kilobits(m.sent_bytes());
        let acked_until = self.rtt.acked_until();
        // Each packet that is sent again stands for one that did not arrive.
        let delivered = self.sent.value_at(acked_until) + self.retransmitted.value_at(acked_until) - retransmitted;
        let delivered = delivered.max(self.samples.back().map_or(0.0, |last| last.delivered));
        // No feedback comes from behind a keyframe before all of it has passed: for that long its absence means
        // nothing.
        let in_flight = self.sent.value_at(feedback_at + FRAME_SPREAD) - self.sent.value_at(acked_until - FRAME_SPREAD);
        let produce_rate = self.samples.back().map_or(0.0, |last| self.produce_rate(last));
        // Nor is anything acknowledged behind a lost packet before that was sent again.
        let lost = retransmitted > self.retransmitted.value_at(feedback_at - FEEDBACK_GRACE);
        let repair = if lost { REPAIR_ROUND_TRIPS * rtt } else { 0.0 };
        let silence = at - feedback_at;
        // With nothing in flight there is no feedback to come.
        let overdue = silence > FEEDBACK_GRACE + in_flight / produce_rate.max(1.0) + repair
            && sent > self.sent.value_at(acked_until);
        let in_network = if overdue { at - acked_until } else { self.rtt.take_min() };
        let on_box = self.produced.time_of(sent).map_or(0.0, |since| at - since);
        // A faster link would have given feedback by now.
        let max_rate = if overdue { in_flight / silence } else { f64::INFINITY };
        Sample { at, produced, delivered, feedback_at, retransmitted, delay: on_box + in_network, max_rate }
    }

    /// The present estimate; `None` while there are too few samples.
    pub(super) fn estimate(&self) -> Option<LinkEstimate> {
        let last = self.samples.back()?;
        let first = self.first_sample_within(last, STANDING_SPAN)?;
        if last.at - first.at < RATE_SPAN * 0.9 {
            return None;
        }
        let base_delay = self.delay_minima.front()?.1;
        let span = if self.acks_stalled(last) { STALLED_RATE_SPAN } else { RATE_SPAN };
        let (before, from) = (self.sample_before(last, span)?, self.first_sample_within(last, PRODUCE_SPAN)?);
        let no_feedback = last.max_rate.is_finite();
        let recent_delay = if no_feedback { last.delay } else { self.min_delay_since(last.at - RECENT_SPAN) };
        // Over a shorter span a standing queue cannot be told from a passing one.
        let is_long_enough = last.at - first.at >= STANDING_SPAN * 0.9;
        let standing_delay = if is_long_enough { self.min_delay_since(first.at) - base_delay } else { 0.0 };
        let rate = (last.delivered - before.delivered) / (last.feedback_at - before.feedback_at);
        Some(LinkEstimate {
            at: last.at,
            span,
            delivery_rate: rate.clamp(0.0, last.max_rate),
            no_feedback,
            is_exact: self.rtt.latest().is_none(),
            produce_rate: self.produce_rate(last),
            retransmit_rate: (last.retransmitted - from.retransmitted) / (last.at - from.at),
            queuing_delay: last.delay - base_delay,
            min_queuing_delay: self.min_delay_since(last.at - span) - base_delay,
            recent_min_queuing_delay: recent_delay - base_delay,
            standing_delay,
        })
    }

    /// Whether something left the box that nothing was heard of.
    pub(super) fn has_unanswered(&self) -> bool {
        self.sent.latest() > self.rtt.latest().map_or(0.0, |_| self.sent.value_at(self.rtt.acked_until()))
    }

    /// Takes the present delay as the base delay: the path has become longer.
    pub(super) fn rebase_delay(&mut self) {
        if let Some(last) = self.samples.back() {
            self.delay_minima = VecDeque::from([(last.at, last.delay)]);
        }
    }

    /// Whether nothing at all was acknowledged for a moment although data was in flight. TCP acknowledges in order, so
    /// one lost packet holds back all that came behind it. A link that is merely slow always acknowledges something.
    fn acks_stalled(&self, last: &Sample) -> bool {
        let recent = self.samples.iter().skip_while(|sample| last.at - sample.at > RATE_SPAN + TIME_TOLERANCE);
        let mut pairs = recent.clone().zip(recent.skip(1));
        pairs.any(|(before, after)| after.delivered <= before.delivered && after.produced > after.delivered)
    }

    fn min_delay_since(&self, since: f64) -> f64 {
        let recent = self.samples.iter().rev().take_while(|sample| sample.at > since - TIME_TOLERANCE);
        recent.map(|sample| sample.delay).fold(f64::INFINITY, f64::min)
    }

    /// At which rate the encoders produced until `last`; 0 while that is unknown.
    fn produce_rate(&self, last: &Sample) -> f64 {
        let from = self.first_sample_within(last, PRODUCE_SPAN);
        from.map_or(0.0, |from| (last.produced - from.produced) / (last.at - from.at))
    }

    /// The sample whose feedback is `span` older than that of `last`, or else the oldest.
    fn sample_before(&self, last: &Sample, span: f64) -> Option<&Sample> {
        let is_older = |sample: &&Sample| last.feedback_at - sample.feedback_at >= span - TIME_TOLERANCE;
        let oldest = self.samples.front().filter(|first| first.feedback_at < last.feedback_at - 0.05);
        self.samples.iter().rev().find(is_older).or(oldest)
    }

    /// The oldest sample that is at most `span` older than `last`.
    fn first_sample_within(&self, last: &Sample, span: f64) -> Option<&Sample> {
        self.samples.iter().find(|sample| last.at - sample.at <= span + TIME_TOLERANCE && sample.at < last.at)
    }
}
