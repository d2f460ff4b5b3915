//! Events through outages: each arrives once in the archive, in order, with its chain.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use support::{Broker, lines, names, said, summary, wait_until};

/// Lines of all files in an archive.
fn archived(dir: &Path) -> u64 {
    let boxes = std::fs::read_dir(dir).into_iter().flatten();
    let files = boxes.flat_map(|entry| std::fs::read_dir(entry.unwrap().path()).unwrap());
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap().lines().count() as u64).sum()
}

#[test]
fn every_event_arrives_once_through_six_outages_and_two_followers() {
    let broker = Broker::start();
    let dir = broker.dir.path().join("archive");
    let follow = ["events", "--archive", dir.to_str().unwrap(), "--session", "archive"];
    let follower = broker.spawn(&follow);
    wait_until("the archive's folder is made", || dir.is_dir());
    let outage = |cycle: u32| {
        let (down, up) = (3000 + cycle * 2500, 4200 + cycle * 2500);
        let mode = if cycle.is_multiple_of(2) { "cut" } else { "stall" };
        format!("{down}ms network {mode}\n{down}ms press 50%\n{up}ms network open\n")
    };
    let outages = (0..6).map(outage).collect::<Vec<_>>().concat();
    let script = support::write(broker.dir.path(), "outages", &format!("1s press 100%\n{outages}"));
    let boxes = broker.simulate(30, &["--script", script.to_str().unwrap()]);
    wait_until("events come", || archived(&dir) > 60);
    // The follower ends, and another one goes on: the broker kept what came meanwhile.
    let ended = follower.interrupt();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    wait_until("the last outage is over", || {
        let listed = lines(&broker.run(&["list", "--json", "--wait", "1s"]));
        let online = listed.iter().filter(|row| row["availability"] == "online").count();
        online == 30 && listed.iter().any(|row| row["session"].as_u64() >= Some(3))
    });
    let follower = broker.spawn(&follow);
    // Once all are idle nothing is written any more, and what was comes to the archive.
    let stopped = broker.run(&["stop", "--all", "--json"]);
    assert_eq!(stopped.status.code(), Some(0), "{}", said(&stopped));
    let (mut before, clock) = (archived(&dir), tallybox::clock::Clock::start());
    let mut since = clock.now();
    wait_until("nothing comes any more", || {
        let now = archived(&dir);
        if now != before {
            (before, since) = (now, clock.now());
        }
        clock.now().duration_since(since) > std::time::Duration::from_secs(3)
    });
    let written = summary(&boxes.interrupt());
    let entries = written["entries"].as_u64().unwrap();
    assert_eq!(written["entries-lost"], 0);
    let ended = follower.interrupt();
    assert!(said(&ended).contains(r#""gaps":0,"refused":0"#), "{}", said(&ended));
    assert_eq!(archived(&dir), entries, "received / created = 1.000");

    let verified = broker.run(&["verify", dir.to_str().unwrap(), "--json"]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    let rows = lines(&verified);
    assert_eq!(rows.len(), 30);
    assert_eq!(names(&rows[0]), ["file", "good", "entries", "first", "last", "hash", "whole", "error"]);
    assert!(rows.iter().all(|row| row["good"] == true && row["whole"] == true && row["first"] == 1));

    // One changed word, and it does not verify any more.
    let file = rows[0]["file"].as_str().unwrap();
    let text = std::fs::read_to_string(file).unwrap().replacen("session-started", "session-stopped", 1);
    std::fs::write(file, text).unwrap();
    let verified = broker.run(&["verify", dir.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&verified.stdout).contains("does not verify: line"), "{verified:?}");
}
