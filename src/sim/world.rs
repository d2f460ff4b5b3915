//! One box, from the first switching on to the end of its schedule.

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep};

use super::board::{self, Wires};
use super::checks::{self, DEBOUNCE, SLACK};
use super::schedule::{Action, Asker, Schedule, Wish};
use super::truth::{Press, Shared, Truth, guard_waited};
use super::{capture, peers};
use crate::atomic_file::sync_parent;
use crate::clock::simulated::{self as clock, SimulatedClock};
use crate::config::Config;
use crate::disk::simulated::{Installed, Loss, SimulatedDisk};
use crate::disk::{create_dir, is_dir};
use crate::exit::Exit;
use crate::guard::{self, GuardOptions, LaunchMode};
use crate::ipc::LampPattern;
use crate::panel::Button;
use crate::sync::LockExt;
use crate::{random, worker};

/// What the wall clock shows first: 2026-07-01T00:00:00Z, in seconds.
const FIRST_SECOND: i64 = 1_782_864_000;
/// From the end of a guard to the next one's start.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How long the stop hook waits for a capture before it kills it.
const HOOK_GRACE: Duration = Duration::from_millis(300);
/// What the end of a schedule waits for what is still under way.
const AFTERMATH: Duration = Duration::from_secs(8);
/// One bounce of a contact.
const BOUNCE: Duration = Duration::from_millis(3);
/// Bytes of the disk: enough for what is set aside on it.
const CAPACITY: u64 = 64 * 1024 * 1024;
/// `data-dir` and `runtime-dir`, on the simulated disk.
const DATA: &str = "/data";
const RUN: &str = "/run";
/// Connections that wait for the guard.
const BACKLOG: usize = 64;

/// How a schedule went.
#[derive(Debug)]
pub struct Outcome {
    /// The first thing that was not as it has to be.
    pub violation: Option<String>,
    /// Tells traces apart: the same schedule always has the same.
    pub digest: u64,
    /// What happened, a line each, if that was asked for.
    pub trace: Vec<String>,
    /// How much time passed for the box.
    pub simulated: Duration,
}

/// Carries out a schedule.
///
/// # Errors
/// Where this machine gives no memory for a runtime.
pub fn run(schedule: &Schedule, keep_trace: bool) -> std::io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(LocalSet::new().block_on(&runtime, live(schedule, keep_trace)))
}

/// A guard that runs.
struct Running {
    task: JoinHandle<Result<(), Exit>>,
    door: peers::Door,
    shutdown: mpsc::Sender<()>,
}

thread_local! {
    /// The two configurations, as they were read once.
    static CONFIGS: RefCell<[Option<Arc<Config>>; 2]> = const { RefCell::new([None, None]) };
}

/// The configuration with this policy.
fn config(policy: u8) -> Option<Arc<Config>> {
    CONFIGS.with_borrow_mut(|known| {
        let config = known.get_mut(usize::from(policy))?;
        if config.is_none() {
            let dir = tempfile::tempdir().ok()?;
            let file = dir.path().join("tallybox.toml");
            let text = format!(
                "[ingest]\nurl = \"rtmps://a.cn/live/k\"\nreconnect-window = \"5s\"\n\
                 [device]\nid = \"box\"\ndata-dir = \"{DATA}\"\nruntime-dir = \"{RUN}\"\n\
                 [consent]\npolicy-version = \"2026-01-{:02}\"\nmax-session = \"20s\"\nrequest-timeout = \"10s\"\n",
                policy + 1
            );
            std::fs::write(&file, text).ok()?;
            *config = Config::load(&file).ok().map(Arc::new);
        }
        config.clone()
    })
}

struct World {
    seed: u64,
    disk: SimulatedDisk,
    /// Whose disk this thread has.
    installed: Option<Installed>,
    truth: Shared,
    wires: Wires,
    guard: Option<Running>,
    ledger: checks::ledger::Seen,
    boots: u64,
    /// The touch that is on.
    touch: Option<JoinHandle<()>>,
}

async fn live(schedule: &Schedule, keep_trace: bool) -> Outcome {
    let _random = random::simulated::install(schedule.seed);
    let _threads = worker::simulated::install();
    let wall = Timestamp::from_second(FIRST_SECOND).unwrap_or_default();
    let _clock = clock::install(SimulatedClock::boot(1, wall));
    let truth = Arc::new(Mutex::new(Truth::new(keep_trace)));
    let wires = Wires::default();
    let _panel = board::install(&truth, &wires);
    let ledger = checks::ledger::Seen::default();
    let disk = SimulatedDisk::new(CAPACITY);
    let installed = Some(disk.install());
    let seed = schedule.seed;
    let mut world = World { seed, disk, installed, truth, wires, guard: None, ledger, boots: 1, touch: None };
    world.start();
    sleep(Duration::from_millis(100)).await;
    for action in &schedule.actions {
        world.truth.lock_unpoisoned().note(format_args!("{action:?}"));
        world.act(action).await;
        world.look().await;
        if world.truth.lock_unpoisoned().violation.is_some() {
            break;
        }
    }
    world.end().await
}

impl World {
    /// Starts a guard.
    #[allow(clippy::disallowed_methods)] // a process of its own, which is killed or ends
    fn start(&mut self) {
        let policy = self.truth.lock_unpoisoned().policy;
        let folders = [DATA, RUN].map(Path::new);
        let made = folders.into_iter().filter(|dir| !is_dir(dir)).try_for_each(|dir| {
            // The package makes them long before.
            create_dir(dir, 0o700)?;
            sync_parent(dir)
        });
        let Some(config) = config(policy).filter(|_| made.is_ok()) else {
            return self.truth.lock_unpoisoned().violated(format_args!("the simulated configuration is not valid"));
        };
        let (door, listener) = mpsc::channel(BACKLOG);
        let (shutdown, requests) = mpsc::channel(1);
        let options = GuardOptions {
            launch_mode: LaunchMode::Simulated(capture::launcher(&self.truth)),
            uids: vec![peers::AGENT],
            credentials_helper: false,
            sealing_socket: None,
            root: "/nowhere".into(),
        };
        {
            let mut truth = self.truth.lock_unpoisoned();
            truth.guard_since = Some(truth.now());
            truth.note(format_args!("a guard starts"));
        }
        let task = tokio::task::spawn_local(guard::simulate(config, options, listener, requests));
        tokio::task::spawn_local(peers::observe(self.truth.clone(), door.clone()));
        self.guard = Some(Running { task, door, shutdown });
    }

    /// The guard's process is gone: its stop hook ends what captures, and then darkens the lamp.
    async fn buried(&mut self) {
        self.guard = None;
        self.wires.borrow_mut().take();
        worker::simulated::kill_all();
        {
            let mut truth = self.truth.lock_unpoisoned();
            (truth.guard_since, truth.status) = (None, None);
            truth.note(format_args!("the guard is gone"));
        }
        sleep(HOOK_GRACE).await;
        let mut truth = self.truth.lock_unpoisoned();
        let left: Vec<_> = truth.captures.iter().enumerate().filter(|(_, one)| one.alive).map(|(at, _)| at).collect();
        for number in left {
            truth.captures[number].alive = false;
            truth.note(format_args!("the hook kills capture {number}"));
        }
        truth.lamp = LampPattern::Dark;
    }

    async fn act(&mut self, action: &Action) {
        match *action {
            Action::Wait { ms } => sleep(Duration::from_millis(ms.into())).await,
            Action::Touch { hold, bounces, late } => self.touch(hold, bounces, late).await,
            Action::MuteTouch { hold } => {
                board::move_button(&self.truth, &self.wires, Button::Mute, true, 0);
                sleep(Duration::from_millis(hold.into())).await;
                board::move_button(&self.truth, &self.wires, Button::Mute, false, 0);
            }
            Action::Plan(ref plan) => self.truth.lock_unpoisoned().plans.push(plan.clone()),
            Action::Link { up } => self.truth.lock_unpoisoned().link_up = up,
            Action::Lamp { dead } => self.truth.lock_unpoisoned().lamp_dead = dead,
            Action::Panel { lost } => self.lose_panel(lost),
            Action::Clock { by_s } => clock::change(|clock| clock.step(SignedDuration::from_secs(by_s))),
            Action::Disk { ms } => worker::simulated::stall(Instant::now() + Duration::from_millis(ms.into())),
            Action::Room { mib } => self.disk.set_capacity(u64::from(mib) << 20),
            Action::Faulty { changes } => {
                let next = self.disk.changes();
                self.disk.fail(Some((next..next + u64::from(changes), Errno::IO)));
            }
            Action::Kill => self.kill(false).await,
            Action::PowerCut => self.kill(true).await,
            Action::Restart { policy } => self.restart(policy).await,
            Action::Ask { by, ref wish } => self.ask(by, wish.clone()),
        }
    }

    #[allow(clippy::disallowed_methods)] // a hand, which the schedule's end takes away
    async fn touch(&mut self, hold: u32, bounces: u8, late: u32) {
        if let Some(before) = self.touch.take() {
            let _ = before.await;
        }
        let (truth, wires) = (self.truth.clone(), self.wires.clone());
        self.touch = Some(tokio::task::spawn_local(async move {
            let number = begin_touch(&truth, hold, late);
            for _ in 0..bounces {
                board::move_button(&truth, &wires, Button::Record, true, late);
                sleep(BOUNCE).await;
                board::move_button(&truth, &wires, Button::Record, false, late);
                sleep(BOUNCE).await;
            }
            board::move_button(&truth, &wires, Button::Record, true, late);
            sleep(Duration::from_millis(hold.into())).await;
            for _ in 0..bounces {
                board::move_button(&truth, &wires, Button::Record, false, late);
                sleep(BOUNCE).await;
                board::move_button(&truth, &wires, Button::Record, true, late);
                sleep(BOUNCE).await;
            }
            board::move_button(&truth, &wires, Button::Record, false, late);
            let mut truth = truth.lock_unpoisoned();
            let now = truth.now();
            truth.presses[number].up = Some(now);
        }));
        // The hand is on the button before anything else happens.
        tokio::task::yield_now().await;
    }

    fn lose_panel(&self, lost: bool) {
        self.truth.lock_unpoisoned().panel_lost = lost;
        if lost && let Some(wire) = self.wires.borrow_mut().take() {
            let _ = wire.send(crate::panel::PanelEvent::ButtonLost("the chip is away".to_owned()));
        }
    }

    async fn kill(&mut self, power: bool) {
        if let Some(guard) = self.guard.take() {
            guard.task.abort();
            let _ = guard.task.await;
        }
        if power {
            self.disk.cut();
            let mut truth = self.truth.lock_unpoisoned();
            truth.captures.iter_mut().for_each(|capture| capture.alive = false);
            truth.lamp = LampPattern::Dark;
        }
        self.buried().await;
        if power {
            self.boots += 1;
            self.installed = None;
            self.disk = self.disk.after_cut(Loss::Torn(self.seed ^ self.boots));
            self.installed = Some(self.disk.install());
            let boots = self.boots;
            clock::change(|clock| *clock = SimulatedClock::boot(boots, clock.wall()));
        }
        sleep(RESTART_AFTER).await;
        self.start();
    }

    async fn restart(&mut self, policy: u8) {
        if let Some(guard) = self.guard.take() {
            let _ = guard.shutdown.send(()).await;
            let ended = tokio::time::timeout(Duration::from_secs(10), guard.task).await;
            let mut truth = self.truth.lock_unpoisoned();
            match ended {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => truth.violated(format_args!("the guard panics: {error}")),
                Err(_) => truth.violated(format_args!("the guard does not end when it is told to")),
            }
        }
        self.buried().await;
        self.truth.lock_unpoisoned().policy = policy;
        sleep(RESTART_AFTER).await;
        self.start();
    }

    #[allow(clippy::disallowed_methods)] // a process of its own, which the schedule's end ends
    fn ask(&self, by: Asker, wish: Wish) {
        let Some(guard) = &self.guard else { return };
        if matches!(wish, Wish::Stop | Wish::Flood(_)) && by != Asker::Stranger {
            checks::end::expect(&self.truth, Duration::ZERO, "a remote stop");
        }
        tokio::task::spawn_local(peers::ask(self.truth.clone(), guard.door.clone(), by, wish));
    }

    /// Looks at everything, in a moment in which nothing is under way.
    async fn look(&mut self) {
        loop {
            // The guard may have waited for its disk meanwhile: others have not seen yet what it did then.
            let waited = guard_waited();
            sleep(Duration::from_millis(2)).await;
            if waited == guard_waited() {
                break;
            }
        }
        if self.guard.as_ref().is_some_and(|guard| guard.task.is_finished()) {
            self.bury_the_dead().await;
            self.kill(false).await;
            sleep(Duration::from_millis(100)).await;
        }
        let mut truth = self.truth.lock_unpoisoned();
        checks::status::look(&mut truth);
        self.ledger.look(&mut truth, &Path::new(DATA).join("ledger.db"));
    }

    /// A guard that ended by itself: it may, to start anew, and may not panic.
    async fn bury_the_dead(&mut self) {
        let Some(guard) = self.guard.take() else { return };
        let ended = guard.task.await;
        let mut truth = self.truth.lock_unpoisoned();
        match ended {
            Ok(Ok(())) => truth.violated(format_args!("the guard ends, and nobody told it to")),
            Ok(Err(why)) => truth.note(format_args!("the guard ends: {why}")),
            Err(error) => truth.violated(format_args!("the guard panics: {error}")),
        }
    }

    /// Lets what is under way come to its end.
    async fn end(mut self) -> Outcome {
        if self.truth.lock_unpoisoned().violation.is_none() {
            sleep(AFTERMATH).await;
            self.look().await;
        }
        if let Some(guard) = self.guard.take() {
            guard.task.abort();
        }
        let mut truth = self.truth.lock_unpoisoned();
        Outcome {
            violation: truth.violation.clone(),
            digest: truth.digest(),
            trace: truth.take_lines(),
            simulated: truth.now(),
        }
    }
}

/// The button goes down; returns the touch's number.
fn begin_touch(truth: &Shared, hold: u32, late: u32) -> usize {
    let (number, late) = {
        let mut truth = truth.lock_unpoisoned();
        let down = truth.now();
        truth.presses.push(Press { down, up: None, spent: false });
        // Edges that the guard has not heard of yet come before this one's.
        let behind = truth.edges_heard[0].saturating_sub(down);
        (truth.presses.len() - 1, behind.max(Duration::from_millis(late.into())))
    };
    // The buttons' levels are read each second, whatever becomes of the edges.
    if Duration::from_millis(hold.into()) >= DEBOUNCE + SLACK {
        checks::end::expect(truth, DEBOUNCE * 2 + late.min(Duration::from_secs(1)), "a touch");
    }
    number
}
