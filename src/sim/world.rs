//! One box, from the first switching on to the end of its schedule.

mod life;
mod looks;

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::io::Errno;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep};

use super::board::{self, Wires};
use super::checks::{self, DEBOUNCE, SLACK};
use super::guard_unit::GuardUnit;
use super::peers;
use super::remote::Remote;
use super::schedule::{Action, Asker, Help, Platform, Schedule, Wish};
use super::settings::config;
use super::truth::{Press, Shared, Truth};
use super::updates::Updates;
use crate::clock::simulated::{self as clock, SimulatedClock};
use crate::disk::simulated::{Installed, SimulatedDisk};
use crate::panel::Button;
use crate::sync::LockExt;
use crate::{random, worker};

/// What the wall clock shows first: 2026-07-01T00:00:00Z, in seconds.
const FIRST_SECOND: i64 = 1_782_864_000;
/// From the end of a guard to the next one's start.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// What the end of a schedule waits for what is still under way.
const AFTERMATH: Duration = Duration::from_secs(8);
/// One bounce of a contact.
const BOUNCE: Duration = Duration::from_millis(3);
/// The guard reads the buttons' levels this often.
const READING: Duration = Duration::from_secs(1);
/// Bytes of the disk: enough for what is set aside on it.
const CAPACITY: u64 = 64 * 1024 * 1024;
/// The same where captures keep footage, which goes where less than 256 MiB are free.
const LARGE: u64 = 1024 * 1024 * 1024;

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

struct World {
    seed: u64,
    platform: Platform,
    remote: Option<Remote>,
    /// How the helper that deletes credentials answers, and the request that it has seen.
    help: Help,
    asked: Option<String>,
    disk: SimulatedDisk,
    /// Whose disk this thread has.
    installed: Option<Installed>,
    truth: Shared,
    wires: Wires,
    guard: Rc<GuardUnit>,
    /// Where operators have keys to sign releases.
    updates: Option<Updates>,
    ledger: checks::ledger::Seen,
    boots: u64,
    /// The touch that is on.
    touch: Option<JoinHandle<()>>,
}

async fn live(schedule: &Schedule, keep_trace: bool) -> Outcome {
    let (seed, platform) = (schedule.seed, schedule.platform);
    // Read before anything is drawn: the first schedule of a thread draws names for their files.
    let config = [config(0, platform), config(1, platform)].into_iter().next().flatten();
    let _random = random::simulated::install(schedule.seed);
    let _threads = worker::simulated::install();
    let wall = Timestamp::from_second(FIRST_SECOND).unwrap_or_default();
    let _clock = clock::install(SimulatedClock::boot(1, wall));
    let truth = Arc::new(Mutex::new(Truth::new(keep_trace)));
    let wires = Wires::default();
    let _panel = board::install(&truth, &wires);
    let ledger = checks::ledger::Seen::default();
    let disk = SimulatedDisk::new(if platform.is_none() { CAPACITY } else { LARGE });
    let installed = Some(disk.install());
    let remote = config.as_ref().filter(|_| !platform.is_none()).map(|config| Remote::new(seed, config.clone()));
    {
        let mut truth = truth.lock_unpoisoned();
        truth.minors = platform == Platform::Minors;
        truth.keeps_footage = config.is_some_and(|config| config.keeps_footage());
    }
    let guard = Rc::new(GuardUnit::new(platform, &truth, &wires, remote.as_ref().map(Remote::way)));
    let updates = remote.as_ref().filter(|_| platform != Platform::Plain);
    let updates = updates.map(|remote| Updates::new(&truth, &guard, remote.way().door()));
    let mut world = World {
        seed,
        platform,
        remote,
        help: Help::default(),
        asked: None,
        disk,
        installed,
        truth,
        wires,
        guard,
        updates,
        ledger,
        boots: 1,
        touch: None,
    };
    world.begin().await;
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
    async fn act(&mut self, action: &Action) {
        match *action {
            Action::Wait { ms } => sleep(Duration::from_millis(ms.into())).await,
            Action::Touch { hold, bounces, late } => self.touch(hold, bounces, late).await,
            Action::MuteTouch { hold } => {
                self.truth.lock_unpoisoned().sound_asked += 1;
                board::move_button(&self.truth, &self.wires, Button::Mute, true, 0);
                sleep(Duration::from_millis(hold.into())).await;
                board::move_button(&self.truth, &self.wires, Button::Mute, false, 0);
            }
            Action::Plan(ref plan) => self.truth.lock_unpoisoned().plans.push(plan.clone()),
            Action::Link { up } => self.truth.lock_unpoisoned().link_up = up,
            Action::Lamp { dead } => self.truth.lock_unpoisoned().lamp_dead = dead,
            Action::Panel { lost } => self.lose_panel(lost),
            Action::Clock { by_s } => self.change_clock(|clock| clock.step(SignedDuration::from_secs(by_s))),
            Action::Synchronised { is } => self.change_clock(|clock| clock.synchronised = is),
            Action::Packages { how } => self.updates.iter().for_each(|updates| updates.set_fault(how)),
            Action::Swap { build } => self.updates.iter().for_each(|updates| updates.swap_next(build)),
            Action::Disk { ms } => worker::simulated::stall(Instant::now() + Duration::from_millis(ms.into())),
            Action::Room { mib } => self.disk.set_capacity(u64::from(mib) << 20),
            Action::Faulty { changes } => {
                let next = self.disk.changes();
                self.disk.fail(Some((next..next + u64::from(changes), Errno::IO)));
            }
            Action::Kill => self.kill().await,
            Action::PowerCut => self.cut_power().await,
            Action::Restart { policy } => self.restart(policy).await,
            Action::Ask { by, ref wish } => self.ask(by, wish.clone()),
            Action::Helper { how } => self.help = how,
            Action::Broker { .. } | Action::Operator { .. } | Action::Agent { .. } => self.act_remotely(action).await,
        }
    }

    pub(super) fn change_clock(&self, how: impl FnOnce(&mut SimulatedClock)) {
        let mut truth = self.truth.lock_unpoisoned();
        truth.updates.clock_changed = truth.now();
        clock::change(how);
    }

    /// What happens behind the network; nothing where there is none.
    #[allow(clippy::wildcard_enum_match_arm)] // the rest happens at the box
    async fn act_remotely(&mut self, action: &Action) {
        let Some(remote) = &mut self.remote else { return };
        match action {
            Action::Broker { what } => remote.change_broker(what),
            Action::Operator { what } => {
                self.truth.lock_unpoisoned().sound_asked += 1;
                remote.operate(&self.truth, what);
            }
            Action::Agent { what } => remote.disturb_agent(*what).await,
            _ => {}
        }
    }

    #[allow(clippy::disallowed_methods)] // a hand, which the schedule's end takes away
    async fn touch(&mut self, hold: u32, bounces: u8, late: u32) {
        if let Some(before) = self.touch.take() {
            let _ = before.await;
        }
        let (truth, wires) = (self.truth.clone(), self.wires.clone());
        self.touch = Some(tokio::task::spawn_local(async move {
            let number = begin_touch(&truth, hold, BOUNCE * 2 * u32::from(bounces), late);
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
        {
            let mut truth = self.truth.lock_unpoisoned();
            truth.panel_lost = lost;
            let now = lost.then(|| truth.now());
            let on = truth.presses.iter_mut().filter(|press| press.up.is_none());
            on.for_each(|press| press.interrupted = press.interrupted.or(now));
        }
        if lost && let Some(wire) = self.wires.borrow_mut().take() {
            let _ = wire.send(crate::panel::PanelEvent::ButtonLost("the chip is away".to_owned()));
        }
    }

    #[allow(clippy::disallowed_methods)] // a process of its own, which the schedule's end ends
    fn ask(&self, by: Asker, wish: Wish) {
        let Some(door) = self.guard.door() else { return };
        if matches!(wish, Wish::Stop | Wish::Flood(_)) && by != Asker::Stranger {
            checks::end::expect(&self.truth, Duration::ZERO, "a remote stop");
        }
        let sound_asked = {
            let mut truth = self.truth.lock_unpoisoned();
            truth.sound_asked += 1;
            truth.sound_asked
        };
        if wish == Wish::Mute && by != Asker::Stranger {
            checks::end::expect_silence(&self.truth);
        }
        tokio::task::spawn_local(peers::ask(self.truth.clone(), door, by, wish, sound_asked));
    }
}

/// The button goes down, and is down for good once it has bounced; returns the touch's number.
fn begin_touch(truth: &Shared, hold: u32, bounces: Duration, late: u32) -> usize {
    let (number, late) = {
        let mut truth = truth.lock_unpoisoned();
        let down = truth.now();
        let mut press = Press::begun(down, late > 0 || truth.edges_heard[0] > down, truth.presses.last());
        // It stops what is captured, or was to: what ends for another reason before it settles is not begun anew.
        press.spent = truth.may_capture() && !truth.panel_lost;
        truth.presses.push(press);
        // Edges that the guard has not heard of yet come before this one's.
        let behind = truth.edges_heard[0].saturating_sub(down);
        (truth.presses.len() - 1, behind.max(Duration::from_millis(late.into())))
    };
    // The buttons' levels are read each second, whatever becomes of the edges; a reading may fall into a bounce, and a
    // shorter touch between two of them.
    let hold = Duration::from_millis(hold.into());
    let late = if hold >= READING + DEBOUNCE { late.min(READING) } else { late };
    if hold >= DEBOUNCE + SLACK {
        checks::end::expect(truth, bounces + DEBOUNCE * 2 + late, "a touch");
    }
    number
}
