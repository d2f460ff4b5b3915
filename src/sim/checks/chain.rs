//! From the platform to the camera and back: a stop gets through, MQTT claims what is, each command is answered, and
//! nothing that the ledger has is lost.

use std::time::Duration;

use tokio::time::Instant;

use super::super::broker::History;
use super::super::operator::SentCommand;
use super::super::settings::{BASE, BOX_ID};
use super::super::truth::{Shared, Truth};
use super::end;
use super::wire::{self, Acknowledged};
use crate::agent::state::State;
use crate::ipc::{Fact, LedgerEntry, Phase, Status, StoredFact, Verb};

/// From the broker to the guard.
const WAY: Duration = Duration::from_millis(200);
/// A change is published within this: at most one in 500 ms.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// A stop was published: what captures is gone soon, while `holds`, which says that nothing came in between.
pub(in crate::sim) fn expect_stop(truth: &Shared, holds: impl Fn() -> bool + 'static) {
    end::expect_while(truth, WAY, "a stop over MQTT", holds);
}

/// Looks at the state that the broker has, where nothing is in its way.
pub(in crate::sim) fn look(truth: &mut Truth, retained: Option<Vec<u8>>) {
    let Some(status) = truth.status.clone() else { return };
    if truth.quiet() < TOLD_WITHIN || truth.guard_since.is_none() || status.unbound {
        return;
    }
    let state = wire::parsed(&retained.clone().unwrap_or_default());
    let phase: Option<Phase> = serde_json::from_value(state["phase"].clone()).ok();
    if truth.may_capture() && !phase.is_some_and(Phase::may_capture) {
        truth.violated(format_args!("chain: MQTT says {} while a capture exists", state["phase"]));
    }
    if truth.may_hear() && state["muted"] == true {
        truth.violated(format_args!("chain: MQTT says that it is muted, and people can be heard"));
    }
    if !retained.is_some_and(|retained| is_told(&retained, &status)) {
        truth.violated(format_args!("chain: MQTT says {state}, and the guard {}", status.phase.as_str()));
    }
}

/// Whether the state that was published is the guard's.
pub(in crate::sim) fn is_told(retained: &[u8], status: &Status) -> bool {
    wire::same_state(retained, &State::from(status))
}

/// Whether the platform has all entries that are its own: those from the last unbinding on.
pub(in crate::sim) fn has_all(acknowledged: &Acknowledged, entries: &[LedgerEntry]) -> bool {
    let Some(first) = entries.first() else { return true };
    let begin = entries.iter().rev().find(|entry| wire::ends_binding(&entry.fact)).map_or(1, |entry| entry.seq);
    acknowledged.has_all(&first.hash, begin..=entries.len() as u64)
}

/// What is left of a schedule.
pub(in crate::sim) struct Chain<'a> {
    pub(in crate::sim) history: &'a History,
    pub(in crate::sim) sent: &'a [SentCommand],
    /// The first command that was sent when all was well again.
    pub(in crate::sim) first_calm: Option<usize>,
    pub(in crate::sim) entries: &'a [LedgerEntry],
}

impl Chain<'_> {
    /// What is wrong, a sentence each.
    pub(in crate::sim) fn problems(&self, truth: &Truth) -> Vec<String> {
        let mut problems = Vec::new();
        wire::protocol(self.history, &mut problems);
        let ledger = self.entries.first().map(|entry| entry.hash.clone()).unwrap_or_default();
        let known = self.entries.iter().map(|entry| (wire::event_id(BOX_ID, &ledger, entry.seq), entry.clone()));
        wire::events(self.history, BASE, &known.collect(), &mut problems);
        let is_done = |sent: &SentCommand, by, is_written| self.is_done(truth, sent, by, is_written);
        wire::answers(self.history, self.sent, self.first_calm, is_done, &mut problems);
        problems
    }

    /// Whether a command that was answered as done has been: a stop left nothing that captured before it, and what was
    /// signed stands in the ledger, unless the answer says that it does not yet: power may have failed before it did.
    fn is_done(&self, truth: &Truth, sent: &SentCommand, by: Instant, is_written: bool) -> bool {
        // One that comes again has the answer that it had.
        if sent.verb == Verb::Stop && !self.came_before(sent) {
            let (asked, answered) = (truth.since(sent.at), truth.since(by));
            return truth.captures.iter().all(|capture| {
                let was_there = capture.told.is_some_and(|told| told < asked);
                !was_there || capture.gone.is_some_and(|gone| gone <= answered)
            });
        }
        let Some(signed) = &sent.signed else { return true };
        let is_it = |entry: &LedgerEntry| {
            let StoredFact::Known(Fact::Commanded { id, .. }) = &entry.fact else { return false };
            *id == signed.id
        };
        !is_written || [Verb::Stop, Verb::Mute].contains(&sent.verb) || self.entries.iter().any(is_it)
    }

    fn came_before(&self, sent: &SentCommand) -> bool {
        self.sent.iter().any(|other| other.number < sent.number && other.payload == sent.payload)
    }
}
