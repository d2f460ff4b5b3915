//! What holds whatever is measured.

use core::time::Duration;

use proptest::prelude::*;

use super::{Controller, Limits, Measurement, TransportStats};
use crate::rendition::Rendition;
use monotonic::Monotonic;

const MAX: Rendition = Rendition { bitrate_kbps: 4000, fps: 30, width: 1280, height: 720 };
const LIMITS: Limits = Limits { max: MAX, min_kbps: 300, start_kbps: 4000, overhead_kbps: 140 };

/// A connection's next measurement: bytes produced since the last one, bytes that wait, round trip, and the time that
/// passed. Milliseconds.
#[derive(Clone, Debug)]
struct Step {
    produced: u64,
    queued: u64,
    unacked: Option<u64>,
    rtt: Option<u64>,
    elapsed: u64,
}

fn any_step() -> impl Strategy<Value = Step> {
    let any = (0..200_000_u64, 0..2_000_000_u64, any::<Option<u32>>(), any::<Option<u16>>(), 0..3000_u64);
    any.prop_map(|(produced, queued, unacked, rtt, elapsed)| Step {
        produced,
        queued,
        unacked: unacked.map(|bytes| u64::from(bytes % 4_000_000)),
        rtt: rtt.map(u64::from),
        elapsed,
    })
}

/// A controller with its clock and counters.
#[derive(Clone, Debug)]
struct Run {
    controller: Controller,
    now: u64,
    produced: u64,
}

impl Run {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: Limits) -> Self {
        Self { controller: Controller::new(limits), now: 0, produced: 0 }
    }

    fn target_kbps(&self) -> u64 {
        u64::from(self.controller.rendition().bitrate_kbps + LIMITS.overhead_kbps)
    }

    fn step(&mut self, step: &Step) -> Rendition {
        self.now += step.elapsed;
        let transport = TransportStats {
            unacked_bytes: step.unacked,
            rtt: step.rtt.map(Duration::from_millis),
            ack_count: Some(self.now / 10),
            ..TransportStats::default()
        };
        self.measure(step.produced, step.queued, transport)
    }

    /// So many bytes more were produced, and `queued_bytes` wait.
    fn measure(&mut self, produced: u64, queued_bytes: u64, transport: TransportStats) -> Rendition {
        self.produced += produced;
        let now = Monotonic::from_start(Duration::from_millis(self.now));
        self.controller.update(&Measurement { now, produced_bytes: self.produced, queued_bytes, transport })
    }

    /// 100 ms in which `kbps` are produced, and `queued` bytes wait at their end.
    fn tick(&mut self, kbps: u64, queued: u64) -> Rendition {
        self.step(&Step { produced: kbps * 100 / 8, queued, unacked: Some(0), rtt: None, elapsed: 100 })
    }

    /// The encoder produces what is requested, and all of it arrives.
    fn on_a_wide_link(&mut self, ticks: usize) -> Rendition {
        for _ in 0..ticks {
            self.tick(self.target_kbps(), 0);
        }
        self.controller.rendition()
    }

    /// The encoder produces what is requested, and what exceeds `kbps` waits.
    fn on_a_link_of(&mut self, kbps: u64, ticks: usize) -> Rendition {
        let mut queue = 0;
        for _ in 0..ticks {
            let target = self.target_kbps();
            queue = (queue + target * 100 / 8).saturating_sub(kbps * 100 / 8);
            self.tick(target, queue);
        }
        self.controller.rendition()
    }
}

fn assert_within_limits(rendition: Rendition) {
    let Rendition { bitrate_kbps, fps, width, height } = rendition;
    assert!((LIMITS.min_kbps..=MAX.bitrate_kbps).contains(&bitrate_kbps), "{rendition:?}");
    assert!((1..=MAX.fps).contains(&fps) && width <= MAX.width && height <= MAX.height, "{rendition:?}");
    assert!(width % 2 == 0 && height % 2 == 0 && height >= 240, "{rendition:?}");
}

proptest! {
    #[test]
    fn the_limits_hold_whatever_is_measured(steps in prop::collection::vec(any_step(), 1..80)) {
        let mut run = Run::new();
        for (index, step) in steps.iter().enumerate() {
            assert_within_limits(run.step(step));
            if index % 31 == 30 {
                run.controller.on_reconnected();
                assert_within_limits(run.controller.rendition());
            }
        }
    }

    #[test]
    fn a_slower_link_never_gets_more(
        steps in prop::collection::vec((500..6000_u64, 100..6000_u64), 5..60),
        slower in 50..6000_u64,
    ) {
        let mut run = Run::new();
        let mut queue = 0;
        let after = |queue: u64, kbps: u64, link: u64| (queue + kbps * 100 / 8).saturating_sub(link * 100 / 8);
        for (kbps, link) in &steps {
            queue = after(queue, *kbps, *link);
            run.tick(*kbps, queue);
        }
        let (kbps, link) = steps[0];
        let mut worse = run.clone();
        let better = run.tick(kbps, after(queue, kbps, link.max(slower)));
        let worse = worse.tick(kbps, after(queue, kbps, link.min(slower)));
        prop_assert!(worse.bitrate_kbps <= better.bitrate_kbps, "{better:?} {worse:?}");
    }

    #[test]
    fn a_link_that_becomes_wide_is_used_fully(link in 600..3000_u64) {
        let mut run = Run::new();
        prop_assert!(u64::from(run.on_a_link_of(link, 60).bitrate_kbps) < link * 6 / 5, "at most a probe above it");
        prop_assert_eq!(run.on_a_wide_link(300), MAX);
    }
}

#[test]
fn a_low_start_reaches_the_maximum_within_seconds() {
    let mut run = Run::with(Limits { start_kbps: 2000, ..LIMITS });
    assert_eq!(run.controller.rendition(), Rendition { bitrate_kbps: 2000, ..MAX });
    assert_eq!(run.on_a_wide_link(40), MAX, "after 4 s");
}

#[test]
fn another_cap_holds_at_once_and_is_reached_again() {
    let mut run = Run::new();
    run.on_a_wide_link(20);
    assert_eq!(run.controller.rendition().bitrate_kbps, 4000);
    run.controller.set_cap(900);
    assert_eq!(run.controller.rendition().bitrate_kbps, 900, "before any measurement");
    run.on_a_wide_link(60);
    let capped = run.controller.rendition();
    assert_eq!((capped.bitrate_kbps, capped.fps, capped.height), (900, 30, 720));
    run.controller.set_cap(6000);
    run.on_a_wide_link(300);
    assert_eq!(run.controller.rendition().bitrate_kbps, 6000);
}

#[test]
fn a_new_connection_starts_with_the_rate_of_the_old_one() {
    let mut run = Run::new();
    run.on_a_link_of(2000, 60);
    let before = run.controller.rendition();
    run.controller.on_reconnected();
    assert_eq!(run.controller.rendition(), before);
    assert_eq!(run.on_a_wide_link(150), MAX, "the old connection's capacity is forgotten");
}

#[test]
fn frames_go_before_size_and_both_come_back() {
    let mut run = Run::new();
    let shape = |rendition: Rendition| (rendition.fps, rendition.height);
    assert_eq!(shape(run.on_a_link_of(2000, 100)), (30, 720));
    assert_eq!(shape(run.on_a_link_of(850, 100)), (15, 720));
    assert_eq!(shape(run.on_a_link_of(450, 100)), (15, 480));
    let mut shapes = vec![shape(run.controller.rendition())];
    for _ in 0..400 {
        shapes.push(shape(run.on_a_wide_link(1)));
    }
    shapes.dedup();
    assert_eq!(shapes, [(15, 480), (15, 720), (30, 720)], "no rung is taken twice");
}

#[test]
fn a_still_picture_is_not_a_slow_link() {
    let mut run = Run::new();
    for index in 0..600 {
        // A keyframe of 60 KB every 2 s, which takes 160 ms, and 20 frames of 1 KB a second.
        let queue = match index % 20 {
            0 => 60_000,
            1 => 22_500,
            _ => 1000,
        };
        run.step(&Step {
            produced: if index % 20 == 0 { 62_000 } else { 2000 },
            queued: 0,
            unacked: Some(queue),
            rtt: None,
            elapsed: 100,
        });
    }
    assert_eq!(run.controller.rendition(), MAX);
}

#[test]
fn a_path_that_became_longer_is_not_a_queue() {
    let mut run = Run::new();
    run.on_a_wide_link(30);
    for _ in 0..600 {
        let produced = run.target_kbps() * 100 / 8;
        run.step(&Step { produced, queued: 0, unacked: None, rtt: Some(600), elapsed: 100 });
    }
    assert_eq!(run.target_kbps(), u64::from(MAX.bitrate_kbps + LIMITS.overhead_kbps));
}

/// Over SRT, while the encoder produces nothing: there is no feedback, since nothing was sent.
#[test]
fn an_idle_encoder_is_not_a_slow_link() {
    let mut run = Run::new();
    for index in 0..300_u64 {
        let produced = if index % 60 < 30 { 50_000 } else { 0 };
        let millis = if produced > 0 { 40 + index % 3 } else { 41 };
        run.now += 100;
        let transport = TransportStats {
            rtt: Some(Duration::from_millis(millis)),
            // Acknowledgements stop when nothing is produced.
            ack_count: Some((run.produced + produced) / 5000),
            ..TransportStats::default()
        };
        run.measure(produced, 0, transport);
    }
    assert_eq!(run.controller.rendition(), MAX);
}

/// From the connection's beginning the link carries nothing: TCP acknowledges nothing, SRT has no round trip.
#[test]
fn a_link_that_says_nothing_from_the_beginning_gets_little() {
    for unacked in [true, false] {
        let mut run = Run::new();
        for _ in 0..20 {
            let produced = run.target_kbps() * 100 / 8;
            run.now += 100;
            let transport = TransportStats {
                unacked_bytes: unacked.then_some(run.produced + produced),
                rtt: Some(Duration::from_millis(100)),
                ack_count: Some(0),
                ..TransportStats::default()
            };
            run.measure(produced, 0, transport);
        }
        let rendition = run.controller.rendition();
        assert_eq!(rendition.bitrate_kbps, LIMITS.min_kbps, "{unacked} {rendition:?}");
        assert!(rendition.fps <= MAX.fps / 2, "{unacked} {rendition:?}");
        assert!(run.produced * 8 / 1000 < u64::from(MAX.bitrate_kbps) * 6 / 5, "little waits: {} bytes", run.produced);
        assert_eq!(run.on_a_wide_link(300), MAX, "{unacked}");
    }
}

#[test]
fn what_does_not_carry_the_lowest_bitrate_gets_fewer_frames_until_it_does() {
    let mut run = Run::new();
    assert_eq!(run.on_a_link_of(700, 200).fps, 15);
    let before = run.controller.rendition();
    assert!(run.on_a_link_of(100, 100).fps < 15, "less than the lowest bitrate and audio pass");
    let shape = |rendition: Rendition| (rendition.fps, rendition.height);
    let recovered = run.on_a_wide_link(10);
    assert_eq!(shape(recovered), (15, recovered.height), "the queue is gone");
    assert!(recovered.height <= before.height, "no size is taken back so soon");
}

/// A link that is away for half a second carries afterwards what it did: the rate is back before probes would find it.
#[test]
fn a_link_that_was_away_for_a_moment_is_used_again_soon() {
    let mut run = Run::with(Limits { start_kbps: 2000, ..LIMITS });
    run.on_a_link_of(2500, 200);
    let before = run.controller.rendition().bitrate_kbps;
    let mut queue = 0;
    for kbps in [0; 5].into_iter().chain([2500; 50]) {
        let target = run.target_kbps();
        queue = (queue + target * 100 / 8).saturating_sub(kbps * 100 / 8);
        run.tick(target, queue);
    }
    let after = run.controller.rendition().bitrate_kbps;
    assert!(after * 10 >= before * 9, "5 s later: {after} of {before}");
}
