//! What the guard is asked for the platform's commands. It outlives the connection that a command came on.

use std::collections::VecDeque;
use std::time::Duration;

use monotonic::Monotonic;
use rumqttc::mqttbytes::v5::PublishProperties;
use tokio::task::JoinSet;

use super::guard_client::GuardClient;
use super::validator::{Command, SignedMessage};
use crate::ipc::{CommandProgress, Request, Response, Verb};

/// Refusals that are handed to the guard at once; with the commands of `admission` they leave it room for a stop.
const MAX_REFUSAL_NOTES: usize = 3;

/// How often a step that lasts is told: whoever waits knows that the box is there.
const PROGRESS_INTERVAL: Duration = Duration::from_mins(10);
/// Replies with progress that one command gets at most: a day of steps that last, and some sessions in between.
const MAX_PROGRESS: usize = 200;

/// Where an answer goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReplyTo {
    pub(super) topic: String,
    pub(super) correlation: Option<PublishProperties>,
}

/// Something that the guard was asked is over.
#[derive(Debug)]
pub(super) enum Done {
    Command {
        id: String,
        verb: Verb,
        answer: Response,
    },
    /// Signed: where its answer goes is known here only.
    Signed {
        address: ReplyTo,
        id: Option<String>,
        verb: Verb,
        answer: Response,
    },
    Stops(Response),
    Note,
}

/// A command that takes its time.
#[derive(Debug)]
struct LongCommand {
    id: String,
    address: ReplyTo,
    /// The step that was told last, and when.
    told: Option<(String, Monotonic)>,
    /// How many were told.
    count: usize,
}

/// What the guard was asked.
#[derive(Debug, Default)]
pub(super) struct Requests {
    tasks: JoinSet<Done>,
    pub(super) commands: usize,
    long: Vec<LongCommand>,
    notes: usize,
    /// Refusals that were not handed on, because too many came.
    pub(super) unnoted: u64,
    /// Ids of stops that the guard is carrying out; empty: none.
    pub(super) stopping: Vec<String>,
    /// It is asked for one.
    stop_under_way: bool,
    /// Stops that came since. The one under way may have ended another session: they are asked for together, behind it.
    pub(super) next_stops: VecDeque<String>,
    stop_wanted: bool,
}

impl Requests {
    /// The next that is over; pending or `None` while there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Done> {
        let done = self.tasks.join_next().await?.ok()?;
        match &done {
            Done::Command { .. } => self.commands = self.commands.saturating_sub(1),
            Done::Signed { id, .. } => {
                self.commands = self.commands.saturating_sub(1);
                self.long.retain(|long| Some(&long.id) != id.as_ref());
            }
            Done::Note => self.notes = self.notes.saturating_sub(1),
            Done::Stops(_) => self.stop_under_way = false,
        }
        Some(done)
    }

    pub(super) fn begin(&mut self, calls: GuardClient, Command { id, verb, .. }: Command, request: Request) {
        self.commands += 1;
        self.tasks.spawn(async move { Done::Command { id, verb, answer: calls.call(request).await } });
    }

    /// Has the guard judge a signed command, and carry it out.
    pub(super) fn begin_signed(&mut self, calls: GuardClient, address: ReplyTo, message: SignedMessage) {
        let SignedMessage { id, verb, payload } = message;
        if let Some(id) = id.clone().filter(|_| verb.row().is_long()) {
            self.long.push(LongCommand { id, address: address.clone(), told: None, count: 0 });
        }
        let request = Request::Command { verb: verb.as_str().to_owned(), payload };
        self.commands += 1;
        self.tasks.spawn(async move { Done::Signed { address, id, verb, answer: calls.call(request).await } });
    }

    /// Where a step of a long command is told, if it was not yet, or not for long.
    pub(super) fn take_progress(&mut self, step: &CommandProgress, now: Monotonic) -> Option<ReplyTo> {
        let long = self.long.iter_mut().find(|long| long.id == step.id)?;
        let is_known =
            |(told, at): &(String, Monotonic)| *told == step.progress && now.duration_since(*at) < PROGRESS_INTERVAL;
        if long.told.as_ref().is_some_and(is_known) || long.count >= MAX_PROGRESS {
            return None;
        }
        long.told = Some((step.progress.clone(), now));
        long.count += 1;
        Some(long.address.clone())
    }

    /// Asks for a stop, or for one more behind the one under way. Never refused.
    pub(super) fn stop(&mut self, calls: &GuardClient, id: Option<String>) {
        self.stop_wanted = true;
        self.next_stops.extend(id);
        self.ask_to_stop(calls);
    }

    pub(super) fn ask_to_stop(&mut self, calls: &GuardClient) {
        if self.stop_under_way || !self.stop_wanted {
            return;
        }
        (self.stop_under_way, self.stop_wanted) = (true, false);
        self.stopping = self.next_stops.drain(..).collect();
        let calls = calls.clone();
        self.tasks.spawn(async move { Done::Stops(calls.call(Request::Stop {}).await) });
    }

    /// Has the guard write down that a command was refused; what is too much is counted.
    pub(super) fn note(&mut self, calls: &GuardClient, verb: String, why: String) {
        if self.notes >= MAX_REFUSAL_NOTES {
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
