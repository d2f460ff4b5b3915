//! The rate of the whole stream, audio and video together: a state machine whose phases have BBR's names.

use crate::estimator::LinkEstimate;
use crate::tuning::Tuning;

/// Below this share of the target before the link became slower, the target is still on its way back to it.
const BACK_SHARE: f64 = 0.9;

/// Lowest and highest rate, in kbit/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Bounds {
    pub(super) fn clamp(self, kbps: f64) -> f64 {
        kbps.clamp(self.min, self.max)
    }
}

/// What the measured delay turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueVerdict {
    /// A queue, which drains; or there is none.
    Drains,
    /// It remains whatever the rate: it belongs to the path.
    IsBaseDelay,
}

/// Rates in kbit/s, times in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// There is no queue; the target may rise at `next_rise_at`.
    Steady {
        next_rise_at: f64,
    },
    /// More than `good`, the last rate known to work, is tried, since `since`.
    Probing {
        since: f64,
        good: f64,
    },
    Draining(Drain),
}

/// A queue that drains.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Drain {
    since: f64,
    /// The queuing delay at its start.
    delay: f64,
    /// The link's capacity, as far as it is known.
    capacity: f64,
    /// The highest target once it is over.
    max_after: f64,
    /// The target does not fall again before this.
    next_back_off_at: f64,
}

/// How fast a queue is to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrainSpeed {
    /// The link became slower.
    Fast,
    /// A small queue, which may be the beginning of a larger one: the target may fall again at once.
    Gentle,
}

/// One update's input, and what all phases derive from it.
struct Round<'a> {
    estimate: &'a LinkEstimate,
    bounds: Bounds,
    target: f64,
    /// Seconds from one frame to the next: no delay is known more exactly.
    frame_interval: f64,
    /// A shorter delay counts as no queue.
    empty_delay: f64,
    /// The link carries less than the target.
    is_congested: bool,
}

/// The target, and what is known of the link.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    tuning: Tuning,
    target: f64,
    /// The link's capacity when the target last exceeded it.
    capacity: Option<f64>,
    phase: Phase,
    /// The last target that passed without a queue.
    carried: Option<f64>,
    /// That before the link became slower, and when it did.
    before_fall: Option<(f64, f64)>,
    probe_interval: f64,
    /// Until then retransmissions are the echo of a rate that has been lowered already.
    retransmit_holdoff_until: f64,
}

impl Rate {
    pub(super) fn new(target: f64) -> Self {
        let tuning = Tuning::CAUTIOUS;
        Self {
            tuning,
            target,
            capacity: None,
            phase: Phase::Steady { next_rise_at: 0.0 },
            carried: None,
            before_fall: None,
            probe_interval: tuning.probe_interval,
            retransmit_holdoff_until: 0.0,
        }
    }

    /// In kbit/s. May lie outside of the present bounds, which can change.
    pub(super) fn target(&self) -> f64 {
        self.target
    }

    /// Keeps the target and forgets the link: a new connection may take another.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.target);
    }

    /// Nothing was heard of the link yet.
    pub(super) fn halve(&mut self, bounds: Bounds) {
        self.target = bounds.clamp(self.target / 2.0);
    }

    /// Follows the protocol's own bandwidth estimate.
    pub(super) fn follow_estimate(&mut self, kbps: f64, bounds: Bounds) {
        *self = Self::new(bounds.clamp(kbps * self.tuning.headroom));
    }

    /// Advances by one measurement. `frame_interval` is in seconds.
    pub(super) fn update(&mut self, estimate: &LinkEstimate, bounds: Bounds, frame_interval: f64) -> QueueVerdict {
        self.tuning = if estimate.is_exact { Tuning::PATIENT } else { Tuning::CAUTIOUS };
        let round = self.round(estimate, bounds, frame_interval);
        let (phase, verdict) = match self.phase {
            Phase::Steady { next_rise_at } => (self.steady(&round, next_rise_at), QueueVerdict::Drains),
            Phase::Probing { since, good } => (self.probing(&round, since, good), QueueVerdict::Drains),
            Phase::Draining(drain) => self.draining(&round, drain),
        };
        self.phase = phase;
        verdict
    }

    fn round<'a>(&mut self, estimate: &'a LinkEstimate, bounds: Bounds, frame_interval: f64) -> Round<'a> {
        let Tuning { queue_delay, spike_delay, delivery_shortfall, retransmit_share, .. } = self.tuning;
        let target = bounds.clamp(self.target);
        let has_queue = estimate.min_queuing_delay > queue_delay || estimate.recent_min_queuing_delay > spike_delay;
        let is_policed = estimate.retransmit_rate > retransmit_share * target
            && estimate.delivery_rate < target
            && estimate.at >= self.retransmit_holdoff_until;
        if is_policed {
            self.retransmit_holdoff_until = estimate.at + self.tuning.retransmit_holdoff;
        }
        Round {
            estimate,
            bounds,
            target,
            frame_interval,
            empty_delay: self.tuning.empty_delay.max(frame_interval),
            is_congested: (has_queue && estimate.delivery_rate < delivery_shortfall * target) || is_policed,
        }
    }

    fn steady(&mut self, round: &Round<'_>, next_rise_at: f64) -> Phase {
        let Round { estimate, bounds, target, is_congested, .. } = *round;
        if is_congested || estimate.standing_delay > self.tuning.standing_delay {
            self.probe_interval = self.tuning.probe_interval;
            let speed = if is_congested { DrainSpeed::Fast } else { DrainSpeed::Gentle };
            if is_congested {
                self.note_fall(target, estimate.at);
            }
            self.back_off(round, Bounds { min: bounds.min, max: target }, speed)
        } else if estimate.at >= next_rise_at {
            self.increase(round)
        } else {
            Phase::Steady { next_rise_at }
        }
    }

    /// The link carries less than `target`. Where that is on the way back to an earlier target, the link does not carry
    /// that any more.
    fn note_fall(&mut self, target: f64, at: f64) {
        let is_on_the_way_back = self.before_fall.is_some_and(|(before, _)| target < before * BACK_SHARE);
        self.before_fall = self.carried.take().filter(|_| !is_on_the_way_back).map(|carried| (carried, at));
    }

    /// Whether the link carried `kbps` just before it became slower.
    fn was_carried(&self, kbps: f64, at: f64) -> bool {
        let Tuning { fall_memory, fall_share, .. } = self.tuning;
        self.before_fall.is_some_and(|(before, since)| at - since < fall_memory && kbps <= before * fall_share)
    }

    fn probing(&mut self, round: &Round<'_>, since: f64, good: f64) -> Phase {
        let Round { estimate, bounds, target, is_congested, .. } = *round;
        let Tuning { probe_interval_growth, max_probe_interval, failed_probe_backoff, .. } = self.tuning;
        let is_over = estimate.at - since >= self.tuning.probe_duration;
        if is_congested || self.probe_failed(round, is_over) {
            self.probe_interval = (self.probe_interval * probe_interval_growth).min(max_probe_interval);
            let (min, speed) = if is_congested {
                (bounds.min, DrainSpeed::Fast)
            } else {
                (bounds.min.max(good * failed_probe_backoff), DrainSpeed::Gentle)
            };
            self.back_off(round, Bounds { min, max: good }, speed)
        } else if is_over {
            self.probe_interval = self.tuning.probe_interval;
            self.capacity = self.capacity.filter(|capacity| target < capacity * self.tuning.capacity_expiry);
            self.increase(round)
        } else {
            Phase::Probing { since, good }
        }
    }

    /// At a probe's end less proof is enough.
    fn probe_failed(&self, round: &Round<'_>, is_over: bool) -> bool {
        let Round { estimate, target, frame_interval, .. } = *round;
        let Tuning { probe_queue_delay, probe_end_queue_delay, min_delay_frames, .. } = self.tuning;
        let delay = if is_over { probe_end_queue_delay } else { probe_queue_delay };
        estimate.min_queuing_delay > delay.max(frame_interval * min_delay_frames)
            && estimate.delivery_rate < self.tuning.probe_delivery_shortfall * target
    }

    fn draining(&mut self, round: &Round<'_>, drain: Drain) -> (Phase, QueueVerdict) {
        let Round { estimate, bounds, target, empty_delay, is_congested, .. } = *round;
        let Tuning { queue_delay, capacity_gain, base_delay_timeout, drained_share, .. } = self.tuning;
        let mut drain = drain;
        if estimate.min_queuing_delay > empty_delay {
            // While a queue exists the link delivers all it can.
            drain.capacity = (1.0 - capacity_gain) * drain.capacity + capacity_gain * estimate.delivery_rate;
        }
        let elapsed = estimate.at - drain.since;
        let has_grown = estimate.min_queuing_delay > drain.delay.max(queue_delay);
        if (is_congested || has_grown) && estimate.at >= drain.next_back_off_at {
            // The capacity is less than it seemed.
            let bounds = Bounds { min: bounds.min, max: drain.max_after };
            return (self.back_off(round, bounds, DrainSpeed::Fast), QueueVerdict::Drains);
        }
        if estimate.min_queuing_delay <= empty_delay && elapsed >= estimate.span {
            return (self.finish_drain(round, drain), QueueVerdict::Drains);
        }
        let could_drain = target > bounds.min || estimate.delivery_rate > estimate.produce_rate;
        if elapsed > base_delay_timeout && estimate.min_queuing_delay > drain.delay * drained_share && could_drain {
            return (self.finish_drain(round, drain), QueueVerdict::IsBaseDelay);
        }
        (Phase::Draining(drain), QueueVerdict::Drains)
    }

    /// Lowers the target below the delivery rate, so that the queue drains; `bounds.max` holds once it has. The target
    /// never rises here.
    fn back_off(&mut self, round: &Round<'_>, bounds: Bounds, speed: DrainSpeed) -> Phase {
        let Round { estimate, target, .. } = *round;
        let tuning = &self.tuning;
        let (drain_time, hold) = match speed {
            DrainSpeed::Fast => (tuning.drain_time, estimate.span + tuning.encoder_reaction),
            DrainSpeed::Gentle => (tuning.gentle_drain_time, 0.0),
        };
        let share = (tuning.headroom - estimate.queuing_delay / drain_time).max(tuning.min_drain_share);
        let share = if estimate.no_feedback { share * tuning.no_feedback_backoff } else { share };
        self.target = (estimate.delivery_rate * share).clamp(bounds.min, target.max(bounds.min));
        self.capacity = Some(estimate.delivery_rate);
        Phase::Draining(Drain {
            since: estimate.at,
            delay: estimate.queuing_delay,
            capacity: estimate.delivery_rate,
            max_after: bounds.max,
            next_back_off_at: estimate.at + hold,
        })
    }

    /// The queue is empty: the target returns to just below the capacity.
    fn finish_drain(&mut self, round: &Round<'_>, drain: Drain) -> Phase {
        let Drain { capacity, max_after, .. } = drain;
        self.target = (capacity * self.tuning.headroom).min(max_after).max(round.target.min(max_after));
        self.capacity = Some(capacity);
        Phase::Steady { next_rise_at: round.estimate.at + self.probe_interval }
    }

    fn increase(&mut self, round: &Round<'_>) -> Phase {
        let Round { estimate, bounds, target, empty_delay, .. } = *round;
        let Tuning { queue_delay, ramp_up, probe_step, app_limited_share, .. } = self.tuning;
        let has_queue = estimate.min_queuing_delay > empty_delay || estimate.queuing_delay > queue_delay;
        let is_app_limited = estimate.produce_rate < app_limited_share * target;
        let next = Phase::Steady { next_rise_at: estimate.at + estimate.span };
        if has_queue || is_app_limited {
            return next;
        }
        self.carried = Some(target);
        if target >= bounds.max {
            return next;
        }
        let risen = target * ramp_up;
        if self.capacity.is_some_and(|capacity| risen > capacity) && !self.was_carried(risen, estimate.at) {
            self.target = bounds.max.min(target * probe_step);
            return Phase::Probing { since: estimate.at, good: target };
        }
        self.target = bounds.max.min(risen);
        next
    }
}
