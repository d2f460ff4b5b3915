//! The platform's commands, from the broker's message to the answer.

use rumqttc::mqttbytes::v5::{Publish, PublishProperties};
use sha2::{Digest, Sha256};

use super::admission;
use super::context::{Agent, BrokerConnection};
use super::messages::{Diagnosis, Reply, json};
use super::publisher::{Kind, Refusal, Urgency};
use super::requests::{Done, ReplyTo};
use super::state::State;
use super::telemetry;
use super::validator::{Command, Rejection, Verdict};
use crate::clock;
use crate::ipc::{Request, Response, VERSION_STRING, Verb};

/// Addresses that one command is answered at, if it comes again while it is carried out.
const MAX_REPLY_ADDRESSES: usize = 4;
/// Verbs whose retained commands are remembered: more than there are verbs.
const MAX_RETAINED: usize = 16;

/// The answer to a command that was refused.
fn refusal(verb: String, Rejection { id, why }: Rejection) -> Reply {
    Reply { id, verb, ok: false, error: Some(why), diagnosis: None }
}

impl Agent<'_> {
    /// A command came.
    pub(super) fn command(&mut self, line: &mut BrokerConnection, message: &Publish) {
        let topic = String::from_utf8_lossy(&message.topic).into_owned();
        // Longer words than any verb are cut: they go into the ledger, and into an answer.
        let word: String = topic.strip_prefix(&self.topic("cmd/")).unwrap_or(&topic).chars().take(64).collect();
        let now = clock::utc_now();
        let address = self.address(message);
        match self.validator.validate(clock::is_plausible(now).then_some(now), &word, message.retain, &message.payload)
        {
            Verdict::New(command) => self.take(line, address, command),
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

    fn refuse(&mut self, line: &mut BrokerConnection, address: ReplyTo, word: String, refused: Rejection) {
        tracing::warn!("command refused: {word:?}: {}", refused.why);
        self.requests.note(&self.guard.calls, word.clone(), refused.why.clone());
        self.answer(line, address, &refusal(word, refused), Urgency::Idle);
    }

    /// Carries out a command that may be, unless there is too much to do. A stop always is, whoever hears its answer.
    fn take(&mut self, line: &mut BrokerConnection, address: ReplyTo, command: Command) {
        let word = command.verb.as_str();
        let request = match command.verb {
            Verb::Stop => {
                tracing::info!("command: {word}");
                let known = admission::keeps_stop(self.requests.next_stops.len());
                if known {
                    self.validator.begin(&command);
                    self.reply_addresses.insert(command.id.clone(), vec![address]);
                }
                return self.requests.stop(&self.guard.calls, known.then_some(command.id));
            }
            Verb::Diagnose => None,
            Verb::RequestStart => Some(Request::RequestStart {}),
            Verb::Mute => Some(Request::Mute {}),
            Verb::Unmute => Some(Request::Unmute {}),
            Verb::Identify => Some(Request::Identify {}),
        };
        let can_answer = line.publisher.has_room_for(Urgency::Routine);
        if !admission::admits(command.verb, self.requests.commands, can_answer) {
            // Its id is free for another attempt.
            let why = "too many commands at once: try it again".to_owned();
            return self.refuse(line, address, word.to_owned(), Rejection { id: Some(command.id), why });
        }
        tracing::info!("command: {word}");
        self.validator.begin(&command);
        if let Some(request) = request {
            self.reply_addresses.insert(command.id.clone(), vec![address]);
            self.requests.begin(self.guard.calls.clone(), command, request);
            return;
        }
        let diagnosis = Some(self.diagnose());
        let id = Some(command.id.clone());
        let reply = Reply { id, verb: word.to_owned(), ok: true, error: None, diagnosis };
        self.validator.settle(&command.id, &reply);
        self.answer(line, address, &reply, Urgency::Routine);
    }

    /// The guard has answered.
    pub(super) fn done(&mut self, line: &mut BrokerConnection, done: Done) {
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

    fn finish(&mut self, line: &mut BrokerConnection, id: &str, verb: Verb, answer: Response, urgency: Urgency) {
        let (ok, error, judged) = match answer {
            Response::Done | Response::Probed(_) => (true, None, true),
            Response::Unwritten => (true, Some("done, and not yet written to the ledger".to_owned()), true),
            Response::Rejected(why) => (false, Some(why), true),
            Response::Unavailable(why) => (false, Some(why), false),
        };
        let reply = Reply { id: Some(id.to_owned()), verb: verb.as_str().to_owned(), ok, error, diagnosis: None };
        if judged {
            self.validator.settle(id, &reply);
            self.reply_store.store(&self.validator.answered());
        } else {
            self.validator.forget(id);
        }
        for address in self.reply_addresses.remove(id).unwrap_or_default() {
            self.answer(line, address, &reply, urgency);
        }
    }

    fn answer(
        &mut self,
        line: &mut BrokerConnection,
        ReplyTo { topic, correlation }: ReplyTo,
        reply: &Reply,
        urgency: Urgency,
    ) {
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
        let seen = self.guard.state.borrow();
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
