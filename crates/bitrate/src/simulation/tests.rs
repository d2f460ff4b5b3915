//! The tables, and what ours is held to.

use super::belacoder::Belacoder;
use super::metrics::Figures;
use super::obs::Obs;
use super::traces::{self, TURNS, Trace};
use super::transport::Protocol::{self, Srt, Tcp};
use super::{Contender, Ours, simulator};

const NAMES: [&str; 4] = ["tallybox, RTMP", "OBS's rules, RTMP", "tallybox, SRT", "belacoder's rules, SRT"];

/// Whether there is time for all of it: some minutes without optimization.
fn long() -> bool {
    std::env::var_os("TALLYBOX_LONG").is_some()
}

/// Over all turns of what `make` makes.
fn turns(make: &dyn Fn() -> Trace, protocol: Protocol, contender: &dyn Fn() -> Box<dyn Contender>) -> Figures {
    let turn = |turn| {
        let trace = make().turn(turn);
        Figures::of(&trace, &simulator::run(&trace, protocol, contender().as_mut()))
    };
    Figures::mean(&TURNS.map(turn).collect::<Vec<_>>())
}

fn ours(make: &dyn Fn() -> Trace, protocol: Protocol) -> Figures {
    turns(make, protocol, &|| Box::new(Ours::new(protocol)))
}

/// Ours and OBS over RTMP, ours and belacoder over SRT.
fn four(make: &dyn Fn() -> Trace) -> [Figures; 4] {
    [
        ours(make, Tcp),
        turns(make, Tcp, &|| Box::new(Obs::new())),
        ours(make, Srt),
        turns(make, Srt, &|| Box::new(Belacoder::new())),
    ]
}

/// Those of the list that `list` makes, each to be made anew.
fn each(list: fn() -> Vec<Trace>) -> impl Iterator<Item = (String, impl Fn() -> Trace)> {
    let names: Vec<_> = list().into_iter().map(|trace| trace.name).collect();
    names.into_iter().enumerate().map(move |(index, name)| (name, move || list().swap_remove(index)))
}

fn on(name: &str) -> [Figures; 4] {
    let (_, make) = each(traces::all).find(|(known, _)| known == name).expect("no such trace");
    four(&make)
}

fn millis(figure: Option<u64>) -> u64 {
    figure.expect("a trace without steps")
}

/// Each link with each controller, as lines of JSON for `benches/adapt`.
#[test]
#[allow(clippy::print_stdout, clippy::cast_precision_loss)]
fn table() {
    let lists: [fn() -> Vec<Trace>; 3] = [traces::all, traces::others, traces::recorded];
    let topics = ["simulation", "simulation", "recorded-uplinks"];
    let seconds = |millis: Option<u64>| millis.map_or("null".to_owned(), |ms| format!("{:.3}", ms as f64 / 1000.0));
    for (topic, list) in topics.into_iter().zip(lists).filter(|_| long()) {
        for (link, make) in each(list) {
            for (controller, Figures { settled, used, back, lost, delay }) in NAMES.iter().zip(four(&make)) {
                let (settled, back) = (seconds(settled), seconds(back));
                println!("[{topic:?}, {link:?}, {controller:?}, {settled}, {used:.4}, {back}, {lost}, {delay}]");
            }
        }
    }
}

/// What is promised for a step: below the fall in half of OBS's time, back in 0.75 of belacoder's, 85 % used.
fn as_promised([ours, obs, ours_srt, belacoder]: [Figures; 4]) {
    for ours in [ours, ours_srt] {
        assert!(2 * millis(ours.settled) <= millis(obs.settled), "{ours:?} {obs:?}");
        assert!(4 * millis(ours.back) <= 3 * millis(belacoder.back), "{ours:?} {belacoder:?}");
        assert!(ours.used >= 0.85, "{ours:?}");
    }
    assert_eq!(ours.lost, 0, "{ours:?}");
}

#[test]
fn from_4_to_1_and_back_as_promised() {
    let figures = on("step 4, 1, 4");
    as_promised(figures);
    // A keyframe at the fall fills the queue before anybody can know; SRT then has to send it again.
    assert!(figures[2].lost <= figures[3].lost, "{figures:?}");
    as_promised(on("step, real footage"));
}

#[test]
fn too_large_a_queue_changes_nothing() {
    let figures = on("step, 1 MB queue");
    as_promised(figures);
    let [ours, obs, ours_srt, _] = figures;
    assert_eq!(ours_srt.lost, 0, "{ours_srt:?}");
    assert!(10 * ours.delay.max(ours_srt.delay) < obs.delay, "{figures:?}");
}

#[test]
fn what_waits_in_front_of_the_boxs_own_modem_is_seen() {
    let [_, obs, ours, _] = on("step at the box's own modem");
    assert!(2 * millis(ours.settled) <= millis(obs.settled), "{ours:?} {obs:?}");
    assert!(ours.used >= 0.85 && ours.lost == 0, "{ours:?}");
}

#[test]
fn over_tcp_no_link_loses_a_frame() {
    for (name, make) in each(traces::all).chain(each(traces::others).filter(|_| long())) {
        let figures = ours(&make, Tcp);
        assert!(figures.lost == 0 && figures.delay < 1000, "{name}: {figures:?}");
    }
}

/// The least and the most that is asked for on a link that takes 2 Mbit/s all the time, once that is found.
fn swing(trace: &Trace, protocol: Protocol) -> (f64, f64) {
    let record = simulator::run(trace, protocol, &mut Ours::new(protocol));
    let asked = record.moments.iter().filter(|(at, ..)| *at > 20_000).map(|moment| moment.1);
    asked.fold((f64::MAX, 0.0_f64), |(least, most), kbps| (least.min(kbps), most.max(kbps)))
}

#[test]
fn a_wide_link_is_used_within_seconds_however_far_away_the_server_is() {
    // Over TCP 0.3 s away it is not (docs/known-issues.md).
    for (protocol, rtt) in [(Tcp, 10), (Tcp, 60), (Tcp, 150), (Srt, 10), (Srt, 60), (Srt, 150), (Srt, 300)] {
        let record = simulator::run(&traces::wide(rtt), protocol, &mut Ours::new(protocol));
        let all = f64::from(super::LIMITS.max.bitrate_kbps);
        let used = record.moments.iter().rev().find(|moment| moment.1 < all).map_or(0, |moment| moment.0);
        assert!(used < 8000 && record.lost == 0, "{protocol:?}, {rtt} ms: {used} ms, {} lost", record.lost);
    }
}

#[test]
fn it_does_not_swing() {
    // Over SRT it is less sure of what arrives, and a queue that it drains costs half of the rate for a second.
    for (protocol, least) in [(Tcp, 1300.0), (Srt, 900.0)] {
        let even = swing(&traces::even(2000.0), protocol);
        assert!(even.0 > least && even.1 < 2400.0, "{protocol:?}: {even:?}");
    }
    // Keyframes of nine usual frames and scenes that change. Over SRT it does swing then (docs/benchmarks).
    let real = swing(&traces::even(2000.0).with_footage(), Tcp);
    assert!(real.0 > 1000.0 && real.1 < 2700.0, "{real:?}");
}
