//! Answers to `update` that are due when the update has ended: guard and agent are started anew in between, so they are
//! kept in a file.

use std::path::{Path, PathBuf};

use rumqttc::mqttbytes::v5::PublishProperties;
use serde::{Deserialize, Serialize};

use super::messages::Reply;
use super::requests::ReplyTo;
use crate::atomic_file::{self, BY_UMASK, Durability};
use crate::ipc::{Fact, ReplyCode, StoredFact, Verb};
use crate::untrusted_file;

/// In the agent's folder.
const FILE: &str = "due-answers";
/// Addresses that one attempt is answered at: the same command may come by several ways.
const MAX_ANSWERS: usize = 4;
/// Longest file that is read, in bytes: an address has 64 KiB of correlation data at most, each byte of which takes up
/// to four here.
const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// An answer that is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DueAnswer {
    /// The guard's name for the attempt.
    pub(crate) attempt: String,
    pub(crate) id: Option<String>,
    pub(crate) topic: String,
    pub(crate) correlation: Option<Vec<u8>>,
}

/// Those that are due.
#[derive(Debug)]
pub(super) struct DueAnswers {
    path: PathBuf,
    due: Vec<DueAnswer>,
}

impl DueAnswers {
    /// What was due before; nothing where it cannot be read: the event tells how the update ended, too.
    pub(super) fn load(agent_dir: &Path) -> Self {
        let path = agent_dir.join(FILE);
        let read = untrusted_file::read(&path, MAX_BYTES).ok();
        let due = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { path, due }
    }

    /// The attempt has begun: its end is to be told there.
    pub(super) fn add(&mut self, attempt: String, id: Option<String>, to: &ReplyTo) {
        // One attempt at a time: another one has ended, whatever was heard of it.
        self.due.retain(|known| known.attempt == attempt);
        let correlation = to.correlation.as_ref().and_then(|properties| properties.correlation_data.as_ref());
        let answer =
            DueAnswer { attempt, id, topic: to.topic.clone(), correlation: correlation.map(|data| data.to_vec()) };
        if self.due.len() < MAX_ANSWERS && !self.due.contains(&answer) {
            self.due.push(answer);
            self.store();
        }
    }

    /// What a ledger entry answers, and where.
    pub(super) fn take(&mut self, fact: &StoredFact) -> Vec<(ReplyTo, Reply)> {
        let (attempt, error, code) = match fact {
            StoredFact::Known(Fact::UpdateSucceeded { attempt, .. }) => (attempt, None, None),
            StoredFact::Known(Fact::UpdateFailed { attempt, why, again, .. }) => {
                let code = if *again { ReplyCode::Unavailable } else { ReplyCode::Failed };
                (attempt, Some(why.clone()), Some(code))
            }
            StoredFact::Known(_) | StoredFact::Unknown(_) => return Vec::new(),
        };
        let (ended, due) = std::mem::take(&mut self.due).into_iter().partition(|known| known.attempt == *attempt);
        self.due = due;
        let ended: Vec<DueAnswer> = ended;
        if !ended.is_empty() {
            self.store();
        }
        let answer = |DueAnswer { attempt: _, id, topic, correlation }| {
            let properties = |data: Vec<u8>| PublishProperties {
                correlation_data: Some(data.into()),
                ..PublishProperties::default()
            };
            let reply = Reply {
                id,
                verb: Verb::Update.as_str().to_owned(),
                ok: error.is_none(),
                error: error.clone(),
                code,
                progress: None,
                receipt: None,
                diagnosis: None,
            };
            (ReplyTo { topic, correlation: correlation.map(properties) }, reply)
        };
        ended.into_iter().map(answer).collect()
    }

    /// The box was unbound.
    pub(super) fn forget(&mut self) {
        self.due.clear();
        self.store();
    }

    fn store(&self) {
        let written = if self.due.is_empty() {
            atomic_file::remove(&self.path)
        } else {
            serde_json::to_vec(&self.due)
                .map_err(Into::into)
                .and_then(|json| atomic_file::replace(&self.path, &json, BY_UMASK, Durability::Synced))
        };
        if let Err(error) = written {
            tracing::error!("{}: {error}: the end of the update is told by its event only", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::power::{Possible, Run, Scenario};

    fn to(topic: &str, correlation: Option<&'static [u8]>) -> ReplyTo {
        let properties = |data: &'static [u8]| PublishProperties {
            correlation_data: Some(data.into()),
            ..PublishProperties::default()
        };
        ReplyTo { topic: topic.to_owned(), correlation: correlation.map(properties) }
    }

    fn ended(attempt: &str, failed: Option<bool>) -> StoredFact {
        let (version, attempt) = ("0.2.0-1".to_owned(), attempt.to_owned());
        StoredFact::Known(match failed {
            None => Fact::UpdateSucceeded { version, attempt },
            Some(again) => Fact::UpdateFailed { version, attempt, why: "not well".to_owned(), again },
        })
    }

    #[test]
    fn a_power_cut_takes_no_answer_that_is_due_and_brings_none_back() {
        let dir = Path::new("/data");
        let work = |run: &mut Run<Possible<Vec<DueAnswer>>>| {
            for attempt in ["one", "two", "three"] {
                let mut due = DueAnswers::load(dir);
                let (topic, id) = ("answers".to_owned(), Some("c".repeat(600)));
                let attempt = attempt.to_owned();
                let answer = DueAnswer { attempt: attempt.clone(), id: id.clone(), topic, correlation: None };
                run.note(|known| known.attempt(vec![answer]));
                due.add(attempt.clone(), id, &to("answers", None));
                run.note(|known| {
                    known.settle();
                    known.attempt(Vec::new());
                });
                drop(due.take(&ended(&attempt, None)));
                run.note(Possible::settle);
            }
        };
        let judge = |known: &Possible<_>| known.admit(&DueAnswers::load(dir).due);
        Scenario { name: "due answers", capacity: None, prepare: &|| {}, work: &work, recover: &|_| {}, judge: &judge }
            .try_all(1);
    }

    #[test]
    fn an_answer_that_is_due_outlives_the_agent_and_is_given_once() {
        let dir = tempfile::tempdir().unwrap();
        for (failed, code) in
            [(None, None), (Some(false), Some(ReplyCode::Failed)), (Some(true), Some(ReplyCode::Unavailable))]
        {
            let mut due = DueAnswers::load(dir.path());
            // One of which nothing more was heard, the one that counts by two ways, and one of those again.
            due.add("former".to_owned(), None, &to("answers", None));
            let (by_topic, by_reply) = (to("answers", Some(b"\x00\xff")), to("tallybox/v1/shop/reply", None));
            for address in [&by_topic, &by_reply, &by_topic] {
                due.add("attempt".to_owned(), Some("c1".to_owned()), address);
            }
            let mut due = DueAnswers::load(dir.path());
            assert_eq!(due.take(&ended("former", failed)), []);
            let answers = due.take(&ended("attempt", failed));
            assert_eq!(answers.iter().map(|(to, _)| to).collect::<Vec<_>>(), [&by_topic, &by_reply]);
            let reply = &answers[0].1;
            assert_eq!((reply.id.as_deref(), reply.ok, reply.code), (Some("c1"), failed.is_none(), code));
            assert_eq!(DueAnswers::load(dir.path()).take(&ended("attempt", failed)), []);
        }
        // Damaged, it is nothing; and a box that was unbound owes nobody an answer.
        std::fs::write(dir.path().join(FILE), "[{").unwrap();
        let mut due = DueAnswers::load(dir.path());
        due.add("attempt".to_owned(), None, &to("answers", None));
        due.forget();
        assert_eq!(DueAnswers::load(dir.path()).take(&ended("attempt", None)), []);
        assert!(!dir.path().join(FILE).exists());
    }
}
