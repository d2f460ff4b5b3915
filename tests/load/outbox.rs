//! What the platform has heard: the ledger's entries, as the broker acknowledged them.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::odd_broker::OddBroker;
use crate::support::test_box::TestBox;
use crate::support::{Program, wait_for, wait_until};

/// Who hears the events.
pub(crate) enum Outbox {
    /// `mosquitto_sub`, which writes them into this file.
    Subscriber { heard: PathBuf, _program: Program },
    /// The broker itself.
    Odd(Arc<OddBroker>),
}

impl Outbox {
    /// Subscribes at mosquitto.
    pub(crate) fn subscribe(shop: &TestBox, port: u16) -> Self {
        let heard = shop.path("heard");
        let mut command = Command::new("mosquitto_sub");
        command.args(["-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", &port.to_string(), "-F", "%t %p"]);
        command.args(["-t", "tallybox/v1/test-box/event", "-t", "tallybox/v1/test-box/reply", "-t", "ready"]);
        command.stdin(Stdio::null()).stdout(std::fs::File::create(&heard).unwrap());
        let program = Program::start(&mut command);
        let this = Self::Subscriber { heard, _program: program };
        // A message of our own shows that it is subscribed.
        wait_until("the subscriber hears", || {
            let port = port.to_string();
            let ready = Command::new("mosquitto_pub").args(["-p", &port, "-t", "ready", "-m", "yes"]).status();
            assert!(ready.unwrap().success());
            this.lines("ready").next().is_some()
        });
        this
    }

    fn lines(&self, topic: &str) -> impl Iterator<Item = String> {
        let text = match self {
            Self::Subscriber { heard, .. } => std::fs::read_to_string(heard).unwrap(),
            Self::Odd(_) => String::new(),
        };
        // The last line may be half written.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let lines: Vec<String> = text[..whole].lines().map(str::to_owned).collect();
        let topic = topic.to_owned();
        lines.into_iter().filter_map(move |line| {
            let (of, payload) = line.split_once(' ')?;
            of.ends_with(&topic).then(|| payload.to_owned())
        })
    }

    /// Events in the order in which they came, repeated ones too.
    pub(crate) fn events(&self) -> Vec<Value> {
        match self {
            Self::Subscriber { .. } => self.lines("/event").map(|text| serde_json::from_str(&text).unwrap()).collect(),
            Self::Odd(broker) => broker.on("event").into_iter().map(|heard| heard.payload).collect(),
        }
    }

    /// How many commands were answered.
    pub(crate) fn replies(&self) -> usize {
        match self {
            Self::Subscriber { .. } => self.lines("/reply").count(),
            Self::Odd(broker) => broker.on("reply").len(),
        }
    }

    /// Waits until the platform has all entries of the ledger, and checks that it has each, in order, as it is in the
    /// ledger. Entries that are written meanwhile are for the next time.
    #[track_caller]
    pub(crate) fn check(&self, shop: &TestBox, ledger: &[Value]) {
        let last = ledger.last().unwrap()["seq"].as_u64().unwrap();
        let seq = |event: &Value| event["seq"].as_u64().unwrap();
        // An agent whose broker was away may wait for a minute before it tries again. What a flood left at the broker
        // comes before the broker's acknowledgements.
        let has_last = || self.events().iter().any(|event| seq(event) == last).then_some(());
        wait_for("the outbox has drained", Duration::from_secs(600), has_last);
        let mut firsts: Vec<Value> = Vec::new();
        for event in self.events() {
            match firsts.iter().find(|first| seq(first) == seq(&event)) {
                Some(first) => assert_eq!(*first, event, "an entry is repeated as it was"),
                None if seq(&event) <= last => firsts.push(event),
                None => {}
            }
        }
        assert_eq!(firsts.len(), ledger.len(), "an entry is missing\n{}", shop.log());
        for (event, entry) in firsts.iter().zip(ledger) {
            assert_eq!((seq(event), &event["hash"]), (seq(entry), &entry["hash"]), "{event}\n{entry}");
        }
    }
}
