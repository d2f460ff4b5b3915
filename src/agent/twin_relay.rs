//! The desired configuration that waits for the guard's word: the newest document only, and one question at a time.

use std::time::Duration;

use monotonic::Monotonic;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::guard_client::GuardClient;
use crate::ipc::{ReportedConfig, Request, Response};

/// Longest payload that is handed on, in bytes: a note has at most half of it.
const MAX_NOTE: usize = 16 * 1024;
/// A guard that has no time for a document is asked again after this long.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// After a refusal it is not asked about the next one before this: whoever floods the topic keeps the guard idle.
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);

/// What waits for the guard or for the broker. It outlives connections.
#[derive(Debug, Default)]
pub(super) struct TwinRelay {
    /// The newest document that the guard has not judged.
    waiting: Option<String>,
    /// The guard is not asked before this.
    ask_at: Option<Monotonic>,
    tasks: JoinSet<(String, Response)>,
    /// The last message was an empty one, and the log has that.
    was_empty: bool,
    /// The answer is not published before this.
    pub(super) report_at: Option<Monotonic>,
}

/// The guard's word on a desired configuration.
pub(super) enum TwinEvent {
    /// It reports something new.
    Reported,
    /// It judged this document, or had no time.
    Answered(String, Response),
}

/// The next of them. Cancel-safe.
pub(super) async fn next_event(
    reported: &mut watch::Receiver<Option<ReportedConfig>>,
    relay: &mut TwinRelay,
) -> TwinEvent {
    tokio::select! {
        biased;
        (note, response) = relay.answered() => TwinEvent::Answered(note, response),
        Ok(()) = reported.changed() => TwinEvent::Reported,
    }
}

impl TwinRelay {
    /// A message on the topic. An empty one is how a retained message is deleted; nobody signed that, and it changes
    /// nothing.
    pub(super) fn receive(&mut self, payload: &[u8]) {
        if payload.is_empty() {
            if !std::mem::replace(&mut self.was_empty, true) {
                tracing::info!("the broker has no desired configuration any more: what is in force stays");
            }
            return;
        }
        self.was_empty = false;
        // What is longer is no note; the beginning is enough for the guard to say so.
        let note = String::from_utf8_lossy(&payload[..payload.len().min(MAX_NOTE)]).into_owned();
        self.waiting = Some(note);
    }

    /// Asks the guard about the newest document, unless it is being asked about one.
    pub(super) fn ask(&mut self, now: Monotonic, guard: &GuardClient) {
        if !self.tasks.is_empty() || self.ask_at.is_some_and(|at| now < at) {
            return;
        }
        if let Some(note) = self.waiting.take() {
            let guard = guard.clone();
            self.tasks.spawn(async move {
                let response = guard.call(Request::Desired { note: note.clone() }).await;
                (note, response)
            });
        }
    }

    /// The guard's next answer; pending while it is asked nothing. Cancel-safe.
    async fn answered(&mut self) -> (String, Response) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(answer)) => return answer,
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// What the guard reports carries the judgement; only one that was not made is asked for again.
    pub(super) fn on_answer(&mut self, now: Monotonic, note: String, response: Response) {
        match response {
            Response::Unavailable(rejection) => {
                tracing::info!("the desired configuration waits: {}", rejection.why);
                self.waiting.get_or_insert(note);
                self.ask_at = Some(now.saturating_add(RETRY_AFTER));
            }
            // The ledger and the report have it; in the log a flood of them would leave no room for anything else.
            Response::Rejected(rejection) => {
                tracing::debug!("the desired configuration is refused: {}", rejection.why);
                self.ask_at = Some(now.saturating_add(REFUSAL_PAUSE));
            }
            Response::Done
            | Response::Unwritten
            | Response::Probed(_)
            | Response::Erased(_)
            | Response::Installing { .. } => {}
        }
    }

    /// When the guard is asked again, if it is.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.ask_at.filter(|_| self.waiting.is_some() && self.tasks.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_document_waits_and_one_without_an_answer_is_asked_about_again() {
        let now = Monotonic::default();
        let mut relay = TwinRelay::default();
        for number in 0..10_000 {
            relay.receive(format!("document {number}").as_bytes());
        }
        relay.receive(b"");
        assert_eq!(relay.waiting.as_deref(), Some("document 9999"), "an empty message takes nothing back");
        let note = relay.waiting.take().unwrap();
        relay.on_answer(now, note, Response::unavailable("later"));
        assert_eq!(
            (relay.waiting.as_deref(), relay.due()),
            (Some("document 9999"), Some(now.saturating_add(RETRY_AFTER)))
        );
        // A newer one takes its place, and the older one does not come back.
        relay.receive(b"newer");
        assert_eq!(relay.due(), Some(now.saturating_add(RETRY_AFTER)));
        relay.on_answer(now, "document 9999".to_owned(), Response::unavailable("later"));
        assert_eq!(relay.waiting.as_deref(), Some("newer"));
        relay.receive(&vec![b'x'; 1 << 20]);
        assert_eq!(relay.waiting.unwrap().len(), MAX_NOTE);
    }
}
