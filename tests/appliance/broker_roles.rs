//! Each role can do at the shipped broker what it must, and nothing else: by certificate, and by password in a browser.

use std::process::Command;

use serde_json::{Value, json};

use crate::shipped_broker::{ShippedBroker, script};

/// What a box may publish below its name.
const OWN: [&str; 7] = ["availability", "checkpoint", "config/reported", "event", "reply", "state", "telemetry"];
/// What operators may publish below each box's name.
const ORDERS: [&str; 4] = ["cmd/request-start", "cmd/stop", "config/desired", "policy"];
const RELEASE: &str = "tallybox/v1/release/stable";

fn topics(boxes: &[&str], names: &[&str], more: &[&str]) -> Value {
    let names = boxes.iter().flat_map(|name| names.iter().map(move |topic| format!("tallybox/v1/{name}/{topic}")));
    let mut all: Vec<_> = names.chain(more.iter().map(|topic| (*topic).to_owned())).collect();
    all.sort();
    json!(all)
}

/// What each role could do.
fn found() -> Value {
    let mut broker = ShippedBroker::new(&["shop-0001"], &[]);
    for role in ["dashboard", "releases", "stranger"] {
        broker.certify("operator", role);
    }
    broker.add_console(&["operator", "dashboard"], "secret");
    broker.start();
    let ports = [broker.port, broker.operators, broker.console].map(|port| port.to_string());
    let mut command = Command::new("/usr/bin/python3");
    let output = command.arg(script("broker_roles.py")).arg(broker.path("certs")).args(ports).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn each_role_can_do_what_it_must_and_nothing_else() {
    let found = found();
    let both = ["shop-0001", "shop-0002"];
    let nothing = topics(&[], &[], &[]);
    let orders = topics(&both, &ORDERS, &[]);
    for (role, expected) in [
        ("box", topics(&both[..1], &OWN, &[])),
        ("operator", orders.clone()),
        ("dashboard", nothing.clone()),
        ("releases", topics(&[], &[], &[RELEASE])),
        ("stranger", nothing.clone()),
        ("console operator", orders),
        ("console dashboard", nothing.clone()),
    ] {
        assert_eq!(found["writes"][role], expected, "what {role} may publish");
    }

    let said: Vec<_> = [&ORDERS[..], &OWN[..]].concat();
    // Nobody says what shop-0002 would say: there is only the other box's certificate.
    let everything = [topics(&both[..1], &said, &[]), topics(&both[1..], &ORDERS, &[RELEASE])];
    let mut everything: Vec<_> = everything.iter().flat_map(|list| list.as_array().unwrap().clone()).collect();
    everything.sort_by_key(|topic| topic.as_str().unwrap().to_owned());
    for (role, expected) in [
        ("box", topics(&both[..1], &ORDERS, &[RELEASE])),
        ("operator", json!(everything)),
        ("dashboard", json!(everything)),
        ("releases", topics(&[], &[], &[RELEASE])),
        ("stranger", topics(&[], &[], &[RELEASE])),
        ("console operator", json!(everything)),
        ("console dashboard", json!(everything)),
    ] {
        assert_eq!(found["reads"][role], expected, "what {role} hears");
    }

    let kept = json!([
        RELEASE,
        "tallybox/v1/shop-0001/config/desired",
        "tallybox/v1/shop-0001/policy",
        "tallybox/v1/shop-0001/state",
        "tallybox/v1/shop-0002/policy",
    ]);
    for (role, wills, retained) in [
        (
            "box",
            topics(&both[..1], &["availability"], &[]),
            topics(&both[..1], &["config/desired", "policy"], &[RELEASE]),
        ),
        ("operator", topics(&both[..1], &["cmd/stop"], &[]), kept.clone()),
        ("dashboard", nothing.clone(), kept.clone()),
        ("releases", topics(&[], &[], &[RELEASE]), topics(&[], &[], &[RELEASE])),
        ("stranger", nothing.clone(), topics(&[], &[], &[RELEASE])),
        ("console operator", topics(&both[..1], &["cmd/stop"], &[]), kept.clone()),
        ("console dashboard", nothing, kept),
    ] {
        assert_eq!(found["wills"][role], wills, "wills of {role}");
        assert_eq!(found["retained"][role], retained, "what is kept for {role}");
    }
}
