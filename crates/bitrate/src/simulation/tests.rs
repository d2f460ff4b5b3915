//! The table of the comparison, and what is promised of our controller.

use super::belacoder::Belacoder;
use super::metrics::Metrics;
use super::obs::Obs;
use super::traces::{self, Trace, VARIANTS};
use super::transport::Protocol::{self, Srt, Tcp};
use super::{RateController, Tallybox, simulator};

const NAMES: [&str; 4] = ["tallybox, RTMP", "OBS's rules, RTMP", "tallybox, SRT", "belacoder's rules, SRT"];

/// Whether the long tests run: some minutes without optimization.
fn is_long() -> bool {
    std::env::var_os("TALLYBOX_LONG").is_some()
}

/// Combines all variants of the trace that `make` makes.
fn all_variants(
    make: &dyn Fn() -> Trace,
    protocol: Protocol,
    controller: &dyn Fn() -> Box<dyn RateController>,
) -> Metrics {
    let run = |variant| {
        let trace = make().shifted(variant);
        Metrics::of(&trace, &simulator::run(&trace, protocol, controller().as_mut()))
    };
    Metrics::mean(&VARIANTS.map(run).collect::<Vec<_>>())
}

fn tallybox(make: &dyn Fn() -> Trace, protocol: Protocol) -> Metrics {
    all_variants(make, protocol, &|| Box::new(Tallybox::new(protocol)))
}

/// In the order of `NAMES`: ours and OBS over RTMP, ours and belacoder over SRT.
fn all_controllers(make: &dyn Fn() -> Trace) -> [Metrics; 4] {
    [
        tallybox(make, Tcp),
        all_variants(make, Tcp, &|| Box::new(Obs::new())),
        tallybox(make, Srt),
        all_variants(make, Srt, &|| Box::new(Belacoder::new())),
    ]
}

/// The name of each trace in a list, and how to make it anew.
fn each(list: fn() -> Vec<Trace>) -> impl Iterator<Item = (String, impl Fn() -> Trace)> {
    let names: Vec<_> = list().into_iter().map(|trace| trace.name).collect();
    names.into_iter().enumerate().map(move |(index, name)| (name, move || list().swap_remove(index)))
}

fn on(name: &str) -> [Metrics; 4] {
    let (_, make) = each(traces::all).find(|(known, _)| known == name).expect("no such trace");
    all_controllers(&make)
}

fn millis(time: Option<u64>) -> u64 {
    time.expect("a trace without steps")
}

/// Each link with each controller, as lines of JSON for `benches/adapt`.
#[test]
#[allow(clippy::print_stdout, clippy::cast_precision_loss)]
fn table() {
    let lists: [fn() -> Vec<Trace>; 3] = [traces::all, traces::others, traces::recorded];
    let topics = ["simulation", "simulation", "recorded-uplinks"];
    let seconds = |millis: Option<u64>| millis.map_or("null".to_owned(), |ms| format!("{:.3}", ms as f64 / 1000.0));
    for (topic, list) in topics.into_iter().zip(lists).filter(|_| is_long()) {
        for (link, make) in each(list) {
            for (controller, metrics) in NAMES.iter().zip(all_controllers(&make)) {
                let Metrics { settling_time, utilization, recovery_time, lost_frames, delay_p95 } = metrics;
                let (settling, recovery) = (seconds(settling_time), seconds(recovery_time));
                println!(
                    "[{topic:?}, {link:?}, {controller:?}, {settling}, {utilization:.4}, {recovery}, {lost_frames}, \
                     {delay_p95}]"
                );
            }
        }
    }
}

/// Each recorded uplink over time, a value per second: capacity and what arrived in kbit/s, how old the newest frame is
/// that the server has in milliseconds, and frames lost so far. For `benches/adapt`.
#[test]
#[allow(clippy::print_stdout)]
fn series() {
    for (link, make) in each(traces::recorded).filter(|_| is_long()) {
        let controllers: [(Protocol, Box<dyn RateController>); 4] = [
            (Tcp, Box::new(Tallybox::new(Tcp))),
            (Tcp, Box::new(Obs::new())),
            (Srt, Box::new(Tallybox::new(Srt))),
            (Srt, Box::new(Belacoder::new())),
        ];
        for (name, (protocol, mut controller)) in NAMES.iter().zip(controllers) {
            let moments = simulator::run(&make(), protocol, controller.as_mut()).moments;
            let values = moments.chunks_exact(10).zip(moments.iter().step_by(10).skip(1)).map(|(second, next)| {
                let capacity = second.iter().map(|moment| moment.capacity_kbps / 10.0).sum::<f64>();
                let arrived = (next.delivered_bytes - second[0].delivered_bytes) * 8.0 / 1000.0;
                let behind = second.iter().map(|moment| moment.behind).max().unwrap_or(0);
                format!("[{capacity:.0}, {arrived:.0}, {behind}, {}]", next.lost_frames)
            });
            println!("[\"uplink-series\", {link:?}, {name:?}, [{}]]", values.collect::<Vec<_>>().join(", "));
        }
    }
}

/// The promise for a step: settled in half of OBS's time, recovered in 0.75 of belacoder's, 85 % utilized.
fn assert_promise([ours, obs, ours_srt, belacoder]: [Metrics; 4]) {
    for ours in [ours, ours_srt] {
        assert!(2 * millis(ours.settling_time) <= millis(obs.settling_time), "{ours:?} {obs:?}");
        assert!(4 * millis(ours.recovery_time) <= 3 * millis(belacoder.recovery_time), "{ours:?} {belacoder:?}");
        assert!(ours.utilization >= 0.85, "{ours:?}");
    }
    assert_eq!(ours.lost_frames, 0, "{ours:?}");
}

#[test]
fn a_step_from_4_to_1_and_back_is_followed_as_promised() {
    let metrics = on("step 4, 1, 4");
    assert_promise(metrics);
    // A keyframe at the fall fills the queue before anyone can know; SRT then has to send it again.
    assert!(metrics[2].lost_frames <= metrics[3].lost_frames, "{metrics:?}");
    assert_promise(on("step, real footage"));
}

#[test]
fn too_large_a_queue_changes_nothing() {
    let metrics = on("step, 1 MB queue");
    assert_promise(metrics);
    let [ours, obs, ours_srt, _] = metrics;
    assert_eq!(ours_srt.lost_frames, 0, "{ours_srt:?}");
    assert!(10 * ours.delay_p95.max(ours_srt.delay_p95) < obs.delay_p95, "{metrics:?}");
}

#[test]
fn a_queue_in_front_of_the_boxs_own_modem_is_measured() {
    let [_, obs, ours, _] = on("step at the box's own modem");
    assert!(2 * millis(ours.settling_time) <= millis(obs.settling_time), "{ours:?} {obs:?}");
    assert!(ours.utilization >= 0.85 && ours.lost_frames == 0, "{ours:?}");
}

#[test]
fn over_tcp_no_link_loses_a_frame() {
    for (name, make) in each(traces::all).chain(each(traces::others).filter(|_| is_long())) {
        let metrics = tallybox(&make, Tcp);
        assert!(metrics.lost_frames == 0 && metrics.delay_p95 < 1000, "{name}: {metrics:?}");
    }
}

/// The lowest and the highest target once the capacity is found.
fn target_range(trace: &Trace, protocol: Protocol) -> (f64, f64) {
    let record = simulator::run(trace, protocol, &mut Tallybox::new(protocol));
    let targets = record.moments.iter().filter(|moment| moment.at > 20_000).map(|moment| moment.target_kbps);
    targets.fold((f64::MAX, 0.0_f64), |(min, max), kbps| (min.min(kbps), max.max(kbps)))
}

#[test]
fn a_wide_link_is_used_within_seconds_however_far_away_the_server_is() {
    // At 300 ms over TCP it is not (docs/known-issues.md).
    for (protocol, rtt) in [(Tcp, 10), (Tcp, 60), (Tcp, 150), (Srt, 10), (Srt, 60), (Srt, 150), (Srt, 300)] {
        let record = simulator::run(&traces::wide(rtt), protocol, &mut Tallybox::new(protocol));
        let max = f64::from(super::LIMITS.max.bitrate_kbps);
        let last_below = record.moments.iter().rev().find(|moment| moment.target_kbps < max);
        let used_at = last_below.map_or(0, |moment| moment.at);
        let lost = record.lost_frames;
        assert!(used_at < 8000 && lost == 0, "{protocol:?}, {rtt} ms: {used_at} ms, {lost} lost");
    }
}

#[test]
fn the_target_does_not_oscillate() {
    // Over SRT the delivery rate is less certain, and draining a queue costs half of the rate for a second.
    for (protocol, lowest) in [(Tcp, 1300.0), (Srt, 900.0)] {
        let (min, max) = target_range(&traces::constant(2000.0), protocol);
        assert!(min > lowest && max < 2400.0, "{protocol:?}: {min} to {max}");
    }
    // Keyframes of nine usual frames, and cuts. Over SRT the target does oscillate then (docs/benchmarks).
    let (min, max) = target_range(&traces::constant(2000.0).with_footage(), Tcp);
    assert!(min > 1000.0 && max < 2700.0, "{min} to {max}");
}
