//! How the platform's service ends at this box, as a signed note says.

use super::Engine;
use crate::ipc::{Fact, Response};
use crate::judges::ReplySender;
use crate::judges::end_of_service::EndOfService;
use crate::ledger::ServiceEnd;
use consent::{Event, Reason};

impl Engine {
    /// `set-policy` brought a note: a policy, or the end of the service, which is answered with the receipt.
    pub(super) fn set_policy(&mut self, note: &str, reply: ReplySender) {
        if !EndOfService::is_one(note) {
            let response = self.receive_policy(note);
            return self.answer(response, reply);
        }
        match self.judge_end_of_service(note) {
            Ok(end) => {
                self.replies.add_erasure(reply);
                self.end_service(end);
            }
            Err(response) => self.answer(response, reply),
        }
    }

    /// The same for a note that nobody waits for.
    pub(super) fn receive_end_of_service(&mut self, note: &str) -> Response {
        match self.judge_end_of_service(note) {
            Ok(end) => {
                self.end_service(end);
                Response::Done
            }
            Err(response) => response,
        }
    }

    fn judge_end_of_service(&self, note: &str) -> Result<EndOfService, Response> {
        if !self.is_restored || self.machine.is_unbound() {
            return Err(Response::unavailable("the box has no ledger, or no shop: there is no service to end"));
        }
        let former = self.service_end.as_ref().map(|end| end.digest.as_str());
        EndOfService::verify(&self.config.trust, note, self.box_id().as_deref(), former).map_err(Response::Rejected)
    }

    /// What is captured ends first, then the ledger has the note, then all is deleted that may be. A ledger that cannot
    /// be written holds the deletion up, and nothing else.
    fn end_service(&mut self, end: EndOfService) {
        tracing::warn!("the platform's service has ended, as {} signed", end.signers.join(", "));
        self.dispatch(Event::Revoke(Reason::EndOfService));
        let EndOfService { document, digest, signers } = end;
        let (contacts, answer_days) = (document.contacts, document.answer_days.map(u32::from));
        let fact = Fact::EndOfServiceReceived {
            digest: digest.clone(),
            keys: signers,
            contacts: contacts.clone(),
            answer_days,
        };
        let written = self.append_durably(fact);
        self.service_end = Some(ServiceEnd { digest, contacts, answer_days, in_force: true });
        self.forget_session_settings();
        self.dispatch(Event::EndService);
        self.dispatch_failure(written);
    }
}
