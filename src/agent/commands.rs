//! The platform's commands, from the broker's message to the answer.

use rumqttc::mqttbytes::v5::{Publish, PublishProperties};
use sha2::{Digest, Sha256};

use super::admission;
use super::context::{Agent, BrokerConnection};
use super::messages::{Answer, Diagnosis, Reply};
use super::publisher::{Kind, Refusal, Urgency};
use super::requests::{Done, ReplyTo};
use super::state::State;
use super::telemetry;
use super::validator::{Command, Refused, SignedMessage, Verdict};
use super::waiting_answers::WaitingAnswer;
use crate::clock;
use crate::ipc::{
    CommandProgress, Parameters, Rejection, ReplyCode, Request, Response, SignedPayload, StoredFact, VERSION_STRING,
    Verb, steps,
};

/// Addresses that one command is answered at, if it comes again while it is carried out.
const MAX_REPLY_ADDRESSES: usize = 4;
/// Verbs whose retained commands are remembered: more than there are verbs.
const MAX_RETAINED: usize = 16;

/// The answer to a command that was refused.
fn refusal(verb: String, Refused { id, rejection: Rejection { code, why } }: Refused) -> Reply {
    Reply { id, verb, ok: false, error: Some(why), code: Some(code), progress: None, receipt: None, diagnosis: None }
}

/// The answer to a command that the guard answered so, and whether it judged it.
fn reply_to(id: Option<String>, verb: Verb, answer: Response) -> (Reply, bool) {
    let mut receipt = None;
    let (ok, error, code, judged) = match answer {
        Response::Erased(signed) => {
            receipt = signed;
            (true, None, None, true)
        }
        // An installation that began is told as progress: the answer follows.
        Response::Done | Response::Probed(_) | Response::Installing { .. } => (true, None, None, true),
        Response::Unwritten => (true, Some("done, and not yet written to the ledger".to_owned()), None, true),
        Response::Rejected(Rejection { code, why }) => (false, Some(why), Some(code), true),
        Response::Unavailable(Rejection { code, why }) => (false, Some(why), Some(code), false),
    };
    let verb = verb.as_str().to_owned();
    (Reply { id, verb, ok, error, code, progress: None, receipt, diagnosis: None }, judged)
}

impl Agent<'_> {
    /// A command came.
    pub(super) fn command(&mut self, line: &mut BrokerConnection, message: &Publish) {
        let topic = String::from_utf8_lossy(&message.topic).into_owned();
        // Longer words than any verb are cut: they go into the ledger, and into an answer.
        let word: String = topic.strip_prefix(&self.topic("cmd/")).unwrap_or(&topic).chars().take(64).collect();
        let now = clock::utc_now();
        let address = self.address(message);
        let (now, has_trust) = (clock::is_plausible(now).then_some(now), !self.config.trust.is_empty());
        match self.validator.validate(now, &word, message.retain, &message.payload, has_trust) {
            Verdict::New(command) => self.take(line, address, command),
            Verdict::Signed(message) => self.take_signed(line, address, message),
            Verdict::UnderWay(Command { id, .. }) => {
                let reply_addresses = self.reply_addresses.entry(id).or_default();
                if reply_addresses.len() < MAX_REPLY_ADDRESSES && !reply_addresses.contains(&address) {
                    reply_addresses.push(address);
                }
            }
            Verdict::Answered(reply) => self.answer(line, address, &reply, Urgency::Idle),
            Verdict::Rejected(refused) if message.retain && self.is_known_retained(&word, &message.payload) => {
                tracing::info!("the same retained command {word:?} came again: it is answered again");
                self.answer(line, address, &refusal(word, refused), Urgency::Idle);
            }
            Verdict::Rejected(refused) => self.refuse(line, address, word, refused),
            Verdict::Cleared => drop(self.retained.remove(&word)),
        }
    }

    /// Whether this very retained command was refused before: the broker sends it at each connection.
    fn is_known_retained(&mut self, word: &str, payload: &[u8]) -> bool {
        if self.retained.len() >= MAX_RETAINED && !self.retained.contains_key(word) {
            return false;
        }
        let digest: [u8; 32] = Sha256::digest(payload).into();
        self.retained.insert(word.to_owned(), digest) == Some(digest)
    }

    fn refuse(&mut self, line: &mut BrokerConnection, address: ReplyTo, word: String, refused: Refused) {
        let why = refused.rejection.why.clone();
        tracing::warn!("command refused: {word:?}: {why}");
        self.requests.note(&self.guard.calls, word.clone(), why);
        self.answer(line, address, &refusal(word, refused), Urgency::Idle);
    }

    /// Carries out a command that may be, unless there is too much to do. A stop always is, whoever hears its answer.
    fn take(&mut self, line: &mut BrokerConnection, address: ReplyTo, command: Command) {
        let word = command.verb.as_str();
        let request = match command.parameters.clone() {
            Parameters::Stop => {
                tracing::info!("command: {word}");
                let known = admission::keeps_stop(self.requests.next_stops.len());
                if known {
                    self.validator.begin(&command);
                    self.reply_addresses.insert(command.id.clone(), vec![address]);
                }
                return self.requests.stop(&self.guard.calls, known.then_some(command.id));
            }
            Parameters::Diagnose => None,
            Parameters::RequestStart => Some(Request::RequestStart {}),
            Parameters::Mute => Some(Request::Mute {}),
            Parameters::Unmute => Some(Request::Unmute {}),
            Parameters::Identify => Some(Request::Identify {}),
            Parameters::SetVideo(wanted) => Some(Request::SetVideo(wanted)),
            // The validator lets none of these through without a signature.
            Parameters::SetIngest(_)
            | Parameters::SetPolicy(_)
            | Parameters::Update(_)
            | Parameters::Erase(_)
            | Parameters::Unbind => return,
        };
        if !self.admits(line, command.verb) {
            // Its id is free for another attempt.
            return self.refuse(line, address, word.to_owned(), too_many(Some(command.id)));
        }
        tracing::info!("command: {word}");
        self.validator.begin(&command);
        if let Some(request) = request {
            self.reply_addresses.insert(command.id.clone(), vec![address]);
            self.requests.begin(self.guard.calls.clone(), command, request);
            return;
        }
        let reply = self.diagnosed(reply_to(Some(command.id.clone()), command.verb, Response::Done).0);
        self.validator.settle(&command.id, &reply);
        self.answer(line, address, &reply, Urgency::Routine);
    }

    /// Hands a signed command to the guard, unless there is too much to do.
    fn take_signed(&mut self, line: &mut BrokerConnection, address: ReplyTo, message: SignedMessage) {
        if !self.admits(line, message.verb) {
            return self.refuse(line, address, message.verb.as_str().to_owned(), too_many(message.id));
        }
        tracing::info!("signed command: {}", message.verb.as_str());
        self.requests.begin_signed(self.guard.calls.clone(), address, message);
    }

    fn admits(&self, line: &BrokerConnection, verb: Verb) -> bool {
        admission::admits(verb, self.requests.commands, line.publisher.has_room_for(Urgency::Routine))
    }

    fn diagnosed(&self, reply: Reply) -> Reply {
        Reply { diagnosis: Some(self.diagnose()), ..reply }
    }

    /// The guard has answered, whether there is a broker to tell or not.
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Command { id, verb, answer } => self.finish(&id, verb, answer, Urgency::Routine),
            Done::Signed { address, id, verb, answer: Response::Installing { attempt } } => {
                self.due_answers.add(attempt, id.clone(), &address);
                let (reply, _) = reply_to(id, verb, Response::Done);
                let reply = Reply { progress: Some(steps::INSTALLATION.to_owned()), ..reply };
                self.answer_when_online(address, reply, Urgency::Routine);
            }
            Done::Signed { address, id, verb, answer } => {
                let (reply, _) = reply_to(id, verb, answer);
                let reply = if reply.ok && verb == Verb::Diagnose { self.diagnosed(reply) } else { reply };
                self.answer_when_online(address, reply, Urgency::Routine);
            }
            Done::Stops(answer) => {
                for id in std::mem::take(&mut self.requests.stopping) {
                    self.finish(&id, Verb::Stop, answer.clone(), Urgency::Stop);
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

    /// Tells whoever sent a long command what it waits for: each step, and again where one lasts.
    pub(super) fn send_progress(&mut self, line: &mut BrokerConnection) {
        let state = self.guard.state.borrow();
        let Some(step) = state.status().and_then(|status| status.command.clone()) else { return };
        drop(state);
        let Some(address) = self.requests.take_progress(&step, self.clock.now()) else { return };
        let CommandProgress { id, verb, progress } = step;
        let (reply, _) = reply_to(Some(id), verb, Response::Done);
        self.answer(line, address, &Reply { progress: Some(progress), ..reply }, Urgency::Routine);
    }

    /// Answers the command that began an update, if this entry tells its end.
    pub(super) fn tell_update_end(&mut self, fact: &StoredFact) {
        for (address, reply) in self.due_answers.take(fact) {
            self.answer_when_online(address, reply, Urgency::Routine);
        }
    }

    /// A policy came, as it is retained: the guard judges it.
    pub(super) fn policy(&mut self, message: &Publish) {
        if message.payload.is_empty() || message.payload.len() > notes::MAX_BYTES {
            return;
        }
        let note = SignedPayload(String::from_utf8_lossy(&message.payload).into_owned());
        self.policies.receive(&self.guard.calls, note);
    }

    fn finish(&mut self, id: &str, verb: Verb, answer: Response, urgency: Urgency) {
        let (reply, judged) = reply_to(Some(id.to_owned()), verb, answer);
        if judged {
            self.validator.settle(id, &reply);
            self.reply_store.store(&self.validator.answered());
        } else {
            self.validator.forget(id);
        }
        for address in self.reply_addresses.remove(id).unwrap_or_default() {
            self.answer_when_online(address, reply.clone(), urgency);
        }
    }

    fn answer_when_online(&mut self, to: ReplyTo, reply: Reply, urgency: Urgency) {
        self.waiting_answers.push(WaitingAnswer { to, reply, urgency });
    }

    /// Gives the answers that waited for this connection.
    pub(super) fn send_answers(&mut self, line: &mut BrokerConnection) {
        while let Some(WaitingAnswer { to, reply, urgency }) = self.waiting_answers.pop() {
            self.answer(line, to, &reply, urgency);
        }
    }

    fn answer(
        &mut self,
        line: &mut BrokerConnection,
        ReplyTo { topic, correlation }: ReplyTo,
        reply: &Reply,
        urgency: Urgency,
    ) {
        let state = self.state();
        let answer = Answer {
            reply: reply.clone(),
            epoch: state.as_ref().and_then(|state| state.epoch.clone()),
            uptime_s: state.as_ref().and_then(|state| state.uptime_s),
            state: state.filter(|_| reply.diagnosis.is_none()),
        };
        let (kind, now) = (Kind::Reply(urgency), self.clock.now());
        let short = Answer { state: None, ..answer.clone() };
        let sent = line.publisher.send(now, kind, topic.clone(), answer.into_json(), correlation.clone());
        let sent = match sent {
            // A broker that takes short packets only: what became of the command counts for more.
            Err(Refusal::TooLong { .. }) => line.publisher.send(now, kind, topic, short.into_json(), correlation),
            sent => sent,
        };
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
    fn address(&self, message: &Publish) -> ReplyTo {
        let properties = message.properties.as_ref();
        let wanted = properties.and_then(|properties| properties.response_topic.clone());
        let boxes = format!("{}/", self.mqtt.topic_prefix);
        let sane =
            |topic: &String| !topic.is_empty() && !topic.contains(['#', '+', '\0']) && !topic.starts_with(&boxes);
        let correlation = properties.and_then(|properties| properties.correlation_data.clone());
        ReplyTo {
            topic: wanted.filter(sane).unwrap_or_else(|| self.topic("reply")),
            correlation: correlation
                .map(|data| PublishProperties { correlation_data: Some(data), ..PublishProperties::default() }),
        }
    }

    fn diagnose(&self) -> Diagnosis {
        let status = self.guard.present_status();
        Diagnosis {
            software: VERSION_STRING,
            tls: self.mqtt.tls,
            unacknowledged_events: self.events.len(),
            acknowledged_event: self.outbox.acknowledged().map_or(0, |place| place.seq),
            status: status.as_ref().map(State::from),
            faults: status.as_ref().map(|status| status.faults.clone()).unwrap_or_default(),
            telemetry: telemetry::gather(self.config, status.as_ref()),
        }
    }
}

fn too_many(id: Option<String>) -> Refused {
    Refused { id, rejection: Rejection::new(ReplyCode::Busy, "too many commands at once: try it again") }
}
