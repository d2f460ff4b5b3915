//! 400 days of a box in a bad place, by the ledger's own code and a simulated clock: what has to be kept is there at
//! each moment, what has to go goes, and the file stays within its budget.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use monotonic::Monotonic;

use crate::clock::ClockReading;
use crate::ipc::{Actor, Fact, Purpose};
use crate::ledger::broker_log::BrokerLog;
use crate::ledger::link_log::LinkLog;
use crate::ledger::quotas::{FactQuotas, SIZE_BUDGET};
use crate::ledger::store::Ledger;

const DAYS: u64 = 400;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const RETENTION: u64 = 184 * DAY;
/// 2026-07-01T00:00:00Z in seconds.
const BEGIN: i64 = 1_782_864_000;

/// What a box's surroundings are like.
#[derive(Clone, Copy, Debug)]
struct Place {
    name: &'static str,
    /// Seconds between two looks at the world.
    step: u64,
    /// Of 100 boots, how many have the wall clock years off until it is synchronised.
    wrong_clock: u64,
    /// Of 1000 boots, how many meet a time server that is years off. Each can add three days that did not pass.
    lying_time: u64,
    /// Whether the clock is ever synchronised.
    has_time: bool,
    /// Whether server, broker and platform never hold still.
    is_storm: bool,
}

/// A box, the world around it, and what is really so.
struct World {
    place: Place,
    rng: fastrand::Rng,
    path: PathBuf,
    ledger: Ledger,
    quotas: FactQuotas,
    link: LinkLog,
    broker: BrokerLog,
    /// Seconds since the simulation began.
    now: u64,
    boot: u64,
    booted_at: u64,
    /// What this boot's wall clock is off by, in seconds.
    offset: i64,
    /// What this boot's time server is off by, in seconds.
    lie: i64,
    lies: u64,
    synchronised_from: u64,
    is_full: bool,
    session: u64,
    waiting: Vec<(ClockReading, Fact)>,
    /// When each entry that may still be there was really written, oldest first, and its number.
    written: VecDeque<(u64, u64)>,
    entries: u64,
    longest_kept: u64,
    largest: u64,
}

impl World {
    fn new(dir: &Path, place: Place) -> Self {
        let path = dir.join("ledger.db");
        let start = Monotonic::default();
        let mut world = Self {
            place,
            rng: fastrand::Rng::with_seed(7),
            ledger: Ledger::open(&path).unwrap(),
            path,
            quotas: FactQuotas::new(start),
            link: LinkLog::new(start),
            broker: BrokerLog::new(start),
            now: 0,
            boot: 0,
            booted_at: 0,
            offset: 0,
            lie: 0,
            lies: 0,
            synchronised_from: 0,
            is_full: false,
            session: 0,
            waiting: Vec::new(),
            written: VecDeque::new(),
            entries: 0,
            longest_kept: 0,
            largest: 0,
        };
        world.start();
        world
    }

    fn chance(&mut self, of_1000: u64) -> bool {
        self.rng.u64(0..1000) < of_1000
    }

    /// Time since the boot, as the guard's quotas see it.
    fn monotonic(&self) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(self.now - self.booted_at))
    }

    fn reading(&self) -> ClockReading {
        let uptime = self.now - self.booted_at;
        let synchronised = self.place.has_time && uptime >= self.synchronised_from;
        // Before that the clock is what a box without a battery has: the time of the last shutdown, or 1970.
        let truth = BEGIN + i64::try_from(self.now).unwrap();
        let utc = if synchronised {
            truth + self.lie
        } else if !self.boot.is_multiple_of(3) {
            truth + self.offset
        } else {
            i64::try_from(uptime).unwrap()
        };
        ClockReading {
            utc: Timestamp::from_second(utc).unwrap(),
            synchronised,
            boot: format!("boot-{}", self.boot).into(),
            monotonic_ms: uptime * 1000,
        }
    }

    /// The guard starts: after a power cut, with nothing of what was only in memory.
    fn start(&mut self) {
        (self.boot, self.booted_at) = (self.boot + 1, self.now);
        self.synchronised_from = self.rng.u64(10..2 * HOUR);
        let years = |rng: &mut fastrand::Rng| rng.i64(-400..4000) * i64::try_from(DAY).unwrap();
        self.offset = if self.chance(10 * self.place.wrong_clock) { years(&mut self.rng) } else { 0 };
        let lies = self.chance(self.place.lying_time);
        self.lie = if lies { years(&mut self.rng) } else { 0 };
        self.lies += u64::from(lies);
        let now = self.monotonic();
        (self.quotas, self.link, self.broker) = (FactQuotas::new(now), LinkLog::new(now), BrokerLog::new(now));
        self.ledger = Ledger::open(&self.path).unwrap();
        self.append(Fact::GuardStarted {
            software: "tallybox 1.0.0".to_owned(),
            policy_version: "2026-07-01".to_owned(),
        });
    }

    fn append(&mut self, fact: Fact) {
        if self.quotas.admits(self.monotonic(), &fact) {
            let reading = self.reading();
            self.waiting.push((reading, fact));
        }
    }

    fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.ledger.append(&self.waiting).unwrap();
        let count = self.waiting.len() as u64;
        self.waiting.clear();
        let last = self.ledger.last();
        self.entries += count;
        self.written.extend((last + 1 - count..=last).map(|seq| (self.now, seq)));
    }

    fn step(&mut self) {
        let storm = self.place.is_storm;
        if self.chance(if storm { 20 } else { 2 }) {
            // Power fails, for up to two days, in the middle of whatever goes on.
            self.waiting.clear();
            self.now += self.rng.u64(1..2 * DAY);
            self.start();
        }
        if self.chance(2) {
            self.is_full = !self.is_full;
        }
        let now = self.monotonic();
        if !self.is_full && self.chance(if storm { 300 } else { 60 }) {
            self.session += 1;
            let (session, policy_version) = (self.session, "2026-07-01".to_owned());
            self.append(Fact::SessionStarted { session, sound: true, guardian: false, policy_version });
            for _ in 0..if storm { 20 } else { 3 } {
                if let Some(fact) = self.link.on_air(session) {
                    self.append(fact);
                }
                self.link.off_air(session, "push.example.cn:1935: the server closed the connection".to_owned());
                self.link.due(now).into_iter().for_each(|fact| self.append(fact));
            }
            self.link.finish().into_iter().for_each(|fact| self.append(fact));
            self.append(Fact::Muted { session, muted: true, by: Actor::Remote });
            self.append(Fact::SessionStopped { session, reason: "reconnect-window".to_owned(), message: None });
        }
        for _ in 0..if storm { 30 } else { 1 } {
            let reason = "there is no way to its address: see the network".to_owned();
            self.broker.report(if self.rng.bool() { Fact::BrokerConnected {} } else { Fact::BrokerLost { reason } });
            if let Some(fact) = self.broker.due(now) {
                self.append(fact);
            }
            self.append(Fact::Requested { purpose: Purpose::OnAir });
            self.append(Fact::RequestEnded { reason: "request-timeout".to_owned() });
            if self.quotas.admits_refusal(now) {
                let why = "no trusted key signed it, or a signature is wrong".to_owned();
                self.append(Fact::CommandRefused { verb: "request-start".to_owned(), why });
            }
        }
        self.quotas.counts(now).into_iter().for_each(|fact| self.append(fact));
        if self.chance(3) {
            let policy_version = format!("2026-07-{:02}", self.rng.u8(1..28));
            self.append(Fact::PolicyUpdated {
                policy_version: policy_version.clone(),
                material: true,
                waits_for_staff: true,
                reasons: Vec::new(),
                keys: Vec::new(),
            });
            self.append(Fact::PolicyAcknowledged { policy_version });
        }
        self.write();
    }

    /// Prunes as the guard does, and holds what is left against what is really so.
    fn prune(&mut self) {
        let before = self.ledger.last();
        self.ledger.prune(Duration::from_secs(RETENTION), &self.reading()).unwrap();
        let last = self.ledger.last();
        self.written.extend((before + 1..=last).map(|seq| (self.now, seq)));
        let oldest = self.ledger.entries_after(0, 1).unwrap()[0].seq;
        while self.written.front().is_some_and(|(_, seq)| *seq < oldest) {
            let (at, seq) = self.written.pop_front().unwrap();
            assert!(
                self.now - at + self.lies * 3 * DAY >= RETENTION,
                "{}: entry {seq} is gone after {} s",
                self.place.name,
                self.now - at
            );
        }
        let (at, seq) = *self.written.front().unwrap();
        assert_eq!(seq, oldest, "{}: an entry that has to be there is missing", self.place.name);
        self.longest_kept = self.longest_kept.max(self.now - at);
    }

    fn run(mut self) -> Self {
        let mut pruned_at = 0;
        while self.now < DAYS * DAY {
            self.now += self.place.step;
            self.step();
            if self.now - pruned_at >= DAY {
                pruned_at = self.now;
                self.prune();
                self.largest = self.largest.max(std::fs::metadata(&self.path).unwrap().len());
            }
        }
        self
    }
}

/// A folder in memory: power cuts are not what is tested here.
fn memory() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn table(places: &[Place]) -> String {
    let mut rows =
        "| place | entries | boots | longest kept, days | largest file, MiB |\n|---|---|---|---|---|\n".to_owned();
    for place in places {
        let dir = memory();
        let world = World::new(dir.path(), *place).run();
        world.ledger.verify().unwrap();
        assert!(world.largest <= SIZE_BUDGET, "{}: {} bytes", place.name, world.largest);
        let days = world.longest_kept / DAY;
        // Where the clock is kept, time that passed while the box was off counts; without, only its own uptime does.
        if place.has_time && place.lying_time == 0 {
            assert!(days <= 184 + 10, "{}: kept for {days} days", place.name);
        }
        let World { entries, boot, largest, .. } = world;
        writeln!(rows, "| {} | {entries} | {boot} | {days} | {} |", place.name, largest.div_ceil(1 << 20)).unwrap();
    }
    rows
}

fn place(name: &'static str, step: u64) -> Place {
    Place { name, step, wrong_clock: 0, lying_time: 0, has_time: true, is_storm: false }
}

#[test]
fn four_hundred_days_keep_what_they_must_and_no_more() {
    let places = [
        place("a shop", 2 * HOUR),
        Place { wrong_clock: 20, ..place("clocks years off until they are set", 2 * HOUR) },
        Place { lying_time: 300, ..place("a time server that lies", 2 * HOUR) },
        Place { has_time: false, ..place("no clock", 2 * HOUR) },
        Place { is_storm: true, ..place("bad network and power", 2 * HOUR) },
    ];
    println!("{}", table(&places));
}

/// The same with everything at its limit, minute by minute.
#[test]
fn four_hundred_days_at_the_limits() {
    if std::env::var_os("TALLYBOX_LONG").is_none() {
        return;
    }
    let storm = |name, step| Place { is_storm: true, ..place(name, step) };
    let places = [
        place("a shop, each half hour", HOUR / 2),
        storm("bad network and power, each half hour", HOUR / 2),
        Place { wrong_clock: 50, ..storm("the same, and clocks years off", HOUR / 2) },
        Place { has_time: false, ..storm("the same, and no clock", HOUR / 2) },
    ];
    println!("{}", table(&places));
}
