//! What holds whatever is measured.

use core::time::Duration;

use proptest::prelude::*;

use super::{Controller, Limits, Measurement};
use crate::rendition::Rendition;
use monotonic::Monotonic;

const MAX: Rendition = Rendition { bitrate_kbps: 4000, fps: 30, width: 1280, height: 720 };
const LIMITS: Limits = Limits { max: MAX, min_kbps: 300, start_kbps: 4000, overhead_kbps: 140 };

/// A connection that goes on: bytes made since the last look, bytes that wait, round trip.
#[derive(Clone, Debug)]
struct Look {
    made: u64,
    waiting: u64,
    unacknowledged: Option<u64>,
    rtt: Option<u64>,
    pause: u64,
}

fn look() -> impl Strategy<Value = Look> {
    let wild = (0..200_000_u64, 0..2_000_000_u64, any::<Option<u32>>(), any::<Option<u16>>(), 0..3000_u64);
    wild.prop_map(|(made, waiting, unacknowledged, rtt, pause)| Look {
        made,
        waiting,
        unacknowledged: unacknowledged.map(|bytes| u64::from(bytes % 4_000_000)),
        rtt: rtt.map(u64::from),
        pause,
    })
}

/// The controller's clock and counters.
#[derive(Clone, Debug)]
struct Walk {
    controller: Controller,
    now: u64,
    made: u64,
}

impl Walk {
    fn new() -> Self {
        Self { controller: Controller::new(LIMITS), now: 0, made: 0 }
    }

    fn look(&mut self, look: &Look) -> Rendition {
        self.now += look.pause;
        self.made += look.made;
        self.controller.update(&Measurement {
            now: Monotonic::from_start(Duration::from_millis(self.now)),
            produced_bytes: self.made,
            queued_bytes: look.waiting,
            unacked_bytes: look.unacknowledged,
            rtt: look.rtt.map(Duration::from_millis),
            ack_count: Some(self.now / 10),
            retransmitted_bytes: 0,
            bandwidth_estimate_kbps: None,
        })
    }

    /// A link that takes `link` kbit/s, of which `made` are used, with `queue` bytes in front of it.
    fn goes(&mut self, made: u64, queue: u64) -> Rendition {
        self.look(&Look { made: made * 100 / 8, waiting: queue, unacknowledged: Some(0), rtt: None, pause: 100 })
    }

    /// As much as is asked for is made, and all of it arrives.
    fn well(&mut self, looks: usize) -> Rendition {
        for _ in 0..looks {
            let asked = u64::from(self.controller.rendition().bitrate_kbps + LIMITS.overhead_kbps);
            self.goes(asked, 0);
        }
        self.controller.rendition()
    }

    /// A link that takes only so much; what is made besides waits.
    fn choked(&mut self, looks: usize, link: u64) -> Rendition {
        let mut queue = 0;
        for _ in 0..looks {
            let asked = u64::from(self.controller.rendition().bitrate_kbps + LIMITS.overhead_kbps);
            queue = (queue + asked * 100 / 8).saturating_sub(link * 100 / 8);
            self.goes(asked, queue);
        }
        self.controller.rendition()
    }
}

fn within(rendition: Rendition, cap: u32) {
    let Rendition { bitrate_kbps, fps, width, height } = rendition;
    assert!((LIMITS.min_kbps.min(cap)..=cap).contains(&bitrate_kbps), "{rendition:?}");
    assert!((1..=MAX.fps).contains(&fps) && width <= MAX.width && height <= MAX.height, "{rendition:?}");
    assert!(width % 2 == 0 && height % 2 == 0 && height >= 240, "{rendition:?}");
}

proptest! {
    #[test]
    fn floor_and_cap_hold_whatever_is_measured(looks in prop::collection::vec(look(), 1..80), caps in prop::collection::vec(100..8000_u32, 1..5)) {
        let mut walk = Walk::new();
        let mut cap = MAX.bitrate_kbps;
        for (index, look) in looks.iter().enumerate() {
            if index % 17 == 16 {
                cap = caps[index / 17 % caps.len()];
                walk.controller.set_cap(cap);
                within(walk.controller.rendition(), cap);
            }
            within(walk.look(look), cap);
            if index % 31 == 30 {
                walk.controller.on_reconnected();
            }
        }
    }

    #[test]
    fn a_slower_link_never_gets_more(looks in prop::collection::vec((500..6000_u64, 100..6000_u64), 5..60), slower in 50..6000_u64) {
        let mut walk = Walk::new();
        let mut queue = 0;
        let after = |queue: u64, made: u64, link: u64| (queue + made * 100 / 8).saturating_sub(link * 100 / 8);
        for (made, link) in &looks {
            queue = after(queue, *made, *link);
            walk.goes(*made, queue);
        }
        let (made, link) = looks[0];
        let mut worse = walk.clone();
        let better = walk.goes(made, after(queue, made, link.max(slower)));
        let worse = worse.goes(made, after(queue, made, link.min(slower)));
        prop_assert!(worse.bitrate_kbps <= better.bitrate_kbps, "{better:?} {worse:?}");
    }

    #[test]
    fn a_link_that_takes_everything_is_given_everything(link in 600..3000_u64) {
        let mut walk = Walk::new();
        prop_assert!(u64::from(walk.choked(60, link).bitrate_kbps) < link * 6 / 5, "at most a probe above it");
        prop_assert_eq!(walk.well(300), MAX);
    }
}

#[test]
fn what_begins_carefully_has_everything_soon() {
    let mut walk = Walk { controller: Controller::new(Limits { start_kbps: 2000, ..LIMITS }), ..Walk::new() };
    assert_eq!(walk.controller.rendition(), Rendition { bitrate_kbps: 2000, ..MAX });
    assert_eq!(walk.well(40), MAX, "after 4 s");
}

#[test]
fn another_cap_loses_nothing() {
    let mut walk = Walk::new();
    walk.choked(60, 2000);
    let before = walk.controller.rendition();
    assert!((1300..2000).contains(&before.bitrate_kbps), "{before:?}");
    walk.controller.set_cap(500);
    assert_eq!(walk.controller.rendition().bitrate_kbps, 500);
    walk.controller.set_cap(8000);
    assert_eq!(walk.controller.rendition(), before);
}

#[test]
fn a_new_connection_goes_on_with_the_rate_of_the_old_one() {
    let mut walk = Walk::new();
    walk.choked(60, 2000);
    let before = walk.controller.rendition();
    walk.controller.on_reconnected();
    assert_eq!(walk.controller.rendition(), before);
    assert_eq!(walk.well(150), MAX, "what was too much for the old one counts no more");
}

#[test]
fn frames_go_before_size_and_both_come_back() {
    let mut walk = Walk::new();
    let shape = |rendition: Rendition| (rendition.fps, rendition.height);
    assert_eq!(shape(walk.choked(100, 2000)), (30, 720));
    assert_eq!(shape(walk.choked(100, 850)), (15, 720));
    assert_eq!(shape(walk.choked(100, 450)), (15, 480));
    let mut seen = vec![walk.controller.rendition()];
    for _ in 0..400 {
        let now = walk.well(1);
        if shape(now) != shape(seen[seen.len() - 1]) {
            seen.push(now);
        }
    }
    let seen: Vec<_> = seen.into_iter().map(shape).collect();
    assert_eq!(seen, [(15, 480), (15, 720), (30, 720)], "no rung is taken twice");
}

#[test]
fn a_still_picture_is_no_slow_link() {
    let mut walk = Walk::new();
    for index in 0..600 {
        // A keyframe of 60 KB each 2 s, which takes 160 ms; 20 frames of 1 KB a second besides.
        let queue = if index % 20 == 0 {
            60_000
        } else if index % 20 == 1 {
            22_500
        } else {
            1000
        };
        walk.look(&Look {
            made: if index % 20 == 0 { 62_000 } else { 2000 },
            waiting: 0,
            unacknowledged: Some(queue),
            rtt: None,
            pause: 100,
        });
    }
    assert_eq!(walk.controller.rendition(), MAX);
}

#[test]
fn a_way_that_became_longer_is_no_queue() {
    let mut walk = Walk::new();
    walk.well(30);
    let made = u64::from(MAX.bitrate_kbps + LIMITS.overhead_kbps);
    for _ in 0..600 {
        let asked = u64::from(walk.controller.rendition().bitrate_kbps + LIMITS.overhead_kbps);
        let rtt = Some(600);
        walk.look(&Look { made: asked * 100 / 8, waiting: 0, unacknowledged: None, rtt, pause: 100 });
    }
    assert_eq!(u64::from(walk.controller.rendition().bitrate_kbps + LIMITS.overhead_kbps), made);
}

/// Over SRT, an encoder that makes nothing for a while: nothing is heard, since nothing was sent.
#[test]
fn silence_is_no_slow_link() {
    let mut walk = Walk::new();
    for index in 0..300_u64 {
        let made = if index % 60 < 30 { 50_000 } else { 0 };
        let millis = if made > 0 { 40 + index % 3 } else { 41 };
        walk.now += 100;
        walk.made += made;
        // What is heard of stands still with what is made.
        let ack_count = Some(walk.made / 5000);
        let now = Monotonic::from_start(Duration::from_millis(walk.now));
        let rtt = Some(Duration::from_millis(millis));
        walk.controller.update(&Measurement {
            now,
            produced_bytes: walk.made,
            rtt,
            ack_count,
            ..Measurement::default()
        });
    }
    assert_eq!(walk.controller.rendition(), MAX);
}
