//! The agent in a simulation: the production code, from its files to the bytes on the wire, between a broker and a
//! guard that do what a schedule says. A seed gives the same bytes each time.

mod checks;
mod guard;
mod schedule;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::broker::{Behaviour, Broker, BrokerAction, Ending, History};
use super::checks::wire::{Acknowledged, same_state};
use super::operator::{self, Operator, OperatorAction};
use super::process::AgentProcess;
use crate::agent::GuardAddress;
use crate::agent::state::State;
use crate::clock::simulated::SimulatedClock;
use crate::config::Config;
use crate::connect::simulated::Network;
use crate::ipc::Verb;
use crate::{clock, random, worker};

pub use guard::{Asked, GuardAction, PlayedGuard};
pub use schedule::{Action, AgentSchedule, Step};

/// The box's name.
pub const BOX_ID: &str = "simulated-box";
/// Its topics lie below this.
pub const BASE: &str = "tallybox/v1/simulated-box";
/// When simulations begin, in seconds of the epoch: 2026-11-30T00:00:00Z.
const BEGIN: i64 = 1_795_996_800;
/// A box that is well again is as it should be after so long: the longest pause between two attempts to send an event
/// is 12.5 minutes, and that between two attempts to connect four.
const RECOVERY: Duration = Duration::from_mins(30);
/// The same where a broker said that it takes no retained messages, or no `QoS` 1: that is tried again after an hour.
const LONG_RECOVERY: Duration = Duration::from_mins(100);
/// How often it is looked whether the box is as it should be, where nothing says that anything changed.
const LOOK: Duration = Duration::from_secs(20);
/// Commands are answered within this, where all is well.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What came of a schedule.
#[derive(Debug)]
pub struct AgentRun {
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
    /// How long the box took to be as it should be, once all was well around it; `None`: it never was.
    pub recovered_after: Option<Duration>,
    /// All that happened at the broker, as text: the same for the same schedule.
    pub trace: String,
}

/// What a schedule leaves behind, for checks.
struct Played {
    start: Instant,
    /// When all was well again.
    healed: Instant,
    /// When something happened to the agent's process.
    disturbed: Vec<Instant>,
    /// The agent turned without a pause.
    is_spinning: bool,
    recovered_after: Option<Duration>,
    history: History,
    guard: PlayedGuard,
    operator: Operator,
    /// The first command that was sent after the recovery.
    first_calm: usize,
}

/// Runs schedules in a folder of its own, one after the other.
#[derive(Debug)]
pub struct AgentSimulator {
    trusting: Arc<Config>,
    plain: Arc<Config>,
}

impl AgentSimulator {
    /// Writes the box's configuration into `dir`, and what the agent keeps beside it.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let make = |name: &str, more: &str| -> io::Result<Arc<Config>> {
            let home = dir.join(name);
            std::fs::create_dir_all(&home)?;
            let place = serde_json::Value::from(home.to_string_lossy().into_owned());
            let text = format!(
                "[device]\nid = \"{BOX_ID}\"\ndata-dir = {place}\nruntime-dir = {place}\n\n[panel]\nbackend = \"sim\"\n\n\
                 [ingest]\nurl = \"rtmps://push.example.cn/live/simulated\"\n\n\
                 [mqtt]\nurl = \"mqtt://broker.example.cn:1883\"\nallow-plain = true\n\n\
                 [privacy]\nallowed-ingest-hosts = [\"push.example.cn\"]\n\n{more}"
            );
            let file = home.join("tallybox.toml");
            std::fs::write(&file, text)?;
            Config::load(&file).map(Arc::new).map_err(|error| io::Error::other(error.to_string()))
        };
        Ok(Self { trusting: make("trusting", &operator::trust())?, plain: make("plain", "")? })
    }

    /// Runs it to its end, and checks what happened.
    pub fn run(&self, schedule: &AgentSchedule) -> io::Result<AgentRun> {
        let config = if schedule.has_trust { &self.trusting } else { &self.plain };
        match std::fs::remove_dir_all(config.agent_dir()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let played = runtime.block_on(play(schedule, config.clone()))?;
        let Played { start, recovered_after, .. } = played;
        let trace = played.history.iter().fold(String::new(), |text, (at, what)| {
            format!("{text}{} {what:?}\n", at.duration_since(start).as_millis())
        });
        Ok(AgentRun { problems: checks::all(schedule, &played), recovered_after, trace })
    }
}

impl AgentSimulator {
    /// The shortest part of a schedule that still finds something: steps are left out, half of them first, then fewer,
    /// then each.
    pub fn shortened(&self, schedule: &AgentSchedule) -> io::Result<AgentSchedule> {
        let mut best = schedule.clone();
        let found = self.run(schedule)?.problems;
        // The first words tell problems apart.
        let is_same = |problem: &str| found.iter().any(|known| known.chars().take(12).eq(problem.chars().take(12)));
        let mut length = best.steps.len().div_ceil(2);
        while length > 0 {
            let mut at = 0;
            while at < best.steps.len() {
                let mut shorter = best.clone();
                let until = (at + length).min(best.steps.len());
                let left_out: u32 = shorter.steps.drain(at..until).map(|step| step.after_ms).sum();
                if let Some(next) = shorter.steps.get_mut(at) {
                    next.after_ms = next.after_ms.saturating_add(left_out);
                }
                if self.run(&shorter)?.problems.iter().any(|problem| is_same(problem)) {
                    best = shorter;
                } else {
                    at = until;
                }
            }
            length /= 2;
        }
        Ok(best)
    }
}

async fn play(schedule: &AgentSchedule, config: Arc<Config>) -> io::Result<Played> {
    let begin = Timestamp::from_second(BEGIN).map_err(io::Error::other)?;
    let _random = random::simulated::install(schedule.seed);
    let _clock = clock::simulated::install(SimulatedClock::boot(1, begin));
    let _threads = worker::simulated::install();
    let (dials, dialled) = mpsc::unbounded_channel();
    let _network = Network::install(dials);
    let start = Instant::now();
    let broker = Broker::new(schedule.seed);
    let guard = PlayedGuard::new(BOX_ID, config.trust.clone())?;
    let mut operator = Operator::new(broker.clone(), BASE, BOX_ID);
    let (connect, agents) = mpsc::channel(2);
    let mut tasks = JoinSet::new();
    tasks.spawn(broker.clone().serve(dialled));
    tasks.spawn(guard.clone().serve(agents));
    let mut process = AgentProcess::new(config, GuardAddress::InProcess(connect));
    process.start();
    for Step { after_ms, action } in &schedule.steps {
        sleep(Duration::from_millis((*after_ms).into())).await;
        match action {
            Action::Broker(action) => action.apply(&broker),
            Action::Guard(action) => guard.act(action)?,
            Action::Operator(action) => operator.act(action),
            Action::Process(action) => process.act(*action).await,
        }
    }
    broker.change(|now| *now = Behaviour::default());
    if schedule.steps.iter().any(|step| matches!(step.action, Action::Broker(BrokerAction::Raw(_)))) {
        // The head of a long packet that never comes swallows what follows, until a ping has no answer.
        broker.end(Ending::Cut);
    }
    guard.act(&GuardAction::Prompt)?;
    let healed = Instant::now();
    let recovered_after = recover(healed, &broker, &guard, &operator).await;
    // What came at once when all was well again has its answers by then.
    sleep(ANSWER_TIME).await;
    let first_calm = operator.sent().len();
    for verb in 0..u8::try_from(Verb::ALL.len()).unwrap_or_default() {
        operator.act(&OperatorAction::Plain { verb, life_s: 60, retained: false });
        sleep(Duration::from_millis(100)).await;
    }
    operator.repeat_stops();
    sleep(ANSWER_TIME).await;
    process.kill().await;
    let is_spinning = process.is_spinning();
    let (history, disturbed) = (broker.history(0), process.disturbed().to_vec());
    Ok(Played { start, healed, disturbed, is_spinning, recovered_after, history, guard, operator, first_calm })
}

/// Waits until the platform knows all that it should, and the guard too. `None`: that takes too long.
async fn recover(healed: Instant, broker: &Broker, guard: &PlayedGuard, operator: &Operator) -> Option<Duration> {
    let mut acknowledged = Acknowledged::new(BASE, BOX_ID);
    let mut looked_at = None;
    // Whatever was ordered last has happened by then.
    sleep(Duration::from_secs(1)).await;
    while healed.elapsed() < LONG_RECOVERY {
        // Nearly all that changes comes by the broker.
        let is_due = looked_at.is_none_or(|at: Instant| at.elapsed() >= LOOK);
        if !acknowledged.read_on(broker) && !is_due {
            sleep(Duration::from_secs(1)).await;
            continue;
        }
        looked_at = Some(Instant::now());
        if has_recovered(broker, guard, operator, &acknowledged) {
            return Some(healed.elapsed());
        }
        sleep(Duration::from_secs(1)).await;
    }
    None
}

fn has_recovered(broker: &Broker, guard: &PlayedGuard, operator: &Operator, acknowledged: &Acknowledged) -> bool {
    let retained = |topic: &str| broker.retained(&format!("{BASE}/{topic}"));
    let status = guard.status();
    let is_said = retained("state").is_some_and(|state| same_state(&state, &State::from(&status)));
    let reported = serde_json::to_value(guard.reported()).unwrap_or_default();
    let is_reported =
        retained("config/reported").is_some_and(|bytes| serde_json::from_slice::<Value>(&bytes).ok() == Some(reported));
    let has_checkpoint = status.checkpoint.is_none_or(|wanted| retained("checkpoint") == Some(wanted.into_bytes()));
    let (ledger, entries) = guard.ledger();
    let is_offered = operator.desired().is_none_or(|wanted| checks::was_offered(guard, wanted));
    broker.is_online()
        && retained("availability").as_deref() == Some(b"online")
        && is_said
        && is_reported
        && has_checkpoint
        && is_offered
        && acknowledged.has_all(&ledger, 1..=entries as u64)
}
