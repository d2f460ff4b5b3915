//! The table, and what ours is held to.

use super::belacoder::Belacoder;
use super::figures::Figures;
use super::link::Protocol;
use super::obs::Obs;
use super::traces::{Trace, all};
use super::{Contender, Ours, stage, traces};

/// Ours and OBS over RTMP, ours and belacoder over SRT.
fn four(trace: &Trace) -> [Figures; 4] {
    let run = |protocol, contender: &mut dyn Contender| Figures::of(trace, &stage::run(trace, protocol, contender));
    [
        run(Protocol::Tcp, &mut Ours::new()),
        run(Protocol::Tcp, &mut Obs::new()),
        run(Protocol::Srt, &mut Ours::new()),
        run(Protocol::Srt, &mut Belacoder::new()),
    ]
}

#[test]
#[allow(clippy::print_stdout)]
fn table() {
    println!("| link | controller | below it after | use | back at 90 % after | frames lost | delay, 95 % |");
    println!("|---|---|---|---|---|---|---|");
    for trace in all() {
        let names = ["tallybox, RTMP", "OBS's rules, RTMP", "tallybox, SRT", "belacoder's rules, SRT"];
        for (name, figures) in names.iter().zip(four(&trace)) {
            #[allow(clippy::cast_precision_loss)]
            let seconds =
                |millis: Option<u64>| millis.map_or("-".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1000.0));
            println!(
                "| {} | {name} | {} | {:.0} % | {} | {} | {} ms |",
                trace.name,
                seconds(figures.settled),
                figures.used * 100.0,
                seconds(figures.back),
                figures.lost,
                figures.delay
            );
        }
    }
}

fn on(name: &str) -> [Figures; 4] {
    four(all().iter().find(|trace| trace.name == name).expect("no such trace"))
}

fn millis(figure: Option<u64>) -> u64 {
    figure.expect("a trace without steps")
}

#[test]
fn from_4_to_1_and_back_as_promised() {
    let [ours, obs, ours_srt, belacoder] = on("step 4, 1, 4");
    assert!(2 * millis(ours.settled) <= millis(obs.settled), "{ours:?} {obs:?}");
    assert!(2 * millis(ours_srt.settled) <= millis(obs.settled), "{ours_srt:?} {obs:?}");
    assert!(4 * millis(ours.back) <= 3 * millis(belacoder.back), "{ours:?} {belacoder:?}");
    assert!(4 * millis(ours_srt.back) <= 3 * millis(belacoder.back), "{ours_srt:?} {belacoder:?}");
    assert!(ours.used >= 0.85 && ours.lost == 0, "{ours:?}");
}

#[test]
fn too_large_a_queue_changes_nothing() {
    let [ours, obs, ours_srt, belacoder] = on("step, 1 MB queue");
    for ours in [ours, ours_srt] {
        assert!(ours.used >= 0.85 && ours.lost == 0, "{ours:?}");
        assert!(4 * millis(ours.back) <= 3 * millis(belacoder.back), "{ours:?} {belacoder:?}");
        assert!(10 * ours.delay < obs.delay, "{ours:?} {obs:?}");
    }
    assert!(2 * millis(ours.settled) <= millis(obs.settled), "{ours:?} {obs:?}");
}

#[test]
fn over_tcp_no_link_loses_a_frame() {
    for trace in all() {
        let figures = Figures::of(&trace, &stage::run(&trace, Protocol::Tcp, &mut Ours::new()));
        assert_eq!(figures.lost, 0, "{}: {figures:?}", trace.name);
        assert!(figures.delay < 1000, "{}: {figures:?}", trace.name);
    }
}

/// Asked for on a link that takes 2 Mbit/s all the time: once it is found, never a fifth more or a third less.
#[test]
fn it_does_not_swing() {
    for protocol in [Protocol::Tcp, Protocol::Srt] {
        let trace = traces::even(2000.0);
        let record = stage::run(&trace, protocol, &mut Ours::new());
        let asked: Vec<f64> = record.moments.iter().filter(|(at, ..)| *at > 20_000).map(|moment| moment.1).collect();
        let (least, most) =
            asked.iter().fold((f64::MAX, 0.0_f64), |(least, most), kbps| (least.min(*kbps), most.max(*kbps)));
        assert!(least > 1300.0 && most < 2400.0, "{protocol:?}: {least} to {most}");
    }
}
