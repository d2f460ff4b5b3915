//! A guard that is played: it speaks the guard's messages, judges signed commands by the box's own judge, and is slow,
//! silent or away when it is told to. What it was asked and what it said is written down, for checks of the agent.
#![allow(clippy::wildcard_enum_match_arm)] // it plays what the checks need

mod connection;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use notes::Trust;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::agent::GuardChannel;
use crate::clock;
use crate::ipc::{
    EPOCH_DIGITS, Fact, LampPattern, LedgerEntry, Parameters, Phase, ReportedConfig, Request, Response, Status,
    StoredFact, UpdateState, Verb,
};
use crate::judges::commands::{CommandJudge, Epoch, Surroundings, Verdict};
use crate::sync::LockExt;

/// Phases that it can be told to have.
const PHASES: [Phase; 6] =
    [Phase::Idle, Phase::Requested, Phase::Connecting, Phase::Live, Phase::Reconnecting, Phase::Locked];

/// What happens at the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum GuardAction {
    /// The box has another phase; numbers beyond the list count from its beginning again.
    Phase(u8),
    /// So many entries are written.
    Write(u8),
    /// It ends, and is back at once.
    Restart,
    /// It ends, and is back after so many milliseconds.
    Away(u32),
    /// It answers after so many milliseconds.
    Slow(u32),
    /// It answers nothing.
    Silent,
    /// It has no time for anything but stops.
    Unavailable,
    /// It answers at once.
    Prompt,
    /// Its ledger is replaced by a new one.
    NewLedger,
    /// It signed another checkpoint.
    Checkpoint,
    /// It wants the package of the release with this serial.
    Download(u64),
    /// An update ended.
    UpdateEnded,
}

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Prompt,
    Slow(Duration),
    Silent,
    Unavailable,
}

/// A request that it had.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// When.
    pub at: Instant,
    /// What.
    pub request: Request,
    /// What it answered, and when it does; `None`: never.
    pub answer: Option<(Instant, Response)>,
}

/// Its ledger.
#[derive(Clone, Debug)]
pub(super) struct PlayedLedger {
    pub(super) id: String,
    pub(super) entries: Vec<LedgerEntry>,
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) status: watch::Sender<Status>,
    pub(super) reported: watch::Sender<ReportedConfig>,
    pub(super) ledger: watch::Sender<PlayedLedger>,
    pub(super) started: Instant,
    manner: Manner,
    away_until: Instant,
    judge: CommandJudge,
    trust: Trust,
    box_id: String,
    /// Ledgers before this one.
    former: Vec<PlayedLedger>,
    asked: Vec<Asked>,
    said: Vec<Status>,
    /// When it began, or ceased, to be there, or closed its connections.
    presence: Vec<(Instant, bool)>,
    /// Ends the connections that there are.
    connected: CancellationToken,
    attempts: u32,
}

/// The guard, from outside.
#[derive(Clone, Debug)]
pub struct PlayedGuard(pub(super) Arc<Mutex<Core>>);

impl PlayedGuard {
    /// An idle one, of the box `box_id`, that trusts these keys.
    pub fn new(box_id: &str, trust: Trust) -> std::io::Result<Self> {
        let status = Status {
            ledger: Some(ledger_id(0)),
            signed_commands: !trust.is_empty(),
            epoch: "0".repeat(EPOCH_DIGITS),
            ..Status::idle(clock::utc_now(), "2026-01-01")
        };
        let guard = Self(Arc::new(Mutex::new(Core {
            status: watch::Sender::new(status),
            reported: watch::Sender::default(),
            ledger: watch::Sender::new(PlayedLedger { id: ledger_id(0), entries: Vec::new() }),
            started: Instant::now(),
            manner: Manner::Prompt,
            away_until: Instant::now(),
            judge: CommandJudge::new(Epoch::draw()?),
            trust,
            box_id: box_id.to_owned(),
            former: Vec::new(),
            asked: Vec::new(),
            said: Vec::new(),
            presence: Vec::new(),
            connected: CancellationToken::new(),
            attempts: 0,
        })));
        guard.0.lock_unpoisoned().start()?;
        Ok(guard)
    }

    /// Takes connections until nobody can connect any more.
    pub async fn serve(self, mut agents: mpsc::Receiver<GuardChannel>) {
        let mut connections = JoinSet::new();
        while let Some(agent) = agents.recv().await {
            while connections.try_join_next().is_some() {}
            let core = self.0.lock_unpoisoned();
            // Dropping a connection closes it.
            if core.away_until <= Instant::now() {
                let ended = core.connected.clone();
                drop(core);
                let guard = self.clone();
                connections.spawn(async move {
                    ended.run_until_cancelled(connection::serve(agent, guard)).await;
                });
            }
        }
    }

    /// Does it now.
    pub fn act(&self, action: &GuardAction) -> std::io::Result<()> {
        let mut core = self.0.lock_unpoisoned();
        match *action {
            GuardAction::Phase(index) => core.enter(PHASES[usize::from(index) % PHASES.len()]),
            GuardAction::Write(count) => (0..count).for_each(|_| core.append(Fact::Locked {})),
            GuardAction::Restart => core.start()?,
            GuardAction::Away(ms) => {
                core.start()?;
                core.presence.push((Instant::now(), false));
                core.away_until = Instant::now() + Duration::from_millis(ms.into());
            }
            GuardAction::Slow(ms) => core.manner = Manner::Slow(Duration::from_millis(ms.into())),
            GuardAction::Silent => core.manner = Manner::Silent,
            GuardAction::Unavailable => core.manner = Manner::Unavailable,
            GuardAction::Prompt => {
                core.manner = Manner::Prompt;
                core.away_until = Instant::now();
                core.presence.push((Instant::now(), true));
                // Whoever was not answered asks again.
                core.connected.cancel();
                core.connected = CancellationToken::new();
            }
            GuardAction::NewLedger => core.replace_ledger()?,
            GuardAction::Checkpoint => {
                let size = core.ledger.borrow().entries.len();
                core.say(|status| status.checkpoint = Some(format!("checkpoint of {size}")));
            }
            GuardAction::Download(serial) => core.say(|status| {
                status.update.state = UpdateState::Downloading;
                status.update.serial = Some(serial);
            }),
            GuardAction::UpdateEnded => {
                let attempt = format!("attempt-{}", core.attempts);
                core.append(Fact::UpdateSucceeded { version: "0.2.0-1".to_owned(), attempt });
            }
        }
        Ok(())
    }

    /// Whether it could be reached all of this time.
    pub fn was_there(&self, from: Instant, until: Instant) -> bool {
        let core = self.0.lock_unpoisoned();
        let before = core.presence.iter().rfind(|(at, _)| *at <= from);
        before.is_some_and(|(_, there)| *there) && !core.presence.iter().any(|(at, _)| *at > from && *at <= until)
    }

    /// All that it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.0.lock_unpoisoned().asked.clone()
    }

    /// Each status that it had.
    pub fn said(&self) -> Vec<Status> {
        self.0.lock_unpoisoned().said.clone()
    }

    /// What it says now.
    pub fn status(&self) -> Status {
        self.0.lock_unpoisoned().status.borrow().clone()
    }

    /// What it reports of the desired configuration.
    pub fn reported(&self) -> ReportedConfig {
        self.0.lock_unpoisoned().reported.borrow().clone()
    }

    /// The id of its ledger, and how many entries that has.
    pub fn ledger(&self) -> (String, usize) {
        let core = self.0.lock_unpoisoned();
        let ledger = core.ledger.borrow();
        (ledger.id.clone(), ledger.entries.len())
    }

    /// Every entry that it wrote, with the ledger's id, oldest first.
    pub fn entries(&self) -> Vec<(String, LedgerEntry)> {
        let core = self.0.lock_unpoisoned();
        let now = core.ledger.borrow().clone();
        let all = core.former.iter().chain(std::iter::once(&now));
        all.flat_map(|ledger| ledger.entries.iter().map(|entry| (ledger.id.clone(), entry.clone()))).collect()
    }

    /// What it answers, and when; `None`: never.
    pub(super) fn ask(&self, request: Request) -> Option<(Duration, Response)> {
        let mut core = self.0.lock_unpoisoned();
        let manner = core.manner;
        let answer = match manner {
            Manner::Silent => None,
            Manner::Unavailable if !matches!(request, Request::Stop {}) => {
                Some((Duration::ZERO, Response::unavailable("it is busy")))
            }
            Manner::Slow(late) => Some((late, core.carry_out(request.clone()))),
            Manner::Prompt | Manner::Unavailable => Some((Duration::ZERO, core.carry_out(request.clone()))),
        };
        let at = Instant::now();
        core.asked.push(Asked { at, request, answer: answer.clone().map(|(late, response)| (at + late, response)) });
        answer
    }
}

impl Core {
    /// It starts, again: nothing of a session or of commands is left.
    fn start(&mut self) -> std::io::Result<()> {
        self.connected.cancel();
        self.connected = CancellationToken::new();
        self.presence.push((Instant::now(), true));
        let epoch = Epoch::draw()?;
        let name = epoch.as_str().to_owned();
        (self.judge, self.started) = (CommandJudge::new(epoch), Instant::now());
        let (software, policy_version) = ("0.1.0".to_owned(), "2026-01-01".to_owned());
        self.append(Fact::GuardStarted { software, policy_version });
        self.say(|status| {
            (status.epoch, status.session, status.muted) = (name, None, false);
            (status.phase, status.since) = (Phase::Idle, clock::utc_now());
        });
        Ok(())
    }

    fn replace_ledger(&mut self) -> std::io::Result<()> {
        let id = ledger_id(self.former.len() + 1);
        let former = self.ledger.send_replace(PlayedLedger { id: id.clone(), entries: Vec::new() });
        self.former.push(former);
        self.say(|status| status.ledger = Some(id));
        self.start()
    }

    fn say(&mut self, how: impl FnOnce(&mut Status)) {
        self.status.send_modify(how);
        self.said.push(self.status.borrow().clone());
    }

    fn enter(&mut self, phase: Phase) {
        let session = phase.may_capture().then_some(self.said.len() as u64);
        self.say(|status| {
            (status.phase, status.session, status.muted) = (phase, session, false);
            status.since = clock::utc_now();
            status.lamp = if session.is_some() { LampPattern::Solid } else { LampPattern::Dark };
        });
    }

    fn append(&mut self, fact: Fact) {
        let reading = clock::read();
        self.ledger.send_modify(|ledger| {
            let seq = ledger.entries.len() as u64 + 1;
            let prev = ledger.entries.last().map_or_else(|| "0".repeat(64), |entry| entry.hash.clone());
            ledger.entries.push(LedgerEntry {
                seq,
                at: reading.utc,
                clock: Some(reading.utc),
                synchronised: Some(reading.synchronised),
                boot: Some(reading.boot.to_string()),
                monotonic_ms: Some(reading.monotonic_ms),
                fact: StoredFact::Known(fact),
                prev,
                hash: format!("{seq:064x}"),
            });
        });
    }

    fn carry_out(&mut self, request: Request) -> Response {
        match request {
            Request::Stop {} => self.obey(Verb::Stop),
            Request::Mute {} => self.obey(Verb::Mute),
            Request::Unmute {} => self.obey(Verb::Unmute),
            Request::RequestStart {} => self.obey(Verb::RequestStart),
            Request::Refused { verb, why } => {
                self.append(Fact::CommandRefused { verb, why });
                Response::Done
            }
            Request::Command { verb, payload } => self.judge(&verb, &payload.0),
            Request::Desired { note } => {
                let json = note.lines().nth(1).unwrap_or_default();
                let json: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
                let Some(version) = json["version"].as_u64() else { return Response::refused("it is no note") };
                let known = self.reported.borrow().for_version;
                if known.is_some_and(|known| version < known) {
                    return Response::refused("it is older");
                }
                self.reported.send_modify(|reported| reported.for_version = Some(version));
                Response::Done
            }
            _ => Response::Done,
        }
    }

    fn judge(&mut self, verb: &str, payload: &str) -> Response {
        let uptime_s = self.started.elapsed().as_secs();
        let surroundings = Surroundings { trust: &self.trust, box_id: Some(&self.box_id), uptime_s };
        match self.judge.admit(&surroundings, verb, payload, |_| Ok(())) {
            Verdict::Refused(rejection) => Response::Rejected(rejection),
            Verdict::Known(digest) => {
                self.judge.answer(&digest).cloned().unwrap_or_else(|| Response::unavailable("it is being carried out"))
            }
            Verdict::New(accepted) => {
                let response = match accepted.parameters {
                    Parameters::Update(_) => {
                        self.attempts += 1;
                        Response::Installing { attempt: format!("attempt-{}", self.attempts) }
                    }
                    _ => self.obey(accepted.verb),
                };
                self.judge.settle(&accepted.digest, response.clone());
                response
            }
        }
    }

    fn obey(&mut self, verb: Verb) -> Response {
        let (phase, muted) = (self.status.borrow().phase, self.status.borrow().muted);
        match verb {
            Verb::Stop if phase != Phase::Idle => self.enter(Phase::Idle),
            Verb::RequestStart if phase == Phase::Idle => self.enter(Phase::Requested),
            Verb::RequestStart => return Response::refused("it is not idle"),
            Verb::Mute | Verb::Unmute if !phase.may_capture() => return Response::refused("there is no session"),
            Verb::Mute if !muted => self.say(|status| status.muted = true),
            Verb::Unmute if muted => self.say(|status| status.muted = false),
            _ => {}
        }
        Response::Done
    }
}

/// The id of the nth ledger.
fn ledger_id(number: usize) -> String {
    format!("{:016x}", number + 1).repeat(4)
}
