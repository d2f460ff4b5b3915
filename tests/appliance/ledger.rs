//! The ledger as it is handed out: which ledger it is, and from where on.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::shop::{Plan, Shop};

/// A connection to the guard's socket that speaks its language.
struct Door(UnixStream);

impl Door {
    fn new(shop: &Shop) -> Self {
        let stream = UnixStream::connect(shop.path("run/guard.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(stream)
    }

    fn send(&mut self, call: u64, request: &Value) {
        let text = json!({ "call": call, "request": request }).to_string();
        self.0.write_all(&u32::try_from(text.len()).unwrap().to_be_bytes()).unwrap();
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn receive(&mut self) -> Value {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut text = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// The ledger's name and the numbers of the entries behind `after`, up to entry `last`.
    fn follow(&mut self, after: &Value, last: u64) -> (String, Vec<u64>) {
        self.send(1, &json!({ "ask": "subscribe", "entries": true, "after": after }));
        let (mut name, mut seqs) = (String::new(), Vec::new());
        while seqs.last().is_none_or(|seq| *seq < last) {
            let message = self.receive();
            match message["tell"].as_str().unwrap() {
                "ledger" => message["id"].as_str().unwrap().clone_into(&mut name),
                "entry" => {
                    assert!(!name.is_empty(), "the ledger is named before its first entry");
                    seqs.push(message["seq"].as_u64().unwrap());
                }
                _ => {}
            }
        }
        (name, seqs)
    }
}

/// The ledger as it is exported, entry by entry.
fn export(shop: &Shop) -> Vec<Value> {
    let output = shop.call(&["ledger", "export"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A damaged ledger is moved away, and numbers begin anew: what counted in the old one counts for nothing.
#[test]
fn a_cursor_counts_in_the_ledger_that_it_names() {
    let shop = Shop::new(&Plan::default());
    let mut guard = shop.start("guard");
    let status = shop.status().unwrap();
    let first = export(&shop)[0]["hash"].clone();
    assert_eq!(status["ledger"], first);
    let (name, seqs) = Door::new(&shop).follow(&Value::Null, 4);
    assert_eq!((json!(name), seqs), (first.clone(), vec![1, 2, 3, 4]));
    let (_, seqs) = Door::new(&shop).follow(&json!({ "ledger": first, "seq": 2 }), 4);
    assert_eq!(seqs, [3, 4]);
    guard.finish();
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::rename(shop.path(&format!("data/{name}")), shop.path(name));
    }
    let _guard = shop.start("guard");
    let second = shop.status().unwrap()["ledger"].clone();
    assert_ne!(first, second);
    // The cursor of the first ledger lies inside of the second one: by its number alone two entries would be lost.
    let (name, seqs) = Door::new(&shop).follow(&json!({ "ledger": first, "seq": 2 }), 4);
    assert_eq!((json!(name), seqs), (second, vec![1, 2, 3, 4]));
}

/// Whoever binds the box next is not handed what it did for the shop before.
#[test]
fn a_new_binding_begins_at_the_unbound_entry() {
    let shop = Shop::new(&Plan::default());
    let _guard = shop.start("guard");
    let ledger = shop.status().unwrap()["ledger"].clone();
    shop.hold("10.5");
    let all = export(&shop);
    let unbound = all.iter().find(|entry| entry["fact"]["kind"] == "unbound").unwrap()["seq"].as_u64().unwrap();
    let last = all.len() as u64;
    assert!(unbound > 4 && last > unbound);
    for after in [Value::Null, json!({ "ledger": "0".repeat(64), "seq": last }), json!({ "ledger": ledger, "seq": 1 })]
    {
        let (_, seqs) = Door::new(&shop).follow(&after, last);
        assert_eq!(seqs, (unbound..=last).collect::<Vec<_>>(), "{after}");
    }
    let (_, seqs) = Door::new(&shop).follow(&json!({ "ledger": ledger, "seq": unbound }), last);
    assert_eq!(seqs, (unbound + 1..=last).collect::<Vec<_>>());
}
