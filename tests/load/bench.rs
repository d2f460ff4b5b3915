//! A box whose roles are started one by one, with real servers around it, and what is measured of it.

use std::cell::RefCell;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::broker::Broker;
use crate::disks::{KernelDisk, hanging_syncs};
use crate::figures::{self, Figures, Peak};
use crate::finger::{Finger, Watched, capture, now};
use crate::ingest::Nginx;
use crate::limits::{Cgroup, resident_kib};
use crate::loads::{self, Load};
use crate::odd_broker::OddBroker;
use crate::outbox::Outbox;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, TALLYBOX, wait_until};

/// A touch ends capture within this time.
pub(crate) const PROMPT: Duration = Duration::from_millis(500);
/// The same where the kernel itself stalls.
pub(crate) const STALLED: Duration = Duration::from_secs(2);
/// How much more resident memory a role may have at its peak under load than before it, in KiB. Whatever comes without
/// end and is kept passes this within seconds.
const MOST_GROWTH_KIB: u64 = 16 * 1024;

/// Loads take turns: one would be the other's.
static ALONE: Mutex<()> = Mutex::new(());

/// Whether this is the long form.
pub(crate) fn is_long() -> bool {
    std::env::var_os("TALLYBOX_LONG").is_some()
}

/// What is special about a box.
#[derive(Default)]
pub(crate) struct Setup {
    /// Its broker, instead of mosquitto.
    pub(crate) odd: Option<Arc<OddBroker>>,
    /// Bounds the memory of guard and agent.
    pub(crate) groups: Option<[Cgroup; 2]>,
    /// Syncs of guard and agent hang while the file `hangs` is in the box's folder.
    pub(crate) with_hanging_syncs: bool,
    /// `data-dir` is a file system of its own.
    pub(crate) with_kernel_disk: bool,
}

/// How long there is load, and how often.
pub(crate) struct Plan {
    pub(crate) row: String,
    pub(crate) limit: Duration,
    pub(crate) rounds: u32,
    /// Of each round, before and after the touch.
    pub(crate) before: Duration,
    pub(crate) after: Duration,
}

impl Plan {
    /// One round in the short form; three of half a minute in the long one.
    pub(crate) fn new(row: impl Into<String>) -> Self {
        let (rounds, seconds) = if is_long() { (3, 15) } else { (1, 0) };
        let part = Duration::from_secs(seconds);
        Self { row: row.into(), limit: PROMPT, rounds, before: part, after: part }
    }
}

/// Fields are dropped in this order: programs before what they use.
pub(crate) struct Bench {
    pub(crate) guard: Program,
    pub(crate) agent: Program,
    sockets: [Program; 2],
    pub(crate) outbox: Outbox,
    pub(crate) port: u16,
    broker: Option<Broker>,
    nginx: Nginx,
    groups: Option<[Cgroup; 2]>,
    pub(crate) disk: Option<Rc<RefCell<KernelDisk>>>,
    pub(crate) shop: TestBox,
    presses: usize,
    _alone: MutexGuard<'static, ()>,
}

/// systemd's part: listens on a socket, and starts `arguments` for each connection.
fn activated(shop: &TestBox, socket: &str, arguments: &[&str]) -> Program {
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--accept", "--inetd", "-E", "TALLYBOX_LOG=warn", "-l"]).arg(shop.path(socket)).arg(TALLYBOX);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let program = Program::start(command.process_group(0));
    wait_until("the socket is there", || shop.path(socket).exists());
    program
}

impl Bench {
    pub(crate) fn new(setup: Setup) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let nginx = Nginx::new();
        let broker = setup.odd.is_none().then(|| Broker::new(""));
        let port = setup.odd.as_ref().map(|odd| odd.port).or(broker.as_ref().map(|broker| broker.port)).unwrap();
        let mqtt = format!("url = \"mqtt://127.0.0.1:{port}\"");
        let shop = TestBox::new(&BoxConfig { ingest: nginx.url(), mqtt, ..BoxConfig::default() });
        let disk = setup.with_kernel_disk.then(|| {
            let disk = KernelDisk::new(&shop.path("disk.img"), &shop.path("data"));
            Rc::new(RefCell::new(disk.expect("a disk can be mounted")))
        });
        let outbox = match setup.odd.clone() {
            Some(odd) => Outbox::Odd(odd),
            None => Outbox::subscribe(&shop, port),
        };
        let config = shop.config.to_str().unwrap();
        let sockets = [
            activated(&shop, "capture.sock", &["capture", "--config", config]),
            activated(&shop, "sealing.sock", &["privacy", "seal-key"]),
        ];
        let of = |socket: &str| format!("--{}-socket={}", socket, shop.path(&format!("{socket}.sock")).display());
        let guard = role(&shop, &setup, 0, &["guard", &of("capture"), &of("sealing")]);
        wait_until("the guard answers", || shop.status().is_some());
        let agent = role(&shop, &setup, 1, &["agent"]);
        let groups = setup.groups;
        let this =
            Self { guard, agent, sockets, outbox, port, broker, nginx, groups, disk, shop, presses: 0, _alone: alone };
        wait_until("the platform hears the box", || !this.outbox.events().is_empty());
        this
    }

    /// Presses, and waits until the box is on air; its capture.
    #[track_caller]
    pub(crate) fn go_live(&mut self) -> Watched {
        self.shop.press();
        self.presses += 1;
        self.shop.wait_for_phase("live");
        Watched::new(capture(&self.shop))
    }

    /// Without load: on air, a touch, dark.
    fn touch(&mut self) -> Duration {
        let capture = self.go_live();
        let took = Finger::new(&self.shop).touch(&capture);
        self.shop.wait_for_phase("idle");
        took
    }

    fn roles(&self) -> [i32; 2] {
        [self.guard.pid(), self.agent.pid()]
    }

    /// Measures a row. `begin` starts the load, and returns once it is there.
    pub(crate) fn judge(mut self, plan: &Plan, begin: impl Fn(&mut Self) -> Load) {
        let mut figures = Figures { row: plan.row.clone(), limit: plan.limit, ..Figures::default() };
        if is_long() {
            // The short form has the touches after the load to compare with.
            figures.idle = self.touch();
        }
        for _ in 0..plan.rounds {
            let mut took = self.round(plan, &begin, &mut figures);
            // Other work on the machine only adds to the time: one of three that is quick enough shows the box.
            for _ in 0..2 {
                if took > plan.limit {
                    figures.late.push(took);
                    took = self.round(plan, &begin, &mut figures);
                }
            }
            figures.loaded = figures.loaded.max(took);
        }
        figures::add(figures.clone());
        self.check_end(&figures);
    }

    fn round(&mut self, plan: &Plan, begin: &impl Fn(&mut Self) -> Load, figures: &mut Figures) -> Duration {
        let capture = self.go_live();
        let mut finger = Finger::new(&self.shop);
        let before = self.roles().map(|pid| resident_kib(pid, true));
        let load = begin(self);
        loads::last(plan.before);
        let took = finger.touch(&capture);
        loads::last(plan.after);
        figures.amount = load.amount();
        let most = self.roles().map(|pid| resident_kib(pid, false));
        for (peak, (before, most)) in
            [&mut figures.guard_kib, &mut figures.agent_kib].into_iter().zip(before.into_iter().zip(most))
        {
            *peak = Peak { before: peak.before.max(before), most: peak.most.max(most) };
        }
        drop(load);
        let ended = now();
        self.recover(ended, figures);
        took
    }

    /// By itself: nobody does more than press.
    fn recover(&mut self, ended: Instant, figures: &mut Figures) {
        self.shop.wait_for_phase("idle");
        assert_eq!(self.shop.lamp(), "dark");
        let capture = self.go_live();
        figures.recovered = figures.recovered.max(now() - ended);
        figures.idle = figures.idle.max(Finger::new(&self.shop).touch(&capture));
        self.shop.wait_for_phase("idle");
    }

    #[track_caller]
    fn check_end(mut self, figures: &Figures) {
        let log = self.shop.log();
        assert!(self.guard.is_running() && self.agent.is_running(), "{log}");
        assert!(!log.contains("panicked"), "{log}");
        let ledger = self.ledger();
        self.outbox.check(&self.shop, &ledger);
        let count = |kind: &str| ledger.iter().filter(|entry| entry["fact"]["kind"] == kind).count();
        assert_eq!((count("session-started"), count("session-stopped")), (self.presses, self.presses), "{ledger:#?}");
        self.shop.verify();
        if let Some(groups) = &self.groups {
            assert_eq!(groups.each_ref().map(Cgroup::kills), [0, 0], "the kernel ended a role for its memory");
        }
        for (role, peak) in [("guard", figures.guard_kib), ("agent", figures.agent_kib)] {
            assert!(peak.growth() <= MOST_GROWTH_KIB, "{role}: {peak} MiB");
        }
        let allowed = figures.limit;
        assert!(figures.loaded <= allowed, "a touch took {:?}, without load {:?}", figures.loaded, figures.idle);
    }

    /// All entries, as they are exported.
    fn ledger(&self) -> Vec<Value> {
        let output = self.shop.call(&["ledger", "export"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Starts guard (0) or agent (1).
fn role(shop: &TestBox, setup: &Setup, number: usize, arguments: &[&str]) -> Program {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
    let mut command = shop.command(arguments);
    if let Some(groups) = &setup.groups {
        command = groups[number].with(&command);
    }
    if setup.with_hanging_syncs {
        hanging_syncs(shop, &mut command);
    }
    Program::start(command.env("TALLYBOX_LOG", "info").stdin(Stdio::null()).stderr(log))
}
