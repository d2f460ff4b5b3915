//! kill -9 of each role at random moments: never live without a lit lamp or a press, the ledger always verifies, the
//! guard comes back idle.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

/// 200 in the long form: `TALLYBOX_LONG=1 cargo test --test appliance chaos`.
fn rounds() -> u32 {
    if std::env::var_os("TALLYBOX_LONG").is_some() { 200 } else { 8 }
}

#[test]
fn no_death_leaves_a_camera_on() {
    let mqtt = "url = \"mqtt://127.0.0.1:9\"".to_owned();
    let shop = TestBox::new(&BoxConfig { mqtt, ..BoxConfig::default() });
    let mut supervisor = shop.start("run");
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for round in 0..rounds() {
        shop.wait_for_phase("idle");
        let sessions = shop.kinds().iter().filter(|kind| *kind == "session-started").count();
        shop.press();
        let victim = ["guard", "capture", "agent"][usize::try_from(random(3)).unwrap()];
        // A random moment of the start: while the process comes up, the pipeline is built, the server is sought.
        std::thread::park_timeout(Duration::from_millis(random(400)));
        // The lamp is read before the processes: it is lit before they are there, and after they are gone.
        let lit = shop.lamp_says_capturing();
        for pid in shop.processes(victim) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
        assert!(lit || shop.captures().is_empty(), "round {round}: a dark lamp in front of a capture");
        if victim == "agent" {
            shop.press();
        }
        wait_until("nothing captures", || shop.captures().is_empty());
        shop.wait_for_phase("idle");
        wait_until("the lamp says so", || shop.lamp() == "dark");
        shop.verify();
        assert!(shop.captures().is_empty(), "round {round}: a session came back by itself after {victim} died");
        let after = shop.kinds().iter().filter(|kind| *kind == "session-started").count();
        assert!(after <= sessions + 1, "round {round}: more sessions than presses");
    }
    wait_until("the agent is back", || shop.processes("agent").len() == 1);
    assert_eq!(supervisor.finish(), Some(0));
    let kinds = shop.kinds();
    let count = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
    assert_eq!(count("session-started"), count("session-stopped") + count("session-cut"), "each start has its end");
}
