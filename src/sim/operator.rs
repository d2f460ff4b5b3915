//! The operators of a simulation: keys of each role in right and wrong hands, and what they publish, in any order and
//! with any version.

mod action;

use jiff::{SignedDuration, Timestamp};
use notes::{Note, SignerKey};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::broker::Broker;
use super::releases::{Flaw, Published, ReleasePlan};
use crate::clock;
use crate::ipc::Verb;

pub use action::OperatorAction;

/// What each key may sign. The last one is trusted with nothing: the box does not know it.
const KEYS: [(&str, &[&str]); KEY_COUNT as usize] = [
    (
        "ops.example.cn/fleet",
        &["request-start", "unmute", "set-video", "set-ingest", "set-policy", "update", "identify", "diagnose"],
    ),
    ("documents.example.cn/fleet", &["desired", "policy", "end-of-service", "release"]),
    ("admin.example.cn/fleet", &["erase", "unbind"]),
    ("stranger.example.cn/fleet", &[]),
];

/// How many keys there are.
pub const KEY_COUNT: u8 = 4;

/// Topics below the box's own that anybody may publish garbage to, or clear.
const TOPICS: [&str; 6] = ["config/desired", "policy", "cmd/stop", "cmd/mute", "cmd/erase", "cmd/start"];

/// A command that was published.
#[derive(Clone, Debug)]
pub struct SentCommand {
    /// The broker's number for it.
    pub number: u64,
    /// When.
    pub at: Instant,
    /// Its verb.
    pub verb: Verb,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// What its answer refers to.
    pub correlation: String,
    /// Whether it came with the retain flag.
    pub retained: bool,
    /// What was signed; `None`: nothing was.
    pub signed: Option<SignedSpec>,
}

/// What a signed command says besides its verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedSpec {
    /// The name of the key.
    pub key: &'static str,
    /// Whether that key may sign this verb.
    pub is_entitled: bool,
    /// Its id.
    pub id: String,
    /// The epoch that it names.
    pub epoch: String,
    /// Its number.
    pub seq: u64,
    /// Its deadline was over when it was signed.
    pub is_late: bool,
    /// Whether it names this box.
    pub for_box: bool,
}

/// Somebody who publishes.
#[derive(Debug)]
pub struct Operator {
    broker: Broker,
    /// Topics of the box begin with this, without a slash at the end.
    base: String,
    box_id: String,
    numbers: [u64; KEYS.len()],
    count: u64,
    sent: Vec<SentCommand>,
    desired: Option<String>,
    published: Vec<Published>,
}

/// The `[[trust]]` tables of a box that knows these keys.
pub fn trust() -> String {
    let known = KEYS.iter().enumerate().filter(|(_, (_, may))| !may.is_empty());
    let table = |(index, (_, may)): (usize, &(&str, &[&str]))| {
        let key = signer(index).map(|key| key.verifier_key().to_string()).unwrap_or_default();
        format!("[[trust]]\nkey = \"{key}\"\nmay = {may:?}\n\n")
    };
    known.map(table).collect()
}

fn signer(index: usize) -> Option<SignerKey> {
    let (name, _) = KEYS[index % KEYS.len()];
    SignerKey::new(name, &[0x5a ^ u8::try_from(index).unwrap_or_default(); 32]).ok()
}

/// Who may sign what: names, and whether this one has the role.
pub(super) fn may_sign(key: &str, role: &str) -> bool {
    KEYS.iter().any(|(name, may)| *name == key && may.contains(&role))
}

fn note(kind: &str, json: &Value, key: u8) -> String {
    let text = format!("tallybox/{kind}/v1\n{json}\n");
    let key = signer(usize::from(key));
    key.and_then(|key| Note::sign(&text, &[&key]).ok()).map(|note| note.to_string()).unwrap_or_default()
}

/// The verb with this number; numbers beyond the list count from its beginning again.
pub(super) fn verb(index: u8) -> Verb {
    Verb::ALL[usize::from(index) % Verb::ALL.len()]
}

fn later(seconds: i64) -> Timestamp {
    clock::utc_now().saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

impl Operator {
    /// Publishes at `broker` for the box `box_id`, whose topics lie below `base`.
    pub fn new(broker: Broker, base: &str, box_id: &str) -> Self {
        let (base, box_id) = (base.to_owned(), box_id.to_owned());
        let (sent, published) = (Vec::new(), Vec::new());
        Self { broker, base, box_id, numbers: [0; KEYS.len()], count: 0, sent, desired: None, published }
    }

    /// All commands so far, but for those of floods.
    pub fn sent(&self) -> &[SentCommand] {
        &self.sent
    }

    /// Publishes the first stops again, byte for byte, as whoever missed their answers would.
    pub(super) fn repeat_stops(&mut self) {
        let is_one = |sent: &&SentCommand| sent.verb == Verb::Stop && !sent.retained;
        let stops: Vec<_> = self.sent.iter().filter(is_one).take(4).cloned().collect();
        for SentCommand { verb, payload, signed, .. } in stops {
            self.command(verb, payload, false, signed);
        }
    }

    /// Releases that a box may take.
    pub(super) fn published(&self) -> &[Published] {
        &self.published
    }

    /// The desired configuration that was published last, if the broker keeps it: else a box that was away misses it.
    pub fn desired(&self) -> Option<&str> {
        let kept = self.broker.retained(&format!("{}/config/desired", self.base));
        self.desired.as_deref().filter(|wanted| kept.as_deref() == Some(wanted.as_bytes()))
    }

    /// Does it now.
    pub fn act(&mut self, action: &OperatorAction) {
        match *action {
            OperatorAction::Plain { verb: index, life_s, retained } => {
                let payload = self.plain(verb(index), life_s);
                self.command(verb(index), payload, retained, None);
            }
            OperatorAction::Signed { .. } => self.signed(action),
            OperatorAction::Again { back } => {
                let known = self.sent.iter().rev().nth(usize::from(back) % self.sent.len().max(1)).cloned();
                if let Some(SentCommand { verb, payload, signed, .. }) = known {
                    self.command(verb, payload, false, signed);
                }
            }
            OperatorAction::Desired { version, key } => {
                let values = json!({ "video.bitrate-kbps": 500 + version * 100 % 2000 });
                let text = json!({ "box": self.box_id, "version": version, "values": values });
                let text = note("desired", &text, key);
                self.document("config/desired", &text);
                self.desired = Some(text);
            }
            OperatorAction::Policy { day, key, material } => {
                let version = format!("2026-01-{:02}", 1 + day % 28);
                self.document("policy", &note("policy", &json!({ "version": version, "material": material }), key));
            }
            OperatorAction::EndOfService { key } => {
                self.document("policy", &note("end-of-service", &json!({ "box": self.box_id }), key));
            }
            OperatorAction::Release(ref plan) => self.release(plan),
            OperatorAction::Clear { topic } => {
                let topic = TOPICS[usize::from(topic) % TOPICS.len()];
                self.document(topic, "");
                self.replaced(topic);
            }
            OperatorAction::Garbage { topic, length } => {
                let bytes: Vec<u8> = (0..length).map(|at| (at.wrapping_mul(31) >> 2).to_le_bytes()[0]).collect();
                let topic = TOPICS[usize::from(topic) % TOPICS.len()];
                self.broker.publish(&format!("{}/{topic}", self.base), &bytes, false, None);
                self.replaced(topic);
            }
            OperatorAction::Flood { verb: index, count } => {
                let topic = format!("{}/cmd/{}", self.base, verb(index).as_str());
                for _ in 0..count {
                    let payload = self.plain(verb(index), 60);
                    self.broker.publish(&topic, &payload, false, None);
                }
            }
        }
    }

    fn release(&mut self, plan: &ReleasePlan) {
        let json = plan.json();
        let mut text = note("release", &json, plan.key);
        if plan.flaw == Some(Flaw::Signature) {
            text = text.replacen("false", "true", 1);
        }
        let (name, _) = KEYS[usize::from(plan.key) % KEYS.len()];
        self.published.extend(Published::of(plan, &json).filter(|_| may_sign(name, "release")));
        let prefix = self.base.rsplit_once('/').map_or("", |(prefix, _)| prefix);
        self.broker.publish(&format!("{prefix}/release/stable"), text.as_bytes(), true, None);
    }

    /// What came on a topic counts in place of what was there.
    fn replaced(&mut self, topic: &str) {
        self.desired = self.desired.take().filter(|_| topic != "config/desired");
    }

    fn document(&self, topic: &str, text: &str) {
        self.broker.publish(&format!("{}/{topic}", self.base), text.as_bytes(), true, None);
    }

    fn command(&mut self, verb: Verb, payload: Vec<u8>, retained: bool, signed: Option<SignedSpec>) {
        self.count += 1;
        let correlation = format!("r{}", self.count);
        let topic = format!("{}/cmd/{}", self.base, verb.as_str());
        let respond = Some(("answers/simulated", correlation.as_bytes()));
        let number = self.broker.publish(&topic, &payload, retained, respond);
        self.sent.push(SentCommand { number, at: Instant::now(), verb, payload, correlation, retained, signed });
    }

    fn plain(&mut self, verb: Verb, life_s: i64) -> Vec<u8> {
        self.count += 1;
        let mut json = parameters(verb);
        json["id"] = format!("c{}", self.count).into();
        json["issued-at"] = later(life_s.min(0) - 1).to_string().into();
        json["expires-at"] = later(life_s).to_string().into();
        json.to_string().into_bytes()
    }

    fn signed(&mut self, action: &OperatorAction) {
        let OperatorAction::Signed { verb: index, key, step, of_epoch, deadline_s, for_box } = *action else { return };
        let state = self.broker.retained(&format!("{}/state", self.base)).unwrap_or_default();
        let state: Value = serde_json::from_slice(&state).unwrap_or_default();
        let number = &mut self.numbers[usize::from(key) % KEYS.len()];
        *number = number.saturating_add_signed(step).max(1);
        self.count += 1;
        let uptime = state["uptime-s"].as_u64().unwrap_or_default();
        let mut json = parameters(verb(index));
        json["box"] = if for_box { self.box_id.as_str().into() } else { "other-box".into() };
        json["verb"] = verb(index).as_str().into();
        json["id"] = format!("c{}", self.count).into();
        json["epoch"] = if of_epoch { state["epoch"].clone() } else { "0".repeat(32).into() };
        json["seq"] = (*number).into();
        // A time that has passed, not one that no box ever has.
        let deadline = uptime.saturating_add_signed(deadline_s).max(1);
        json["deadline-s"] = deadline.into();
        let payload = note("command", &json, key).into_bytes();
        let (name, may) = KEYS[usize::from(key) % KEYS.len()];
        let signed = SignedSpec {
            key: name,
            is_entitled: may.contains(&verb(index).row().role.as_str()),
            id: json["id"].as_str().unwrap_or_default().to_owned(),
            epoch: json["epoch"].as_str().unwrap_or_default().to_owned(),
            seq: *number,
            is_late: deadline <= uptime,
            for_box,
        };
        self.command(verb(index), payload, false, Some(signed));
    }
}

/// What a verb needs besides.
fn parameters(verb: Verb) -> Value {
    match verb {
        Verb::SetVideo => json!({ "bitrate-kbps": 1200 }),
        Verb::SetIngest => json!({ "url": "rtmps://push.example.cn/live/other" }),
        Verb::SetPolicy => json!({ "note": note("policy", &json!({ "version": "2026-01-02", "material": false }), 1) }),
        Verb::Update => json!({ "version": "0.2.0-1" }),
        Verb::RequestStart
        | Verb::Stop
        | Verb::Mute
        | Verb::Unmute
        | Verb::Identify
        | Verb::Diagnose
        | Verb::Erase
        | Verb::Unbind => json!({}),
    }
}
