//! The numbers of the rate's state machine.

/// Delays and durations are seconds, shares and factors have no unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tuning {
    /// A queue: every byte waited at least this long. A frame at 15 frames per second, and some.
    pub(super) queue_delay: f64,
    /// A sudden queue: every byte waited at least this long for a short while.
    pub(super) spike_delay: f64,
    /// A queue that stands at this delay is too long, whatever the delivery rate.
    pub(super) standing_delay: f64,
    /// A shorter delay counts as no queue.
    pub(super) empty_delay: f64,
    /// The link has become slower when less than this share of the target arrives.
    pub(super) delivery_shortfall: f64,
    /// The link drops what exceeds its rate (a policer) when this share of the target is sent again. The worst loss
    /// that SRT's guide plans for is a tenth.
    pub(super) retransmit_share: f64,
    /// Such retransmissions show for a second, and end when the lower rate has passed the queue.
    pub(super) retransmit_holdoff: f64,

    /// The share of the capacity to use: the rest leaves room for the encoder's variation.
    pub(super) headroom: f64,
    /// How much a new measurement counts in the capacity while a queue drains.
    pub(super) capacity_gain: f64,
    /// A queue is to drain within this.
    pub(super) drain_time: f64,
    /// A small queue, as after a failed probe, may take this long.
    pub(super) gentle_drain_time: f64,
    /// While a queue drains the target is at least this share of the delivery rate: nobody gains from a second of bad
    /// picture.
    pub(super) min_drain_share: f64,
    /// The factor while no feedback arrives at all: what exceeds the link now is lost.
    pub(super) no_feedback_backoff: f64,
    /// After a change the encoder takes this long, and then the measurements their own span, before it shows.
    pub(super) encoder_reaction: f64,
    /// A queue that does not drain within this, although less is produced than delivered, is none: the path became
    /// longer.
    pub(super) base_delay_timeout: f64,
    /// Below this share of its first length such a queue does drain.
    pub(super) drained_share: f64,

    /// Where nothing speaks against it, the target rises by this factor each time the measurements show the effect of
    /// the last rise: fourfold in 4 to 8 s.
    pub(super) ramp_up: f64,
    /// Near the rate that was too much the last time, the target rises by this factor.
    pub(super) probe_step: f64,
    /// A probe is judged after this.
    pub(super) probe_duration: f64,
    /// A probe failed when every byte waits this long and too little is delivered ...
    pub(super) probe_queue_delay: f64,
    /// ... or, at the probe's end, this long ...
    pub(super) probe_end_queue_delay: f64,
    /// ... and for longer than this many frames: delays are not known more exactly.
    pub(super) min_delay_frames: f64,
    /// Less than this share of the target is too little for a probe.
    pub(super) probe_delivery_shortfall: f64,
    /// Factor applied to the last good rate after a failed probe. What little arrived is no proof against that rate
    /// when the encoder had little to do.
    pub(super) failed_probe_backoff: f64,
    /// From a cut to the first probe.
    pub(super) probe_interval: f64,
    /// The interval grows by this factor with each probe that fails.
    pub(super) probe_interval_growth: f64,
    /// The longest interval.
    pub(super) max_probe_interval: f64,
    /// When a target of this many times the known capacity holds, that capacity is forgotten.
    pub(super) capacity_expiry: f64,
    /// An encoder that produces less than this share of the target needs no more, and proves nothing.
    pub(super) app_limited_share: f64,

    /// A link that carried a rate so recently carries it again once the queue has drained: it was away for a moment.
    pub(super) fall_memory: f64,
    /// The share of that rate which is reached again without probes.
    pub(super) fall_share: f64,
}

impl Tuning {
    /// Where what exceeds the link waits (TCP), and which bytes have arrived is known: a queue for some tenths of a
    /// second costs less than a rate that is lowered for a link that was only away for a moment.
    pub(super) const PATIENT: Self =
        Self { delivery_shortfall: 0.8, headroom: 0.96, probe_interval: 0.8, fall_memory: 8.0, ..Self::CAUTIOUS };

    /// Where what exceeds the link is lost (SRT), and delays are derived from smoothed round trips.
    pub(super) const CAUTIOUS: Self = Self {
        queue_delay: 0.08,
        spike_delay: 0.16,
        standing_delay: 0.2,
        empty_delay: 0.04,
        delivery_shortfall: 0.9,
        retransmit_share: 0.3,
        retransmit_holdoff: 2.0,
        headroom: 0.94,
        capacity_gain: 0.3,
        drain_time: 1.0,
        gentle_drain_time: 2.5,
        min_drain_share: 0.5,
        no_feedback_backoff: 0.5,
        encoder_reaction: 0.1,
        base_delay_timeout: 4.0,
        drained_share: 0.7,
        ramp_up: 1.12,
        probe_step: 1.06,
        probe_duration: 0.7,
        probe_queue_delay: 0.05,
        probe_end_queue_delay: 0.04,
        min_delay_frames: 1.2,
        probe_delivery_shortfall: 0.98,
        failed_probe_backoff: 0.88,
        probe_interval: 1.0,
        probe_interval_growth: 1.5,
        max_probe_interval: 6.0,
        capacity_expiry: 1.15,
        app_limited_share: 0.65,
        fall_memory: 0.0,
        fall_share: 0.95,
    };
}
