//! What is behind the network of a simulated box: the agent, connected to the box's guard and to a hostile broker, and
//! the operators who publish there.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::broker::{Behaviour, Broker, BrokerAction, Ending};
use super::checks::chain::{self, Chain};
use super::checks::wire::Acknowledged;
use super::operator::{Operator, OperatorAction, SentCommand};
use super::peers::{self, Door};
use super::process::{AgentProcess, ProcessAction};
use super::settings::{BASE, BOX_ID};
use super::truth::{Shared, Truth};
use crate::agent::GuardAddress;
use crate::config::Config;
use crate::connect::simulated::Network;
use crate::ipc::{LedgerEntry, Status, Verb};
use crate::sync::LockExt;

/// Connections of the agent that wait for the guard.
const BACKLOG: usize = 8;
/// Guard, agent and broker have found each other after this.
const SETTLED: Duration = Duration::from_secs(5);
/// A box that is well again has told all after so long: the longest pause between two attempts to send an event is 12.5
/// minutes, that between two attempts to connect four, and what a broker refused is tried again after an hour.
const RECOVERY: Duration = Duration::from_mins(100);
/// An agent of a box that was unbound has left the broker after so long: 75 s, and what is under way then.
const PARTING: Duration = Duration::from_mins(3);
/// How often the ledger is read, where nothing says that anything changed.
const LOOK: Duration = Duration::from_secs(20);
/// Commands are answered within this, where all is well.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The guard that the agent reaches; `None`: it is away.
pub(super) type GuardDoor = Arc<Mutex<Option<Door>>>;

/// The agent's way to the guard that runs.
#[derive(Clone)]
pub(super) struct GuardWay {
    door: GuardDoor,
    /// Counts what comes between the platform and the guard, and when it came last.
    disturbances: Rc<Cell<(u64, Instant)>>,
}

impl GuardWay {
    fn disturb(&self) {
        self.disturbances.set((self.disturbances.get().0 + 1, Instant::now()));
    }

    /// A guard runs.
    pub(super) fn open(&self, door: Door) {
        self.disturb();
        *self.door.lock_unpoisoned() = Some(door);
    }

    /// The guard is gone.
    pub(super) fn close(&self) {
        self.disturb();
        *self.door.lock_unpoisoned() = None;
    }

    /// Where it leads now.
    pub(super) fn door(&self) -> GuardDoor {
        self.door.clone()
    }
}

/// Agent, broker and operators of one box.
pub(super) struct Remote {
    broker: Broker,
    operator: Operator,
    process: AgentProcess,
    way: GuardWay,
    /// The broker is as it should be.
    is_good: bool,
    /// The agent may remember for long that it was not.
    is_remembered: bool,
    /// How much of the broker's history stands in the trace.
    noted: usize,
    _network: Network,
    _tasks: JoinSet<()>,
}

/// Hands the agent's connections on to the guard that runs.
async fn relay(mut agents: mpsc::Receiver<(tokio::io::DuplexStream, u32)>, way: GuardDoor) {
    while let Some(connection) = agents.recv().await {
        let door = way.lock_unpoisoned().clone();
        // A guard that is away closes it.
        if let Some(door) = door {
            let _ = door.send(connection).await;
        }
    }
}

impl Remote {
    /// All of it, with an agent that does not run yet.
    pub(super) fn new(seed: u64, config: Arc<Config>) -> Self {
        let (dials, dialled) = mpsc::unbounded_channel();
        let network = Network::install(dials);
        let broker = Broker::new(seed);
        let operator = Operator::new(broker.clone(), BASE, BOX_ID);
        let (connect, agents) = mpsc::channel(BACKLOG);
        let way = GuardWay { door: GuardDoor::default(), disturbances: Rc::new(Cell::new((0, Instant::now()))) };
        let mut tasks = JoinSet::new();
        tasks.spawn(broker.clone().serve(dialled));
        tasks.spawn(relay(agents, way.door()));
        let process = AgentProcess::new(config, GuardAddress::Simulated(connect, peers::AGENT));
        Self {
            broker,
            operator,
            process,
            way,
            is_good: true,
            is_remembered: false,
            noted: 0,
            _network: network,
            _tasks: tasks,
        }
    }

    /// All commands that were published.
    pub(super) fn sent(&self) -> &[SentCommand] {
        self.operator.sent()
    }

    /// The agent's way to the guard.
    pub(super) fn way(&self) -> GuardWay {
        self.way.clone()
    }

    fn disturb(&self) {
        self.way.disturb();
    }

    /// The agent's process is started.
    pub(super) fn start_agent(&mut self, config: Arc<Config>) {
        self.disturb();
        self.process.configure(config);
        self.process.start();
    }

    /// The agent's process is gone.
    pub(super) async fn kill_agent(&mut self) {
        self.disturb();
        self.process.kill().await;
    }

    /// Something happens to the agent's process.
    pub(super) async fn disturb_agent(&mut self, action: ProcessAction) {
        self.disturb();
        self.process.act(action).await;
        self.disturb();
    }

    /// Something happens at the broker.
    pub(super) fn change_broker(&mut self, action: &BrokerAction) {
        self.disturb();
        let is_short = matches!(
            action,
            BrokerAction::Refused
                | BrokerAction::Silent
                | BrokerAction::Stalled
                | BrokerAction::CutAfter(_)
                | BrokerAction::Twice
                | BrokerAction::ForgetSessions
                | BrokerAction::Deaf
        );
        let is_over = matches!(action, BrokerAction::Cut | BrokerAction::Restart | BrokerAction::Heal);
        self.is_good = *action == BrokerAction::Heal || self.is_good && is_over;
        self.is_remembered |= !is_short && !is_over;
        action.apply(&self.broker);
    }

    /// An operator does something. A stop that nothing is in the way of gets through.
    pub(super) fn operate(&mut self, truth: &Shared, action: &OperatorAction) {
        let is_stop = match *action {
            OperatorAction::Plain { verb, retained, .. } => super::operator::verb(verb) == Verb::Stop && !retained,
            OperatorAction::Flood { verb, .. } => super::operator::verb(verb) == Verb::Stop,
            OperatorAction::Signed { .. }
            | OperatorAction::Again { .. }
            | OperatorAction::Desired { .. }
            | OperatorAction::Policy { .. }
            | OperatorAction::Release(_)
            | OperatorAction::EndOfService { .. }
            | OperatorAction::Clear { .. }
            | OperatorAction::Garbage { .. } => false,
        };
        if is_stop && self.is_settled() {
            let (known, now) = (self.way.disturbances.get(), self.way.disturbances.clone());
            chain::expect_stop(truth, move || now.get() == known);
        }
        self.operator.act(action);
        truth.lock_unpoisoned().updates.published = self.operator.published().to_vec();
    }

    /// Nothing has been in the way between the platform and the guard for long enough.
    fn is_settled(&self) -> bool {
        self.is_good
            && !self.is_remembered
            && self.broker.is_online()
            && self.way.disturbances.get().1.elapsed() >= SETTLED
    }

    /// What happened at the broker since the last look, for the trace.
    fn note(&mut self, truth: &mut Truth) {
        for (at, what) in self.broker.history(self.noted) {
            self.noted += 1;
            if truth.keeps_lines() {
                let at = truth.since(at).as_secs_f64();
                truth.remark(format_args!("    at {at:.3} the broker: {what:?}"));
            }
        }
    }

    /// Looks at what the broker was told, in a moment in which nothing is under way.
    pub(super) fn look(&mut self, truth: &Shared) {
        let mut truth = truth.lock_unpoisoned();
        self.note(&mut truth);
        if self.process.is_spinning() {
            truth.violated(format_args!("chain: the agent turns without a pause"));
        }
        if self.is_settled() {
            chain::look(&mut truth, self.broker.retained(&format!("{BASE}/state")));
        }
    }

    /// All is well around the box: everything reaches the platform in the end, and each command has one answer. Calls
    /// `entries` for the ledger as it is then.
    pub(super) async fn end(&mut self, truth: &Shared, mut entries: impl FnMut() -> Vec<LedgerEntry>) {
        self.broker.change(|now| *now = Behaviour::default());
        // The connection that there is may have bytes to go before it is lost.
        self.broker.end(Ending::Cut);
        self.disturb();
        let mut first_calm = None;
        match self.recovered(truth, &mut entries).await {
            End::Parted => {
                sleep(PARTING).await;
                if self.broker.is_online() {
                    truth.lock_unpoisoned().violated(format_args!("chain: an unbound box stays with its broker"));
                }
            }
            End::Told => {
                sleep(ANSWER_TIME).await;
                first_calm = Some(self.operator.sent().len());
                for verb in 0..u8::try_from(Verb::ALL.len()).unwrap_or_default() {
                    self.operator.act(&OperatorAction::Plain { verb, life_s: 60, retained: false });
                    sleep(Duration::from_millis(100)).await;
                }
                self.operator.repeat_stops();
                sleep(ANSWER_TIME).await;
            }
            End::Late(why) => {
                truth.lock_unpoisoned().violated(format_args!("chain: {RECOVERY:?} later, {why}"));
            }
        }
        let all = entries();
        self.judge(&mut truth.lock_unpoisoned(), first_calm, &all);
        self.process.kill().await;
    }

    /// Holds all that happened against the ledger.
    fn judge(&mut self, truth: &mut Truth, first_calm: Option<usize>, entries: &[LedgerEntry]) {
        self.note(truth);
        let history = self.broker.history(0);
        let chain = Chain { history: &history, sent: self.operator.sent(), first_calm, entries };
        for problem in chain.problems(truth) {
            truth.violated(format_args!("chain: {problem}"));
        }
    }

    /// Waits until the platform knows all that it should.
    async fn recovered(&self, truth: &Shared, entries: &mut impl FnMut() -> Vec<LedgerEntry>) -> End {
        let begun = Instant::now();
        let mut acknowledged = Acknowledged::new(BASE, BOX_ID);
        let (mut looked_at, mut why) = (None::<Instant>, "the agent is not online");
        while begun.elapsed() < RECOVERY {
            sleep(Duration::from_secs(1)).await;
            let is_news = acknowledged.read_on(&self.broker);
            let status = truth.lock_unpoisoned().status.clone();
            let Some(status) = status else { continue };
            if status.unbound {
                return End::Parted;
            }
            if !self.is_told(&status) {
                why = "the platform does not know how it stands with the box";
                continue;
            }
            // Nearly all that changes comes by the broker.
            if is_news || looked_at.is_none_or(|at| at.elapsed() >= LOOK) {
                looked_at = Some(Instant::now());
                if chain::has_all(&acknowledged, &entries()) {
                    return End::Told;
                }
                why = "the platform does not have all entries";
            }
        }
        End::Late(why)
    }

    fn is_told(&self, status: &Status) -> bool {
        let retained = |topic: &str| self.broker.retained(&format!("{BASE}/{topic}"));
        let is_it = |note: &String| retained("checkpoint").is_some_and(|told| told == note.as_bytes());
        self.broker.is_online()
            && status.checkpoint.as_ref().is_none_or(is_it)
            && retained("availability").as_deref() == Some(b"online")
            && retained("state").is_some_and(|state| chain::is_told(&state, status))
    }
}

/// How it stands when all is well around the box.
enum End {
    /// The platform knows all.
    Told,
    /// The box has no platform any more.
    Parted,
    /// Something is still missing.
    Late(&'static str),
}
