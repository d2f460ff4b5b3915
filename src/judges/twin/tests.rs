//! Documents that count, from one to the next: what is in force, what waits for staff, what is lost.
#![allow(clippy::needless_pass_by_value)] // documents are written where they are used

mod asked_before;
mod hostile;
mod lost_place;

use notes::{DocumentType, Note, Role, SignerKey, Trust, TrustedKey};
use serde_json::{Value, json};

use super::answers::IN_SESSION;
use super::*;
use crate::ipc::{KeyCode, ReportedConfig};

const ID: &str = "shop-1";
const MAIN: &str =
    "[ingest]\nurl = \"rtmps://push.example.cn/live/k\"\n[privacy]\nallowed-ingest-hosts = [\"*.example.cn\"]\n";

fn signer(name: &str, seed: u8) -> SignerKey {
    SignerKey::new(name, &[seed; 32]).unwrap()
}

fn operator() -> SignerKey {
    signer("operator.example.cn/fleet", 1)
}

fn stranger() -> SignerKey {
    signer("stranger.example.org/key", 9)
}

/// A box: its files, its disk, and the ledger as far as this is concerned.
struct TestBox {
    dir: tempfile::TempDir,
    history: DesiredHistory,
    facts: Vec<Fact>,
    refusals: Refusals,
    twin: Twin,
}

fn config(dir: &tempfile::TempDir, more: &str, keys: Vec<TrustedKey>) -> Arc<Config> {
    let path = dir.path().join("tallybox.toml");
    let text = format!("[device]\ndata-dir = \"{}\"\n{MAIN}{more}", dir.path().display());
    std::fs::write(&path, text).unwrap();
    let mut config = Config::load(&path).unwrap();
    config.trust = Trust { keys, ..Trust::default() };
    Arc::new(config)
}

fn keys() -> Vec<TrustedKey> {
    vec![
        TrustedKey { key: operator().verifier_key(), may: vec![Role::Desired] },
        TrustedKey {
            key: signer("operator.example.cn/stop", 2).verifier_key(),
            may: vec![Role::RequestStart, Role::Erase],
        },
    ]
}

impl TestBox {
    fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let twin = Twin::new(config(&dir, more, keys()));
        let mut fresh =
            Self { dir, history: DesiredHistory::default(), facts: Vec::new(), refusals: Refusals::default(), twin };
        assert!(fresh.twin.restore(&fresh.history, ID).is_none());
        fresh
    }

    /// The guard is killed here, and starts again with these files.
    fn restart(&mut self, more: &str, keys: Vec<TrustedKey>) {
        self.twin = Twin::new(config(&self.dir, more, keys));
        if let Some(fact) = self.twin.restore(&self.history.clone(), ID) {
            self.write(fact);
        }
    }

    fn write(&mut self, fact: Fact) {
        self.history.replay(&fact);
        self.facts.push(fact);
    }

    fn receive(&mut self, note: &str) -> Receipt {
        self.twin.receive(note, ID, true, || true)
    }

    /// One step, as the engine takes it; whether there was one.
    fn step(&mut self) -> bool {
        match self.twin.next_step(&self.refusals) {
            None => return false,
            Some(Step::Receive(fact)) => {
                self.write(fact);
                self.twin.received();
            }
            Some(Step::Ask(fact)) => {
                self.twin.asked();
                if let Some(fact) = fact {
                    self.write(fact);
                }
            }
            Some(Step::Apply(fact)) => {
                self.write(fact);
                self.twin.applied();
            }
            Some(Step::Withdraw(asks)) => {
                self.refusals.add(&Refusals::hashes(&asks));
                self.twin.withdrawn(&asks);
            }
            Some(Step::Decline(why)) => self.twin.declined(&why),
        }
        true
    }

    fn settle(&mut self) {
        while self.step() {}
    }

    fn agree(&mut self) {
        if let Some(fact) = self.twin.agreed() {
            self.write(fact);
        }
        self.settle();
    }

    fn hand_in(&mut self, version: u64, values: Value) -> Receipt {
        let receipt = self.receive(&note(version, values));
        self.settle();
        receipt
    }

    fn report(&self) -> ReportedConfig {
        self.twin.report("e", true)
    }

    fn code(&self, key: &str) -> KeyCode {
        self.report().keys[key].code
    }

    fn kinds(&self) -> Vec<String> {
        let kind = |fact: &Fact| serde_json::to_value(fact).unwrap()["kind"].as_str().unwrap().to_owned();
        self.facts.iter().map(kind).collect()
    }

    fn bitrate(&self) -> u32 {
        self.twin.config().video.bitrate_kbps
    }
}

fn signed(kind: DocumentType, json: &str, keys: &[&SignerKey]) -> String {
    Note::sign(&format!("{}\n{json}\n", kind.as_str()), keys).unwrap().to_string()
}

fn text(id: &str, version: u64, values: &Value) -> String {
    json!({"box": id, "version": version, "values": values}).to_string()
}

fn note(version: u64, values: Value) -> String {
    signed(DocumentType::Desired, &text(ID, version, &values), &[&operator()])
}

#[test]
fn a_document_is_in_force_once_and_survives_restarts() {
    let mut shop = TestBox::new("");
    assert_eq!(shop.report(), ReportedConfig { epoch: "e".to_owned(), ..ReportedConfig::default() });
    let hash = shop.twin.config().hash.clone();
    let first = note(1, json!({"video.bitrate-kbps": 900, "video.nothing": 1}));
    assert_eq!(shop.receive(&first), Receipt::New);
    shop.settle();
    assert_eq!(
        (shop.bitrate(), shop.code("video.bitrate-kbps"), shop.code("video.nothing")),
        (900, KeyCode::Ok, KeyCode::Unknown)
    );
    assert_ne!(shop.twin.config().hash, hash);
    let told = shop.report();
    assert_eq!((told.for_version, told.keys["video.bitrate-kbps"].value.clone()), (Some(1), Some(json!(900))));
    for _ in 0..3 {
        assert_eq!(shop.receive(&first), Receipt::Repeated);
        assert!(!shop.step());
        assert_eq!(shop.report(), told, "the same answer");
        shop.restart("", keys());
        assert_eq!((shop.report(), shop.bitrate()), (told.clone(), 900));
    }
    assert_eq!(shop.kinds(), ["desired-received", "desired-applied"]);
    // The integrator has the last word from now on.
    shop.restart("[video]\nbitrate-kbps = 1200\n", keys());
    assert_eq!((shop.bitrate(), shop.code("video.bitrate-kbps")), (1200, KeyCode::Locked));
    shop.restart("", keys());
    // Withdrawn by a signed document with nothing in it; the version stays the highest.
    assert_eq!(shop.hand_in(2, json!({})), Receipt::New);
    assert_eq!((shop.bitrate(), shop.twin.config().hash.clone(), shop.report().for_version), (2500, hash, Some(2)));
    assert!(matches!(shop.hand_in(1, json!({"video.bitrate-kbps": 900, "video.nothing": 1})), Receipt::Refused { .. }));
    assert_eq!(shop.bitrate(), 2500);
}

#[test]
fn what_changes_who_sees_people_waits_for_staff() {
    let mut shop = TestBox::new("[audio]\nbitrate-kbps = 96\n");
    shop.hand_in(1, json!({"audio.source": "none"}));
    let hash = shop.twin.config().hash.clone();
    let open = json!({"audio.source": "alsa", "video.fps": 10, "audio.bitrate-kbps": 64});
    shop.hand_in(2, open.clone());
    assert!(shop.twin.needs_agreement() && shop.twin.config().hash == hash);
    assert_eq!((shop.code("audio.source"), shop.code("video.fps")), (KeyCode::PendingIdle, KeyCode::PendingIdle));
    assert_eq!(shop.code("audio.bitrate-kbps"), KeyCode::Locked);
    let report = shop.report();
    let told = report.keys["audio.source"].clone();
    assert_eq!((report.for_version, told.value.unwrap()), (Some(2), json!("none")));
    assert!(told.text.unwrap().contains("hold the button for 2 s; it opens a microphone"));
    // It still waits after a restart, and the ledger has the question once.
    shop.restart("[audio]\nbitrate-kbps = 96\n", keys());
    shop.settle();
    assert!(shop.twin.needs_agreement() && shop.twin.config().hash == hash);
    assert_eq!(shop.kinds().iter().filter(|kind| *kind == "desired-pending").count(), 1);
    // A newer one takes its place, and is what staff agree to.
    shop.hand_in(3, json!({"audio.source": "alsa", "video.fps": 12}));
    assert!(shop.twin.needs_agreement());
    shop.agree();
    assert_eq!((shop.twin.config().video.fps, shop.code("audio.source")), (12, KeyCode::Ok));
    assert_eq!(shop.facts[shop.facts.len() - 2], Fact::DesiredAgreed { version: 3 });
    // One that waits is withdrawn: nobody is asked any more.
    shop.hand_in(
        4,
        json!({"ingest.second.url": "rtmps://b.example.cn/live/k", "audio.source": "alsa", "video.fps": 12}),
    );
    assert!(shop.twin.needs_agreement());
    shop.hand_in(5, json!({"audio.source": "alsa", "video.fps": 12}));
    assert!(!shop.twin.needs_agreement() && shop.twin.config().ingest.second.is_none());
    // To take back what kept a microphone closed is a question too; to close it is none.
    shop.hand_in(6, json!({"audio.source": "none"}));
    assert!(!shop.twin.needs_agreement());
    shop.hand_in(7, json!({}));
    assert!(shop.twin.needs_agreement() && shop.twin.agreed().is_some());
    shop.settle();
    assert_eq!(shop.twin.config().audio.source, crate::config::AudioSource::Auto);
}

#[test]
fn nothing_is_touched_in_a_session() {
    let mut shop = TestBox::new("");
    shop.hand_in(1, json!({"video.fps": 10}));
    let before = std::fs::read(shop.dir.path().join(NOTE)).unwrap();
    for version in 2..5 {
        let receipt = shop.twin.receive(&note(version, json!({"video.fps": version})), ID, false, || true);
        assert_eq!(receipt, Receipt::New);
    }
    let report = shop.twin.report("e", false);
    let told = &report.keys["video.fps"];
    assert_eq!((report.for_version, told.code, told.value.clone()), (Some(4), KeyCode::PendingIdle, Some(json!(10))));
    assert_eq!(told.text.as_deref(), Some(IN_SESSION));
    assert_eq!(std::fs::read(shop.dir.path().join(NOTE)).unwrap(), before);
    assert!(!shop.dir.path().join(NEXT).exists());
    assert!(matches!(
        shop.twin.receive(&note(3, json!({"video.fps": 3})), ID, false, || true),
        Receipt::Refused { .. }
    ));
    // The session is over.
    shop.settle();
    assert_eq!((shop.twin.config().video.fps, shop.history.applied, shop.history.received), (4, 4, 4));
    // One over the quota changes nothing, and is worth another try.
    assert!(matches!(shop.twin.receive(&note(5, json!({})), ID, true, || false), Receipt::Unavailable(_)));
    assert!(!shop.step());
    assert_eq!(shop.hand_in(5, json!({})), Receipt::New);
}

/// What happened to a file, and how.
type Damage = (&'static str, fn(&mut TestBox));

#[test]
fn what_cannot_be_verified_any_more_is_dropped_and_staff_are_asked() {
    let hides = json!({"privacy-mask": [{"x": 0, "y": 0, "width": 640, "height": 360}], "video.fps": 10});
    let broken: [Damage; 4] = [
        ("missing", |shop| std::fs::remove_file(shop.dir.path().join(NOTE)).unwrap()),
        ("damaged", |shop| {
            let path = shop.dir.path().join(NOTE);
            let mut text = std::fs::read(&path).unwrap();
            text[60] ^= 1;
            std::fs::write(&path, text).unwrap();
        }),
        ("an older one in its place", |shop| {
            let older = note(1, json!({"video.fps": 50}));
            std::fs::write(shop.dir.path().join(NOTE), older).unwrap();
        }),
        ("binary", |shop| std::fs::write(shop.dir.path().join(NOTE), [0xff; 9000]).unwrap()),
    ];
    for (what, breaks) in broken {
        let mut shop = TestBox::new("");
        shop.hand_in(1, json!({"video.fps": 50}));
        shop.hand_in(2, hides.clone());
        assert_eq!(shop.twin.config().masks.len(), 1);
        breaks(&mut shop);
        shop.restart("", keys());
        assert!(matches!(shop.facts.last(), Some(Fact::DesiredDropped { version: 2, asks: true, .. })), "{what}");
        assert!(shop.twin.needs_agreement() && shop.twin.config().masks.is_empty(), "{what}");
        assert_eq!(shop.report().code.as_deref(), Some("lost"), "{what}");
        // It stays so over restarts, and is written down once.
        shop.restart("", keys());
        assert!(shop.twin.needs_agreement(), "{what}");
        assert_eq!(shop.kinds().iter().filter(|kind| *kind == "desired-dropped").count(), 1, "{what}");
        // The broker has it still: it comes back, and nobody has to be asked.
        assert_eq!(shop.hand_in(2, hides.clone()), Receipt::New, "{what}");
        assert!(!shop.twin.needs_agreement() && shop.twin.config().masks.len() == 1, "{what}");
        assert!(matches!(shop.hand_in(1, json!({"video.fps": 50})), Receipt::Refused { .. }), "{what}");
    }
    // A key that is not trusted any more, and staff who agree to go on without.
    let mut shop = TestBox::new("");
    shop.hand_in(2, hides.clone());
    shop.restart("", Vec::new());
    assert!(shop.twin.needs_agreement() && shop.twin.config().masks.is_empty());
    assert!(matches!(shop.hand_in(2, hides), Receipt::Refused { .. }));
    shop.agree();
    assert!(!shop.twin.needs_agreement());
    assert_eq!(shop.facts.last(), Some(&Fact::DesiredAgreed { version: 2 }));
    shop.restart("", Vec::new());
    assert!(!shop.twin.needs_agreement());
}

#[test]
fn a_lock_that_is_lifted_in_the_files_lets_nothing_in_without_staff() {
    let locked = "[audio]\nsource = \"none\"\n";
    let mut shop = TestBox::new(locked);
    shop.hand_in(1, json!({"audio.source": "alsa", "video.fps": 10}));
    assert_eq!((shop.code("audio.source"), shop.twin.needs_agreement()), (KeyCode::Locked, false));
    // The files open the microphone by themselves, as the default does; which one is the platform's wish.
    shop.restart("", keys());
    shop.settle();
    assert!(shop.twin.needs_agreement());
    assert_eq!(shop.twin.config().audio.source, crate::config::AudioSource::Auto);
    assert_eq!(shop.twin.config().video.fps, 10);
    shop.agree();
    assert_eq!(shop.twin.config().audio.source, crate::config::AudioSource::Alsa);
    shop.restart("", keys());
    shop.settle();
    assert!(!shop.twin.needs_agreement());
}

#[test]
fn a_key_takes_over_from_another() {
    let mut shop = TestBox::new("");
    let next = signer("operator.example.cn/next", 4);
    let json = text(ID, 1, &json!({"video.fps": 10}));
    let one = signed(DocumentType::Desired, &json, &[&operator()]);
    let both = signed(DocumentType::Desired, &json, &[&operator(), &next]);
    assert_eq!(shop.receive(&one), Receipt::New);
    shop.settle();
    assert_eq!(shop.receive(&both), Receipt::Repeated);
    shop.restart("", vec![TrustedKey { key: next.verifier_key(), may: vec![Role::Desired] }]);
    assert_eq!((shop.twin.config().video.fps, shop.twin.needs_agreement()), (10, false));
    assert_eq!(shop.kinds(), ["desired-received", "desired-applied"]);
}

#[test]
fn unbinding_forgets_what_was_wanted_and_not_what_was_judged() {
    let mut shop = TestBox::new("");
    shop.hand_in(3, json!({"video.fps": 10}));
    shop.twin.forget();
    shop.history.unbound();
    std::fs::remove_file(shop.dir.path().join(NOTE)).unwrap();
    assert_eq!((shop.twin.config().video.fps, shop.report().for_version), (30, None));
    shop.restart("", keys());
    assert!(!shop.twin.needs_agreement() && shop.report().error.is_none());
    assert!(matches!(shop.hand_in(2, json!({})), Receipt::Refused { .. }));
    assert_eq!(shop.hand_in(4, json!({"video.fps": 20})), Receipt::New);
    assert_eq!(shop.twin.config().video.fps, 20);
}

#[test]
fn a_report_fits_into_a_message_and_loses_no_key() {
    let mut shop = TestBox::new("");
    let wrong: serde_json::Map<_, _> =
        (0..12).map(|key| (format!("video.a-rather-long-key-{key}"), json!("x".repeat(200)))).collect();
    shop.hand_in(1, wrong.into());
    let report = shop.report();
    let length = serde_json::to_string(&report).unwrap().len();
    assert!(report.keys.len() == 12 && length <= 1024, "{length}");
    assert!(report.keys.values().all(|key| key.code == KeyCode::Unknown));
    let all: serde_json::Map<_, _> =
        crate::config::DESIRED_KEYS.iter().map(|key| (key.name.to_owned(), json!("?"))).collect();
    shop.hand_in(2, all.into());
    let report = shop.report();
    assert_eq!(report.keys.len(), crate::config::DESIRED_KEYS.len());
    assert!(report.keys.values().filter(|key| key.code != KeyCode::Ok).all(|key| key.text.is_none()));
    // The error of a document as a whole keeps its beginning.
    let long = signed(DocumentType::Desired, &text(&"x".repeat(3000), 3, &json!({})), &[&operator()]);
    assert!(matches!(shop.receive(&long), Receipt::Refused { .. }));
    let report = shop.report();
    assert!(report.code.as_deref() == Some("misaddressed") && report.error.unwrap().starts_with("it is for the box"));
}
