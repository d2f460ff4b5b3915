//! Which rate the whole stream may have, picture and sound together.

use super::estimator::LinkEstimate;

/// Everything waited this long at least: a frame at 15 frames per second, and some. Seconds.
const BUSY: f64 = 0.08;
/// Everything waited this long at least, for a short while. Seconds.
const JAM: f64 = 0.16;
/// Less arrives than this share of what is asked for: the link has become slower.
const SHORTFALL: f64 = 0.9;
/// So much has to be sent again, as a share of what is asked for: the link throws away what it cannot take. The worst
/// that SRT's guide plans for is a tenth.
const POLICED: f64 = 0.3;
/// It shows for a second, and stops when the cut has passed the queue. Seconds.
const POLICED_FOR: f64 = 2.0;
/// A queue that stands at this is too long, whatever arrives. Seconds.
const STANDS: f64 = 0.2;
/// A probe failed when everything waits this long, and less than this share of what is asked for arrives.
const PROBE_BUSY: f64 = 0.05;
/// At its end this is enough. Seconds.
const PROBE_BUSY_LATE: f64 = 0.04;
/// But it has to be more than a frame, which is how exactly waits are known. Frames.
const BEATS: f64 = 1.2;
const PROBE_SHORTFALL: f64 = 0.98;
/// Nothing waits that is worth the name. Seconds.
const IDLE: f64 = 0.04;
/// This share of what the link takes leaves room for the encoder's ups and downs.
const SHARE: f64 = 0.94;
/// A queue is to be drained within this; after a probe there is less of a hurry. Seconds.
const DRAIN: f64 = 1.0;
const DRAIN_PROBE: f64 = 2.5;
/// While it drains, at least this share of what arrives is made: a picture that is too bad for a second helps nobody.
const DRAIN_SHARE: f64 = 0.5;
/// Where nothing is heard at all, this share of the bound: what is too much now is lost.
const SILENT: f64 = 0.5;
/// A queue that does not drain within this although less is made than arrives is not one: the way became longer.
/// Seconds.
const PATIENCE: f64 = 4.0;
/// After a cut the encoder needs so long, and then the measurements the span that they look back. Seconds.
const ANSWER: f64 = 0.1;
/// Where nothing is known against it the target rises by this factor each time the measurements show what the last one
/// did: fourfold in 4 to 8 s.
const RISE: f64 = 1.12;
/// Near the rate that was too much the last time it rises by this factor ...
const PROBE: f64 = 1.06;
/// ... and so long later it is judged. Seconds.
const PROBE_LASTS: f64 = 0.7;
/// After one that fails what was good before it is still good, but for this. An encoder that had little to do, and so
/// little that arrived, is no proof against it.
const GOOD_STILL: f64 = 0.88;
/// Pause before the first probe after a cut, factor after each that fails, longest pause. Seconds.
const PAUSE: f64 = 1.0;
const PAUSE_GROWS: f64 = 1.5;
const LONGEST_PAUSE: f64 = 6.0;
/// When so many times what was too much the last time goes well, that counts no more.
const CONVINCED: f64 = 1.15;
/// An encoder that makes less than this share of the target, over a second, does not need more and proves nothing.
const USED: f64 = 0.65;

/// Whether what waits is a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes, or there is none.
    Goes,
    /// It stays whatever is done: it is the way itself.
    Stays,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Nothing waits; the next rise comes at `next`.
    Steady { next: f64 },
    /// More than was known to be good is tried, since then; `good` is what was.
    Probing { since: f64, good: f64 },
    /// A queue drains: since when, how long it was, what the link takes, what is asked for afterwards at most, and when
    /// a further cut may follow.
    Draining { since: f64, wait: f64, takes: f64, most: f64, answered: f64 },
}

/// The rate and what is known of the link.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    target: f64,
    /// What the link took when it was too much.
    limit: Option<f64>,
    phase: Phase,
    pause: f64,
    /// What is sent again shows for a while; until then it was answered.
    policed: f64,
}

impl Rate {
    pub(super) fn new(target: f64) -> Self {
        Self { target, limit: None, phase: Phase::Steady { next: 0.0 }, pause: PAUSE, policed: 0.0 }
    }

    /// In kbit/s; may lie outside of the present bounds, which can change.
    pub(super) fn target(&self) -> f64 {
        self.target
    }

    /// A new connection: the link may be another.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.target);
    }

    /// The protocol knows better.
    pub(super) fn believe(&mut self, kbps: f64, floor: f64, cap: f64) {
        *self = Self::new((kbps * SHARE).clamp(floor, cap));
    }

    /// `beat` is from one frame to the next, in seconds: no wait is known better than that.
    pub(super) fn step(&mut self, estimate: &LinkEstimate, (floor, cap): (f64, f64), beat: f64) -> Verdict {
        let idle = IDLE.max(beat);
        let asked = self.target.clamp(floor, cap);
        let waits = estimate.min_queuing_delay > BUSY || estimate.recent_min_queuing_delay > JAM;
        let policed =
            estimate.retransmit_rate > POLICED * asked && estimate.delivery_rate < asked && estimate.at >= self.policed;
        let slower = (waits && estimate.delivery_rate < SHORTFALL * asked) || policed;
        if policed {
            self.policed = estimate.at + POLICED_FOR;
        }
        match self.phase {
            Phase::Draining { since, wait, takes, most, answered } => {
                // While something waits the link is as fast as it can.
                let takes =
                    if estimate.min_queuing_delay > idle { 0.7 * takes + 0.3 * estimate.delivery_rate } else { takes };
                // What should drain and grows instead: the link takes less than it seemed to.
                if (slower || estimate.min_queuing_delay > wait.max(BUSY)) && estimate.at >= answered {
                    self.cut(estimate, asked, (floor, most), DRAIN);
                } else if estimate.min_queuing_delay <= idle && estimate.at - since >= estimate.span {
                    self.settle(estimate.at, takes, asked, most);
                } else if estimate.at - since > PATIENCE
                    && estimate.min_queuing_delay > wait * 0.7
                    && (asked > floor || estimate.delivery_rate > estimate.produce_rate)
                {
                    self.settle(estimate.at, takes, asked, most);
                    return Verdict::Stays;
                } else {
                    self.phase = Phase::Draining { since, wait, takes, most, answered };
                }
            }
            Phase::Probing { since, good }
                if slower || failed(estimate, asked, beat, estimate.at - since >= PROBE_LASTS) =>
            {
                self.pause = (self.pause * PAUSE_GROWS).min(LONGEST_PAUSE);
                let (least, drain) = if slower { (floor, DRAIN) } else { (good * GOOD_STILL, DRAIN_PROBE) };
                self.cut(estimate, asked, (least.max(floor), good), drain);
            }
            Phase::Probing { since, .. } if estimate.at - since >= PROBE_LASTS => {
                self.pause = PAUSE;
                self.limit = self.limit.filter(|limit| asked < limit * CONVINCED);
                self.phase = Phase::Steady { next: estimate.at };
                self.rise(estimate, asked, cap, idle);
            }
            Phase::Steady { .. } if slower || estimate.standing_delay > STANDS => {
                self.pause = PAUSE;
                self.cut(estimate, asked, (floor, asked), if slower { DRAIN } else { DRAIN_PROBE });
            }
            Phase::Steady { next } if estimate.at >= next => self.rise(estimate, asked, cap, idle),
            Phase::Probing { .. } | Phase::Steady { .. } => {}
        }
        Verdict::Goes
    }

    /// Below what arrives, so that what waits drains; never above what is asked for.
    fn cut(&mut self, estimate: &LinkEstimate, asked: f64, (least, most): (f64, f64), drain: f64) {
        let share = (SHARE - estimate.queuing_delay / drain).max(DRAIN_SHARE);
        let share = if estimate.no_feedback { share * SILENT } else { share };
        self.target = (estimate.delivery_rate * share).clamp(least, asked.max(least));
        self.limit = Some(estimate.delivery_rate);
        let (since, wait, takes) = (estimate.at, estimate.queuing_delay, estimate.delivery_rate);
        // A probe that failed may have been the beginning of a fall: then more is to follow at once.
        let answer = if drain > DRAIN { 0.0 } else { estimate.span + ANSWER };
        self.phase = Phase::Draining { since, wait, takes, most, answered: estimate.at + answer };
    }

    /// The queue is empty.
    fn settle(&mut self, at: f64, takes: f64, asked: f64, most: f64) {
        self.target = (takes * SHARE).min(most).max(asked.min(most));
        self.limit = Some(takes);
        self.phase = Phase::Steady { next: at + self.pause };
    }

    fn rise(&mut self, estimate: &LinkEstimate, asked: f64, cap: f64, idle: f64) {
        let next = Phase::Steady { next: estimate.at + estimate.span };
        if estimate.min_queuing_delay > idle
            || estimate.queuing_delay > BUSY
            || estimate.produce_rate < USED * asked
            || asked >= cap
        {
            self.phase = next;
        } else if self.limit.is_some_and(|limit| asked * RISE > limit) {
            self.target = (asked * PROBE).min(cap);
            self.phase = Phase::Probing { since: estimate.at, good: asked };
        } else {
            self.target = (asked * RISE).min(cap);
            self.phase = next;
        }
    }
}

/// Whether a probe failed; at its end less proof is enough.
fn failed(estimate: &LinkEstimate, asked: f64, beat: f64, at_its_end: bool) -> bool {
    let busy = if at_its_end { PROBE_BUSY_LATE } else { PROBE_BUSY };
    estimate.min_queuing_delay > busy.max(beat * BEATS) && estimate.delivery_rate < PROBE_SHORTFALL * asked
}
