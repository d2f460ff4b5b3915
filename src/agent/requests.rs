//! Commands that were taken, from the broker's message to their answer. They outlive the connection that they came on.

use std::collections::VecDeque;

use rumqttc::mqttbytes::v5::{Publish, PublishProperties};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::guard_client::Caller;
use super::messages::{Diagnosis, Reply, json};
use super::publisher::{Kind, Refusal, Urgency};
use super::session::{Agent, Line};
use super::state::State;
use super::telemetry;
use super::validator::{Command, Judged, Refusal as Refused};
use crate::clock;
use crate::ipc::{Request, Response, VERSION_STRING, Verb};

/// Commands that are carried out at once. Those of a healthy box take no time, but for `stop`, which does not count.
const COMMANDS: usize = 8;
/// `mute` may still be among them when no other may.
const MUTES: usize = 12;
/// Refusals that are handed to the guard at once; with [`MUTES`] they leave it room for a stop.
const NOTES: usize = 3;
/// Commands that may wait for the next stop's answer; more are stopped with them, and not answered.
const STOPS: usize = 32;
/// Addresses that one command is answered at, if it comes again while it is carried out.
const ASKERS: usize = 4;

/// Verbs whose retained commands are remembered: more than there are verbs.
const RETAINED: usize = 16;

/// Where an answer goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Address {
    topic: String,
    correlation: Option<PublishProperties>,
}

/// Something that the guard was asked is over.
#[derive(Debug)]
pub(super) enum Done {
    Command { id: String, verb: Verb, answer: Response },
    Stops(Response),
    Note,
}

/// What the guard was asked.
#[derive(Debug, Default)]
pub(super) struct Requests {
    tasks: JoinSet<Done>,
    commands: usize,
    notes: usize,
    /// Refusals that were not handed on, because too many came.
    unnoted: u64,
    /// Ids of stops that the guard is carrying out; empty: none.
    stopping: Vec<String>,
    /// It is asked for one.
    stop_under_way: bool,
    /// Stops that came since. The one under way may have ended another session: they are asked for together, behind it.
    next_stops: VecDeque<String>,
    stop_wanted: bool,
}

impl Requests {
    /// The next that is over; pending or `None` while there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Done> {
        let done = self.tasks.join_next().await?.ok()?;
        match &done {
            Done::Command { .. } => self.commands = self.commands.saturating_sub(1),
            Done::Note => self.notes = self.notes.saturating_sub(1),
            Done::Stops(_) => self.stop_under_way = false,
        }
        Some(done)
    }

    fn begin(&mut self, calls: Caller, Command { id, verb }: Command, request: Request) {
        self.commands += 1;
        self.tasks.spawn(async move { Done::Command { id, verb, answer: calls.call(request).await } });
    }

    /// Asks for a stop, or for one more behind the one under way. Never refused.
    fn stop(&mut self, calls: &Caller, id: Option<String>) {
        self.stop_wanted = true;
        self.next_stops.extend(id);
        self.ask_to_stop(calls);
    }

    fn ask_to_stop(&mut self, calls: &Caller) {
        if self.stop_under_way || !self.stop_wanted {
            return;
        }
        (self.stop_under_way, self.stop_wanted) = (true, false);
        self.stopping = self.next_stops.drain(..).collect();
        let calls = calls.clone();
        self.tasks.spawn(async move { Done::Stops(calls.call(Request::Stop {}).await) });
    }

    /// Has the guard write down that a command was refused; what is too much is counted.
    fn note(&mut self, calls: &Caller, verb: String, why: String) {
        if self.notes >= NOTES {
            self.unnoted += 1;
            return;
        }
        self.notes += 1;
        let calls = calls.clone();
        self.tasks.spawn(async move {
            calls.call(Request::Refused { verb, why }).await;
            Done::Note
        });
    }
}

/// The answer to a command that was refused.
fn refusal(verb: String, Refused { id, why }: Refused) -> Reply {
    Reply { id, verb, ok: false, error: Some(why), diagnosis: None }
}

impl Agent<'_> {
    /// A command came.
    pub(super) fn command(&mut self, line: &mut Line, message: &Publish) {
        let topic = String::from_utf8_lossy(&message.topic).into_owned();
        // Longer words than any verb are cut: they go into the ledger, and into an answer.
        let word: String = topic.strip_prefix(&self.topic("cmd/")).unwrap_or(&topic).chars().take(64).collect();
        let now = clock::utc_now();
        let address = self.address(message);
        match self.judge.judge(clock::is_plausible(now).then_some(now), &word, message.retain, &message.payload) {
            Judged::New(command) => self.take(line, address, command),
            Judged::UnderWay(Command { id, .. }) => {
                let askers = self.askers.entry(id).or_default();
                if askers.len() < ASKERS && !askers.contains(&address) {
                    askers.push(address);
                }
            }
            Judged::Answered(reply) => self.answer(line, address, &reply, Urgency::Idle),
            Judged::Refused(refused) if message.retain && self.is_known_retained(&word, &message.payload) => {
                tracing::info!("the same retained command {word:?} came again: it is answered again");
                self.answer(line, address, &refusal(word, refused), Urgency::Idle);
            }
            Judged::Refused(refused) => self.refuse(line, address, word, refused),
            Judged::Cleared => drop(self.retained.remove(&word)),
        }
    }

    /// Whether this very retained command was refused before: the broker sends it at each connection.
    fn is_known_retained(&mut self, word: &str, payload: &[u8]) -> bool {
        if self.retained.len() >= RETAINED && !self.retained.contains_key(word) {
            return false;
        }
        let digest: [u8; 32] = Sha256::digest(payload).into();
        self.retained.insert(word.to_owned(), digest) == Some(digest)
    }

    fn refuse(&mut self, line: &mut Line, address: Address, word: String, refused: Refused) {
        tracing::warn!("command refused: {word:?}: {}", refused.why);
        self.requests.note(&self.guard.calls, word.clone(), refused.why.clone());
        self.answer(line, address, &refusal(word, refused), Urgency::Idle);
    }

    /// Carries out a command that may be, unless there is too much to do. A stop always is, whoever hears its answer.
    fn take(&mut self, line: &mut Line, address: Address, command: Command) {
        let word = command.verb.as_str();
        let request = match command.verb {
            Verb::Stop => {
                tracing::info!("command: {word}");
                let known = self.requests.next_stops.len() < STOPS;
                if known {
                    self.judge.begin(&command);
                    self.askers.insert(command.id.clone(), vec![address]);
                }
                return self.requests.stop(&self.guard.calls, known.then_some(command.id));
            }
            Verb::Diagnose => None,
            Verb::RequestStart => Some(Request::RequestStart {}),
            Verb::Mute => Some(Request::Mute {}),
            Verb::Unmute => Some(Request::Unmute {}),
            Verb::Identify => Some(Request::Identify {}),
        };
        let room = match command.verb {
            Verb::Mute => self.requests.commands < MUTES,
            Verb::Stop | Verb::Diagnose | Verb::RequestStart | Verb::Unmute | Verb::Identify => {
                self.requests.commands < COMMANDS && line.publisher.has_room_for(Urgency::Routine)
            }
        };
        if !room {
            // Its id is free for another attempt.
            let why = "too many commands at once: try it again".to_owned();
            return self.refuse(line, address, word.to_owned(), Refused { id: Some(command.id), why });
        }
        tracing::info!("command: {word}");
        self.judge.begin(&command);
        if let Some(request) = request {
            self.askers.insert(command.id.clone(), vec![address]);
            self.requests.begin(self.guard.calls.clone(), command, request);
            return;
        }
        let diagnosis = Some(self.diagnose());
        let id = Some(command.id.clone());
        let reply = Reply { id, verb: word.to_owned(), ok: true, error: None, diagnosis };
        self.judge.settle(&command.id, &reply);
        self.answer(line, address, &reply, Urgency::Routine);
    }

    /// The guard has answered.
    pub(super) fn done(&mut self, line: &mut Line, done: Done) {
        match done {
            Done::Command { id, verb, answer } => self.finish(line, &id, verb, answer, Urgency::Routine),
            Done::Stops(answer) => {
                for id in std::mem::take(&mut self.requests.stopping) {
                    self.finish(line, &id, Verb::Stop, answer.clone(), Urgency::Stop);
                }
                self.requests.ask_to_stop(&self.guard.calls);
            }
            Done::Note => {
                let unnoted = std::mem::take(&mut self.requests.unnoted);
                if unnoted > 0 {
                    let why = format!("{unnoted} more commands were refused");
                    self.requests.note(&self.guard.calls, String::new(), why);
                }
            }
        }
    }

    fn finish(&mut self, line: &mut Line, id: &str, verb: Verb, answer: Response, urgency: Urgency) {
        let (ok, error, judged) = match answer {
            Response::Done | Response::Probed(_) => (true, None, true),
            Response::Unwritten => (true, Some("done, and not yet written to the ledger".to_owned()), true),
            Response::Rejected(why) => (false, Some(why), true),
            Response::Unavailable(why) => (false, Some(why), false),
        };
        let reply = Reply { id: Some(id.to_owned()), verb: verb.as_str().to_owned(), ok, error, diagnosis: None };
        if judged {
            self.judge.settle(id, &reply);
            self.memory.store(&self.judge.answered());
        } else {
            self.judge.forget(id);
        }
        for address in self.askers.remove(id).unwrap_or_default() {
            self.answer(line, address, &reply, urgency);
        }
    }

    fn answer(&mut self, line: &mut Line, Address { topic, correlation }: Address, reply: &Reply, urgency: Urgency) {
        let kind = Kind::Reply(urgency);
        let sent = line.publisher.send(self.clock.now(), kind, topic, json(reply), correlation);
        match sent {
            Ok(()) => {}
            // Who asked too much, or before a connection was lost, asks again and gets the same answer.
            Err(Refusal::Full | Refusal::Lost) => {
                tracing::debug!("an answer to {:?} was not sent: too many wait", reply.verb);
            }
            Err(refusal @ (Refusal::TooLong { .. } | Refusal::Broker(_))) => {
                tracing::warn!("an answer to {:?} was not sent: {refusal}", reply.verb);
            }
        }
    }

    /// The response topic, if it can be published to and is outside of what boxes say and are told; else `reply`.
    fn address(&self, message: &Publish) -> Address {
        let properties = message.properties.as_ref();
        let wanted = properties.and_then(|properties| properties.response_topic.clone());
        let boxes = format!("{}/", self.mqtt.topic_prefix);
        let sane =
            |topic: &String| !topic.is_empty() && !topic.contains(['#', '+', '\0']) && !topic.starts_with(&boxes);
        let correlation = properties.and_then(|properties| properties.correlation_data.clone());
        Address {
            topic: wanted.filter(sane).unwrap_or_else(|| self.topic("reply")),
            correlation: correlation
                .map(|data| PublishProperties { correlation_data: Some(data), ..PublishProperties::default() }),
        }
    }

    fn diagnose(&self) -> Diagnosis {
        let seen = self.guard.seen.borrow();
        let status = seen.status();
        Diagnosis {
            software: VERSION_STRING,
            tls: self.mqtt.tls,
            unacknowledged_events: self.events.len(),
            acknowledged_event: self.outbox.acknowledged().map_or(0, |place| place.seq),
            status: status.map(State::from),
            faults: status.map(|status| status.faults.clone()).unwrap_or_default(),
            telemetry: telemetry::gather(self.config, status),
        }
    }
}
