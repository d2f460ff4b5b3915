//! A broker that restarts under a fleet: all boxes come back, and not all at once.

use serde_json::json;

use crate::support::{Broker, Keys, release, said, summary, write};

/// Boxes that are connected for longer than this have a good connection: their backoff begins anew.
const STABLE_S: u32 = 30;

/// Publishes a release that is for no box yet and says how reconnects are spread. Returns the boxes' configuration,
/// which does not say it.
fn publish_spread(broker: &Broker, spread: u32) -> String {
    let mut keys = Keys::new(broker);
    let key = keys.add(broker, "release", &["release"]);
    let mut document: serde_json::Value = serde_json::from_str(&release()).unwrap();
    document["reconnect-spread-s"] = json!(spread);
    document["wave"]["state"] = json!("paused");
    let file = write(broker.dir.path(), "release.json", &document.to_string());
    let published = broker.run(&["update", "publish", file.to_str().unwrap(), "--key", &key]);
    assert!(published.status.success(), "{}", said(&published));
    keys.config("")
}

#[test]
fn boxes_come_back_to_a_broker_that_restarted_spread_over_the_time_that_they_were_given() {
    let (boxes, spread): (u32, u32) = if std::env::var_os("TALLYBOX_LONG").is_some() { (2000, 40) } else { (200, 10) };
    let mut broker = Broker::start();
    let config = publish_spread(&broker, spread);
    broker.stop();
    let ramp = boxes / 100;
    let (down, up) = (STABLE_S + ramp + 4, STABLE_S + ramp + 6);
    let end = up + spread * 3 / 2 + 10;
    let script = format!("{down}s broker stop\n{up}s broker start\n{end}s end\n");
    let script = write(broker.dir.path(), "restart", &script);
    let (url, mosquitto) = (broker.url(), broker.config());
    let (count, ramp) = (boxes.to_string(), format!("{ramp}s"));
    let output = broker.run(&[
        "sim",
        "--boxes",
        &count,
        "--broker",
        &url,
        "--ramp",
        &ramp,
        "--idle",
        "0s",
        "--count",
        "--json",
        "--mosquitto",
        mosquitto.to_str().unwrap(),
        "--script",
        script.to_str().unwrap(),
        "--config",
        &config,
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let network = &summary(&output)["network"];
    let seconds: Vec<u64> =
        network["connections-by-second"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect();
    // Before the broker stops there are the first connections only.
    let (first, again) = seconds.split_at(usize::try_from(down).unwrap());
    assert_eq!(first.iter().sum::<u64>(), u64::from(boxes), "each box connects once: {seconds:?}");
    assert_eq!(again.iter().sum::<u64>(), u64::from(boxes), "each box comes back, once: {seconds:?}");
    let peak = again.iter().copied().max().unwrap();
    let uniform = f64::from(boxes) / f64::from(spread);
    println!("{boxes} boxes, spread {spread} s: {peak} connects in the busiest second, {uniform:.0} if even");
    assert!(
        f64::from(u32::try_from(peak).unwrap()) <= 2.0 * uniform,
        "{peak} in a second, {uniform} if even: {again:?}"
    );
}
