//! Erasures: announced in the ledger before anything is deleted, finished after a power cut, and told with a receipt.

use super::Engine;
use crate::clock;
use crate::guard::erasure::Erased;
use crate::guard::receipt::{self, ReceiptContext};
use crate::ipc::{BoxIdentity, CredentialsReport, Erasure, ErasureReason, Fact, Response, Verb, steps};
use crate::judges::ReplySender;
use crate::ledger::LedgerState;
use consent::{Event, Reason};

/// What staff are asked before an unbinding.
const UNBIND: &str = "the platform asks to unbind the box";

/// Whether a question ended because something happened to the box, and not for want of an agreement.
fn is_change(reason: Reason) -> bool {
    matches!(reason, Reason::Fault(_) | Reason::Policy | Reason::Shutdown)
}

impl Engine {
    /// Ends the session, and erases once capture is gone. Answered with the receipt.
    pub(super) fn erase(&mut self, reason: Option<ErasureReason>, reply: ReplySender) {
        self.replies.add_erasure(reply);
        self.set_progress(Verb::Erase, steps::ERASURE);
        self.forget_session_settings();
        self.dispatch(Event::Revoke(Reason::Erase));
        let begun = self.begin_erasure(Erasure::Erase, reason);
        self.dispatch_failure(begun);
    }

    /// Asks staff to confirm an unbinding. Answered with the receipt, or when they decline or do not answer.
    pub(super) fn ask_to_unbind(&mut self, reply: ReplySender) {
        if self.replies.waits_for_unbind() {
            return self.answer(Response::refused("staff are asked already"), reply);
        }
        if let Err(why) = self.refusals.judge(&[UNBIND.to_owned()]) {
            let why = format!("{why}; staff can unbind it themselves, by a hold of 10 s");
            return self.answer(Response::refused(why), reply);
        }
        self.dispatch(Event::UnbindRequest);
        if !self.machine.asks_to_unbind() {
            let phase = self.machine.phase().as_str();
            let why = format!("staff are asked on an idle box, while nobody touches the button: the box is {phase}");
            return self.answer(Response::refused(why), reply);
        }
        self.replies.set_unbind(reply);
        self.set_progress(Verb::Unbind, steps::STAFF);
    }

    /// Answers an unbinding that staff did not confirm. Called after each event.
    pub(super) fn check_unbind_request(&mut self) {
        let is_over = self.erasure.due().is_some() || self.machine.is_unbound();
        if self.machine.asks_to_unbind() || is_over || !self.replies.waits_for_unbind() {
            return;
        }
        let reason = self.machine.last_reason();
        let why = match reason {
            Some(Reason::Declined) => "staff declined".to_owned(),
            Some(Reason::RequestTimeout) => "nobody confirmed it in time".to_owned(),
            other => format!("the question was withdrawn: {}", other.map_or("unknown", Reason::as_str)),
        };
        self.replies.refuse_unbind(&why);
        if !reason.is_some_and(is_change) {
            let noted = self.note_refusal(&[UNBIND.to_owned()]);
            self.dispatch_failure(noted);
        }
    }

    /// Announces an erasure and begins it, unless capture may exist: then it begins when that is gone.
    pub(super) fn begin_erasure(&mut self, what: Erasure, reason: Option<ErasureReason>) -> Result<(), Event> {
        // One that was left over is not this one's receipt; that of one that is under way is.
        if self.erasure.due().is_none() {
            receipt::discard(&self.config.device.data_dir);
        }
        self.erasure.add(what, reason);
        self.run_erasure()
    }

    /// Deletes what is pending. What fails stays pending, and is tried again.
    pub(super) fn run_erasure(&mut self) -> Result<(), Event> {
        let is_announced = self.announce_erasure()?;
        let device = &self.config.device;
        let own_name = self.identity.as_ref().map(BoxIdentity::device_id);
        let context = ReceiptContext {
            id: device.id.as_deref(),
            name: device.id.as_deref().or(own_name.as_deref()).unwrap_or_default(),
            ledger_retention: self.config.privacy.ledger_retention,
            at: clock::utc_now(),
            configuration: &self.config.hash,
            has_helper: self.has_credentials_helper,
            now: self.clock.now(),
            sealer: self.sealing.sealer(),
        };
        let is_due = is_announced && !self.machine.phase().may_capture();
        if is_due && matches!(self.erasure.due(), Some((Erasure::Unbind | Erasure::EndOfService, _))) {
            self.updates.forget_package();
        }
        let Erased { facts, error } = self.erasure.run(&device.data_dir, &context, is_due);
        if let Some(error) = error.as_ref().filter(|error| self.messages.erasure.as_ref() != Some(*error)) {
            tracing::error!("{error}");
        }
        self.messages.erasure = error;
        facts.into_iter().map(|fact| self.append_erased(fact)).fold(Ok(()), Result::and)
    }

    /// Whether the ledger has the announcement of the erasure that is due: nothing is deleted without an entry.
    fn announce_erasure(&mut self) -> Result<bool, Event> {
        match self.erasure.due() {
            None => Ok(false),
            Some((_, Some(fact))) => Ok(self.ledger_writer.is_written(fact)),
            Some((what, None)) => {
                let before = self.ledger_writer.submitted();
                let written = self.append_durably(Fact::ErasureStarted { what, reason: self.erasure.reason() });
                let submitted = self.ledger_writer.submitted();
                if submitted > before {
                    self.erasure.set_announced(submitted);
                }
                written.map(|()| true)
            }
        }
    }

    /// The helper that runs as root deleted what it could of the credentials under `/etc`.
    pub(super) fn confirm_credentials(&mut self, report: CredentialsReport) -> Response {
        if !self.erasure.confirm_credentials(report) {
            return Response::refused("nobody waits for that: the request was withdrawn");
        }
        let erased = self.run_erasure();
        self.dispatch_failure(erased);
        Response::Done
    }

    fn append_erased(&mut self, fact: Fact) -> Result<(), Event> {
        let is_unbound = matches!(fact, Fact::Unbound { .. } | Fact::ServiceEnded { .. });
        self.footage_marks.destroy(None);
        self.look_for_footage();
        if let Fact::Unbound { receipt, .. } | Fact::ServiceEnded { receipt, .. } | Fact::Erased { receipt, .. } = &fact
        {
            self.receipt.clone_from(receipt);
        }
        let written = self.append(fact);
        self.replies.finish_erasures(self.clock.now(), is_unbound, self.receipt.as_ref(), &self.ledger_writer);
        if self.ledger_writer.is_written(self.ledger_writer.submitted()) {
            receipt::discard(&self.config.device.data_dir);
        }
        if !is_unbound {
            return written;
        }
        self.sealing.sealer().forget();
        // The signed policy was the former shop's.
        self.policy.forget_note(&self.config);
        // Whoever binds the box next gets a box with another key.
        let identified = self.identify(None);
        written.and(identified)
    }

    /// Finishes what a power cut interrupted, before anything else is written.
    pub(super) fn resume_erasure(&mut self, state: &mut LedgerState) -> Result<(), Event> {
        self.receipt.clone_from(&state.receipt);
        self.service_end.clone_from(&state.service_end);
        let Some(what) = state.erasing else {
            receipt::discard(&self.config.device.data_dir);
            return Ok(());
        };
        tracing::warn!("an erasure ({}) was interrupted: it goes on", what.as_str());
        self.erasure.resume(what, state.erasing_reason);
        let result = self.run_erasure();
        if self.erasure.due().is_none() {
            (state.erasing, state.erasing_reason) = (None, None);
            match what {
                Erasure::Erase => {}
                Erasure::Unbind | Erasure::EndOfService => {
                    state.set_unbound();
                    state.identity = self.identity.as_ref().map(|identity| identity.fingerprint.clone());
                }
            }
        }
        result
    }
}
