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

/// The archive witnesses what the boxes signed, also where it comes to their checkpoints late, and tells one of another
/// ledger.
#[test]
fn checkpoints_of_a_fleet_are_witnessed_and_contradictions_told() {
    let broker = Broker::start();
    let at = |name: &str| broker.dir.path().join(name).to_str().unwrap().to_owned();
    let (dir, ledgers, witness) = (at("archive"), at("ledgers"), at("witness.key"));
    let script = crate::support::write(broker.dir.path(), "script", "1s press 100%\n3s press 100%\n");
    let follower = broker.spawn(&["events", "--archive", &dir, "--session", "archive"]);
    wait_until("the archive's folder is made", || Path::new(&dir).is_dir());
    let simulate = ["--script", script.to_str().unwrap(), "--drain", "1m", "--idle", "0s", "--ledgers", &ledgers];
    let boxes = broker.simulate(5, &simulate);
    wait_until("sessions end", || {
        let listed = lines(&broker.run(&["list", "--json", "--wait", "1s"]));
        listed.len() == 5 && listed.iter().all(|row| row["phase"] == "idle" && row["reason"] != serde_json::Value::Null)
    });
    let entries = summary(&boxes.interrupt())["entries"].as_u64().unwrap();
    wait_until("all of it came", || archived(Path::new(&dir)) >= entries);
    follower.interrupt();
    let keys: String = std::fs::read_to_string(&ledgers)
        .unwrap()
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["verifier-key"].as_str().unwrap().to_owned()
        })
        .map(|key| key + "\n")
        .collect();
    let keys = crate::support::write(broker.dir.path(), "keys", &keys);
    let made = broker.run(&["key", "new", "--name", "operator.example/witness", &witness]);
    let witness_key = String::from_utf8(made.stdout).unwrap();
    let follow = ["events", "--archive", &dir, "--keys", keys.to_str().unwrap(), "--cosign", &witness, "--for", "3s"];
    let told = broker.run(&follow);
    assert!(said(&told).contains(r#""checkpoints":5,"contradictions":0"#), "{}", said(&told));
    let again = broker.run(&follow);
    assert!(said(&again).contains(r#""checkpoints":0,"contradictions":0"#), "{}", said(&again));
    // The kept one verifies, with its cosignature; the ledger is held against it.
    let folder = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let of = |end: &str| {
        let mut files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
        files.find(|path| path.extension().is_some_and(|found| found == end)).unwrap()
    };
    let (kept, events) = (of("checkpoint"), of("jsonl"));
    let note = notes::Note::parse(&std::fs::read(&kept).unwrap()).unwrap();
    assert!(note.cosigned_at(&witness_key.trim().parse().unwrap()).flatten().is_some());
    let (keys, name) = (std::fs::read_to_string(&keys).unwrap(), note.text().lines().next().unwrap().to_owned());
    let key = keys.lines().find(|key| key.starts_with(&name)).unwrap();
    let verify = ["verify", events.to_str().unwrap(), "--checkpoint", kept.to_str().unwrap(), "--box-key", key];
    assert_eq!(broker.run(&verify).status.code(), Some(0));
    // Another ledger in its place, under the same key: a box that was put back from a backup and went on.
    let text = std::fs::read_to_string(&events).unwrap();
    let cut: String = text.lines().take(text.lines().count() - 1).map(|line| line.to_owned() + "\n").collect();
    std::fs::write(&events, cut).unwrap();
    assert_eq!(broker.run(&verify).status.code(), Some(65), "an entry is missing");
}
