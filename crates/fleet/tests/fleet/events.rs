//! Events through outages: each arrives once in the archive, in order, with its chain.

use std::path::Path;

use crate::support::{Broker, lines, names, said, summary, wait_until};

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
    // An agent that was thrown out that often waits for minutes; one that starts anew does not.
    let script = format!("1s press 100%\n{outages}18s agent restart 100%\n");
    let script = crate::support::write(broker.dir.path(), "outages", &script);
    let (clock, begin) = (tallybox::clock::Clock::start(), monotonic::Monotonic::default());
    let boxes = broker.simulate(30, &["--script", script.to_str().unwrap(), "--drain", "5m"]);
    wait_until("events come", || archived(&dir) > 60);
    // The follower ends, and another one goes on: the broker kept what came meanwhile.
    let ended = follower.interrupt();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    wait_until("the last outage is over", || {
        let is_over = clock.now().duration_since(begin) > std::time::Duration::from_secs(22);
        let listed = lines(&broker.run(&["list", "--json", "--wait", "1s"]));
        let online = listed.iter().filter(|row| row["availability"] == "online").count();
        is_over && online == 30 && listed.iter().any(|row| row["session"].as_u64() >= Some(3))
    });
    let follower = broker.spawn(&follow);
    // Staff close the shops, and what was written comes to the archive.
    let written = summary(&boxes.interrupt());
    let entries = written["entries"].as_u64().unwrap();
    assert_eq!(written["entries-lost"], 0);
    wait_until("all of it came", || archived(&dir) >= entries);
    let ended = follower.interrupt();
    assert!(said(&ended).contains(r#""gaps":0,"refused":0"#), "{}", said(&ended));
    assert_eq!(archived(&dir), entries, "received / created = 1.000");

    let verified = broker.run(&["verify", dir.to_str().unwrap(), "--json"]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    let rows = lines(&verified);
    assert_eq!(rows.len(), 30);
    assert_eq!(names(&rows[0]), ["file", "good", "entries", "first", "last", "hash", "whole", "error"]);
    assert!(rows.iter().all(|row| row["good"] == true && row["whole"] == true && row["first"] == 1));

    others_order_is_mended(&broker, rows[0]["file"].as_str().unwrap());

    // One changed word, and it does not verify any more.
    let file = rows[0]["file"].as_str().unwrap();
    let text = std::fs::read_to_string(file).unwrap().replacen("session-started", "session-stopped", 1);
    std::fs::write(file, text).unwrap();
    let verified = broker.run(&["verify", dir.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&verified.stdout).contains("does not verify: line"), "{verified:?}");
}

/// The events of one box come once more, in an order in which a broker of several nodes may bring them.
fn others_order_is_mended(broker: &Broker, file: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut events: Vec<&str> = text.lines().collect();
    assert!(events.len() >= 6, "{} events", events.len());
    // The first one of all stays: before an archive has one of a box, it does not know what is missing.
    events[1..].chunks_mut(3).for_each(<[&str]>::reverse);
    let (id, dir) = (Path::new(file).parent().unwrap().file_name().unwrap(), broker.dir.path().join("second"));
    let follow = ["events", "--archive", dir.to_str().unwrap(), "--session", "second"];
    // From now on the broker keeps what comes.
    assert_eq!(broker.run(&[&follow[..], &["--for", "1s"]].concat()).status.code(), Some(0));
    let topic = format!("{}/tallybox/v1/{}/event", broker.url(), id.to_str().unwrap());
    let messages = events.join("\n") + "\n";
    let messages = std::fs::File::open(crate::support::write(broker.dir.path(), "messages", &messages)).unwrap();
    let mut publish = std::process::Command::new("mosquitto_pub");
    let published = publish.args(["-V", "5", "-q", "1", "-l", "-L", &topic]).stdin(messages).status().unwrap();
    assert!(published.success());
    let follower = broker.spawn(&follow);
    wait_until("all of it came", || archived(&dir) >= events.len() as u64);
    let ended = follower.interrupt();
    assert!(said(&ended).contains(r#""gaps":0,"refused":0"#), "{}", said(&ended));
    let second = dir.join(id).join(Path::new(file).file_name().unwrap());
    assert_eq!(std::fs::read_to_string(second).unwrap(), text, "the same archive");
}
