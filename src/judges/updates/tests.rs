mod commands;
mod reconnects;
mod replays;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use notes::{DocumentType, Note, SignerKey};
use rollout::{Files, Release, Wave, WaveState};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::ipc::Response;

const START: &str = "2026-12-01T02:00:00Z";

fn signer(number: u8) -> SignerKey {
    SignerKey::new(&format!("operator.example/release-{number}"), &[number; 32]).unwrap()
}

fn release(serial: u64) -> Release {
    let file = rollout::File {
        url: "https://updates.example.cn/tallybox.deb".to_owned(),
        size: 10,
        sha256: Sha256Hex::of(b"package"),
    };
    Release {
        version: "0.2.0-1".parse().unwrap(),
        serial,
        channel: "stable".to_owned(),
        files: Files { amd64: Some(file.clone()), arm64: Some(file.clone()), armhf: Some(file) },
        not_after: "2027-03-01T00:00:00Z".parse().unwrap(),
        minimum_version: None,
        wave: Wave::everyone(START.parse().unwrap()),
        downgrade: false,
        security: true,
        reconnect_spread_s: None,
    }
}

fn text(release: &Release) -> String {
    format!("{}\n{}\n", DocumentType::Release.as_str(), release.to_json().unwrap())
}

fn signed(release: &Release, signers: &[u8]) -> String {
    let keys: Vec<SignerKey> = signers.iter().map(|number| signer(*number)).collect();
    Note::sign(&text(release), &keys.iter().collect::<Vec<_>>()).unwrap().to_string()
}

/// A box with 0.1.0-1 that trusts the release keys 1 and 2, both of which have to sign; key 3 may do everything else.
struct Bench {
    dir: TempDir,
    config: Config,
    updates: Updates,
    clock: ClockReading,
    now: Monotonic,
    is_busy: bool,
    /// What the ledger lacked at the last restart.
    found: Option<Fact>,
}

impl Bench {
    fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/lib/dpkg")).unwrap();
        let status = format!(
            "Package: tallybox\nStatus: install ok installed\nArchitecture: {}\nVersion: 0.1.0-1\n",
            update_files::ARCHITECTURE
        );
        std::fs::write(dir.path().join("var/lib/dpkg/status"), status).unwrap();
        let key =
            |number, may: &str| format!("[[trust]]\nkey = \"{}\"\nmay = [{may}]\n", signer(number).verifier_key());
        let text = format!(
            "[device]\nid = \"shop-0042\"\ndata-dir = {:?}\n{}{}{}[trust-thresholds]\nrelease = 2\n[update]\n{settings}",
            dir.path().join("data"),
            key(1, "\"release\""),
            key(2, "\"release\", \"desired\""),
            key(3, "\"update\", \"desired\", \"policy\""),
        );
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let config = crate::config::example(&text);
        let utc = "2026-12-02T12:00:00Z".parse().unwrap();
        let now = Monotonic::from_start(Duration::from_hours(1));
        Self {
            updates: Updates::new(&config, dir.path(), now),
            config,
            clock: ClockReading { utc, synchronised: true, boot: "b".into(), monotonic_ms: 3_600_000 },
            dir,
            now,
            is_busy: false,
            found: None,
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.saturating_add(Duration::from_secs(seconds));
        let passed = SignedDuration::from_secs(i64::try_from(seconds).unwrap());
        self.clock.utc = self.clock.utc.checked_add(passed).unwrap();
        self.clock.monotonic_ms += seconds * 1000;
    }

    /// A second later.
    fn tick(&mut self) -> Vec<Step> {
        self.wait(1);
        let moment = Moment { now: self.now, clock: &self.clock, id: Some("shop-0042"), is_busy: self.is_busy };
        self.updates.tick(&moment)
    }

    /// Offers a note, and waits until it is in force or refused; what was written down.
    fn offer(&mut self, note: &str) -> Result<Vec<Step>, String> {
        let (reply, mut answer) = oneshot::channel();
        // The quota is for an agent that was taken over.
        self.wait(10);
        self.updates.offer(self.now, note, reply)?;
        let mut steps = Vec::new();
        loop {
            steps.extend(self.tick());
            match answer.try_recv() {
                Ok(Response::Done) => return Ok(steps),
                Ok(other) => panic!("{other:?}"),
                Err(oneshot::error::TryRecvError::Empty) => std::thread::yield_now(),
                Err(oneshot::error::TryRecvError::Closed) => panic!("no answer"),
            }
        }
    }

    fn state(&mut self) -> (UpdateState, Option<String>) {
        self.tick();
        (self.updates.status().state, self.updates.status().why.clone())
    }

    fn serial(&self) -> Option<u64> {
        self.updates.index.serial()
    }

    /// The same box after its guard was started anew.
    fn restart(&mut self, state: &LedgerState) {
        self.updates = Updates::new(&self.config, self.dir.path(), self.now);
        self.found = self.updates.restore(state, &self.clock, self.now);
    }

    /// Ticks until there is a start, and hands it over; the fact.
    fn start(&mut self) -> Fact {
        for _ in 0..5 {
            for step in self.tick() {
                if let Step::RecordStart(fact) = step {
                    self.updates.hand_over(&fact);
                    return fact;
                }
            }
        }
        panic!("no start: {:?}", self.updates.status());
    }
}

fn attempt_of(fact: &Fact) -> String {
    match serde_json::to_value(fact).unwrap()["attempt"].as_str() {
        Some(attempt) => attempt.to_owned(),
        None => panic!("{fact:?}"),
    }
}

fn outcome(attempt: &str, error: Option<&str>, again: bool) -> UpdateOutcome {
    let (attempt, version) = (attempt.to_owned(), "0.2.0-1".to_owned());
    UpdateOutcome { attempt, version, error: error.map(str::to_owned), again }
}

#[test]
fn a_box_without_a_release_key_or_a_package_takes_no_updates_and_says_so() {
    let mut bench = Bench::new("");
    bench.config.trust.keys.clear();
    bench.restart(&LedgerState::default());
    assert!(bench.offer(&signed(&release(1), &[1, 2])).is_err());
    let (state, why) = bench.state();
    assert!(state == UpdateState::Off && why.unwrap().contains("[[trust]]"));
    let mut bench = Bench::new("");
    std::fs::remove_file(bench.dir.path().join("var/lib/dpkg/status")).unwrap();
    let (state, why) = bench.state();
    assert!(state == UpdateState::Off && why.unwrap().contains("as a package"));
}

/// Regression: an attempt began without its package after the box was unbound, and counted as one of five.
#[test]
fn a_package_that_the_box_has_deleted_is_downloaded_again_before_anything_starts() {
    let mut bench = Bench::new("notice = \"0s\"\n");
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    bench.updates.on_fetched(7, None);
    assert_eq!(bench.state().0, UpdateState::Ready);
    bench.updates.forget_package();
    for _ in 0..5 {
        assert_eq!(bench.tick(), []);
    }
    assert_eq!(bench.state().0, UpdateState::Downloading);
    bench.updates.on_fetched(7, None);
    bench.start();
}

/// Regression: the updater took up a newer release than the one whose update the ledger said had started.
#[test]
fn a_release_that_comes_during_an_update_waits_for_its_end() {
    let mut bench = Bench::new("notice = \"0s\"\n");
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    bench.updates.on_fetched(7, None);
    bench.start();
    let attempt = bench.updates.record.as_ref().unwrap().attempt.clone();
    let newer = signed(&Release { version: "0.3.0-1".parse().unwrap(), ..release(8) }, &[1, 2]);
    bench.wait(10);
    for (note, is_known) in [(&newer, false), (&signed(&release(7), &[1, 2]), true)] {
        let (reply, mut answer) = oneshot::channel();
        bench.updates.offer(bench.now, note, reply).unwrap();
        bench.tick();
        let answer = answer.try_recv().unwrap();
        assert_eq!((matches!(answer, Response::Unavailable(_)), answer == Response::Done), (!is_known, is_known));
    }
    assert_eq!(bench.updates.index.serial(), Some(7));
    bench.updates.on_ended(outcome(&attempt, Some("no room"), true)).unwrap();
    bench.offer(&newer).unwrap();
    assert_eq!(bench.updates.index.serial(), Some(8));
}

/// Regression: a start that a failing disk took later stood in the ledger without an end.
#[test]
fn a_start_that_is_not_on_disk_ends_and_another_one_follows() {
    let mut bench = Bench::new("notice = \"0s\"\n");
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    bench.updates.on_fetched(7, None);
    for attempt in 1..=MAX_INTERRUPTED {
        let steps = bench.tick();
        let Some(Step::RecordStart(fact)) = steps.last() else { panic!("{attempt}: {steps:?}") };
        let end = bench.updates.call_off(fact).unwrap();
        assert_eq!(attempt_of(&end), attempt_of(fact));
        assert!(matches!(end, Fact::UpdateFailed { again: true, .. }));
        assert!(!bench.dir.path().join("data").join(update_files::REQUEST).exists());
    }
    assert_eq!(bench.state().0, UpdateState::Failed);
}

#[test]
fn an_update_is_downloaded_announced_and_started_once_its_notice_is_over() {
    let mut bench = Bench::new("notice = \"1m\"\n");
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    assert_eq!(bench.state().0, UpdateState::Downloading);
    bench.updates.on_fetched(7, Some("the disk is full".to_owned()));
    assert_eq!(bench.state(), (UpdateState::Downloading, Some("the disk is full".to_owned())));
    // What the agent says of another release counts for nothing.
    bench.updates.on_fetched(6, None);
    assert_eq!(bench.state().0, UpdateState::Downloading);
    bench.updates.on_fetched(7, None);
    let steps = bench.tick();
    assert!(matches!(&steps[..], [Step::Record(Fact::UpdateAnnounced { .. })]), "{steps:?}");
    assert!(bench.updates.status().until.is_some());
    bench.wait(50);
    assert_eq!(bench.tick(), [], "the notice runs");
    bench.wait(10);
    let started = bench.start();
    assert!(
        matches!(&started, Fact::UpdateStarted { version, former, .. } if version == "0.2.0-1" && former == "0.1.0-1")
    );
    assert_eq!(bench.state().0, UpdateState::Installing);
    assert_eq!(bench.tick(), [], "it is started once");
    let attempt = attempt_of(&started);
    assert!(bench.updates.on_ended(outcome(&attempt, None, false)).is_some());
    assert_eq!(bench.updates.on_ended(outcome(&attempt, None, false)), None, "and it ends once");
}

#[test]
fn a_session_holds_everything_and_five_minutes_after_it_only_the_download_goes_on() {
    let mut bench = Bench::new("notice = \"0\"\n");
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    bench.updates.on_fetched(7, None);
    bench.is_busy = true;
    assert_eq!(bench.state().0, UpdateState::Waiting);
    bench.wait(3600);
    assert_eq!(bench.state().0, UpdateState::Waiting);
    bench.is_busy = false;
    assert_eq!(bench.state().0, UpdateState::Ready);
    bench.wait(290);
    assert!(!bench.tick().iter().any(|step| matches!(step, Step::RecordStart(_))));
    bench.wait(10);
    bench.start();
}

/// The guard that comes up knows of the session before: in this boot, in one that is over, and one that was cut off.
#[test]
fn sessions_before_a_restart_count() {
    let ended = |boot: &str, ms| Some(crate::ledger::BootTime { boot: boot.to_owned(), monotonic_ms: ms });
    for (session_ended, open_session, free_after) in [
        (None, None, 0),
        (ended("b", 3_500_000), None, 300 - 100),
        (ended("b", 3_000_000), None, 0),
        (ended("another", 9_000_000), None, 0),
        (ended("b", 1), Some(3), 300),
    ] {
        let mut bench = Bench::new("notice = \"0\"\n");
        bench.offer(&signed(&release(7), &[1, 2])).unwrap();
        bench.clock.monotonic_ms = 3_600_000;
        bench.restart(&LedgerState { open_session, session_ended, ..LedgerState::default() });
        bench.updates.on_fetched(7, None);
        let started = (0..400).position(|_| bench.tick().iter().any(|step| matches!(step, Step::RecordStart(_))));
        let started = u64::try_from(started.unwrap()).unwrap();
        assert!((free_after..=free_after + 2).contains(&(started + 1).max(free_after)), "{started} for {free_after}");
    }
}

#[test]
fn a_version_that_failed_is_left_alone_until_somebody_asks_and_one_that_was_cut_is_tried_again() {
    let mut bench = Bench::new("notice = \"0\"\n");
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    for _ in 0..MAX_INTERRUPTED {
        bench.updates.on_fetched(7, None);
        let attempt = attempt_of(&bench.start());
        let fact = bench.updates.on_ended(outcome(&attempt, Some("the power failed during the upgrade"), true));
        assert!(matches!(fact, Some(Fact::UpdateFailed { again: true, .. })));
    }
    assert_eq!(bench.state().0, UpdateState::Failed, "not for ever");
    let moment = Moment { now: bench.now, clock: &bench.clock, id: Some("shop-0042"), is_busy: false };
    assert!(bench.updates.ask("0.3.0-1", &moment).unwrap_err().contains("0.2.0-1"), "not the one that is offered");
    bench.updates.ask("0.2.0-1", &moment).unwrap();
    bench.updates.on_fetched(7, None);
    let attempt = attempt_of(&bench.start());
    bench.updates.on_ended(outcome(&attempt, Some("not well within 60 s: guard"), false));
    assert_eq!(bench.state().0, UpdateState::Failed);
    // Another version is another matter.
    let next = Release { version: "0.2.1-1".parse().unwrap(), ..release(8) };
    bench.offer(&signed(&next, &[1, 2])).unwrap();
    assert_eq!(bench.state().0, UpdateState::Downloading);
}

#[test]
fn a_paused_or_aborted_index_holds_the_box_and_postponing_lasts() {
    let mut bench = Bench::new("notice = \"0\"\n");
    let with = |serial, state| {
        let mut release = release(serial);
        release.wave.state = state;
        release
    };
    bench.offer(&signed(&with(7, WaveState::Paused), &[1, 2])).unwrap();
    assert_eq!(bench.state().0, UpdateState::Offered);
    bench.offer(&signed(&with(8, WaveState::Running), &[1, 2])).unwrap();
    bench.updates.on_fetched(8, None);
    assert_eq!(bench.updates.postpone(2, bench.clock.utc).map(|_| ()), Ok(()));
    assert!(bench.updates.postpone(169, bench.clock.utc).is_err());
    assert_eq!(bench.state().0, UpdateState::Ready);
    let until: Timestamp = bench.updates.postponed.unwrap();
    bench.restart(&LedgerState { update_postponed: Some(until), ..LedgerState::default() });
    bench.updates.on_fetched(8, None);
    bench.wait(7000);
    assert!(bench.state().1.unwrap().contains("put off"));
    bench.offer(&signed(&with(9, WaveState::Aborted), &[1, 2])).unwrap();
    bench.wait(3600);
    assert!(bench.state().1.unwrap().contains("stopped"));
    let moment = Moment { now: bench.now, clock: &bench.clock, id: Some("shop-0042"), is_busy: false };
    assert!(bench.updates.ask("0.2.0-1", &moment).is_err());
}

#[test]
fn a_clock_that_may_be_wrong_starts_nothing_and_expires_nothing() {
    let mut bench = Bench::new("notice = \"0\"\n");
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    bench.updates.on_fetched(7, None);
    let right = bench.clock.utc;
    for (utc, synchronised) in [("2030-01-01T00:00:00Z", false), ("1970-01-01T00:10:00Z", true)] {
        (bench.clock.utc, bench.clock.synchronised) = (utc.parse().unwrap(), synchronised);
        assert_eq!(bench.state().0, UpdateState::Waiting, "{utc}");
    }
    (bench.clock.utc, bench.clock.synchronised) = ("2030-01-01T00:00:00Z".parse().unwrap(), true);
    assert!(bench.state().1.unwrap().contains("expired"));
    bench.clock.utc = right;
    bench.start();
}

/// The power fails between the entry and the file that asks the updater: the file is there after the next start.
#[test]
fn an_attempt_that_was_not_handed_over_is_handed_over_at_the_next_start() {
    let mut bench = Bench::new("notice = \"0\"\n");
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    let record = UpdateRecord {
        digest: release(7).digest().to_string(),
        version: "0.2.0-1".to_owned(),
        attempt: "0123456789abcdef".to_owned(),
        open: true,
        ..UpdateRecord::default()
    };
    bench.restart(&LedgerState { update: Some(record), ..LedgerState::default() });
    let request = bench.dir.path().join("data").join(update_files::REQUEST);
    while !request.exists() {
        assert_eq!(bench.state().0, UpdateState::Installing);
    }
    let text = std::fs::read_to_string(request).unwrap();
    assert_eq!(update_files::attempt_of(&text), Some("0123456789abcdef"));
}
