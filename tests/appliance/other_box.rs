//! Whoever has one box's key reaches no other box over the shipped broker.

use std::process::Command;

use serde_json::Value;

use crate::shipped_broker::{ShippedBroker, script};
use crate::support::wait_until;

#[test]
fn a_box_reaches_no_other_box() {
    let mut broker = ShippedBroker::new(&["shop-0001", "shop-0002", "shop-0003"], &[]);
    broker.start();
    let boxes = ["shop-0001", "shop-0002"].map(|id| broker.test_box(id, broker.port));
    let running = boxes.each_ref().map(|shop| shop.start("run"));
    for shop in &boxes {
        wait_until("the box is connected", || shop.log().contains("connected to the broker"));
    }
    let mut attack = Command::new("/usr/bin/python3");
    attack.arg(script("other_box.py")).arg(broker.path("certs"));
    let output = attack.args([broker.port.to_string(), broker.operators.to_string()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{output:?}"));
    assert!(found["attempts"].as_u64().unwrap() >= 200, "{found}");
    assert_eq!(found["successes"], serde_json::json!([]), "{found}");
    // A broker that lets nothing through would pass too.
    assert_eq!(found["controls"].as_array().unwrap().len(), 3, "{found}");
    for shop in &boxes {
        let log = shop.log();
        assert_eq!(log.matches("connected to the broker").count(), 1, "nobody threw it out: {log}");
        let refused = shop.kinds().iter().filter(|kind| *kind == "command-refused").count();
        assert!(refused <= 2, "only the operator's own test command and policy came: {:?}", shop.kinds());
    }
    answers_go_nowhere_else(&broker);
    drop(running);
}

/// A command of an operator's that names another box's topic for its answer.
fn answers_go_nowhere_else(broker: &ShippedBroker) {
    let heard =
        broker.sh("at='-V 5 -h localhost -p '$OPERATORS' --cafile ca.pem --cert operator.pem --key operator.key'
        timeout 6 mosquitto_sub $at -t 'tallybox/v1/shop-0002/reply' -t 'tallybox/v1/shop-0002/cmd/stop' >heard &
        sleep 1
        for to in reply cmd/stop; do
          mosquitto_pub $at -q 1 -t tallybox/v1/shop-0001/cmd/stop -m '{\"id\":\"a'$to'\"}' \
            -D publish response-topic tallybox/v1/shop-0002/$to
        done
        wait; cat heard");
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "", "{heard:?}");
}
