//! How a policy that the platform signed takes effect.

use std::io;

use super::Engine;
use crate::guard::status;
use crate::ipc::{Fact, Rejection, Response};
use crate::judges::end_of_service::EndOfService;
use crate::judges::policy_in_force::PolicyInForce;
use crate::judges::policy_note::{Judgement, POLICY_NOTE, PolicyNote, judge};
use crate::ledger::LedgerState;
use crate::untrusted_file;
use consent::{Event, Phase};

impl Engine {
    /// The policy in force at the start.
    pub(super) fn restore_policy(&mut self, state: &LedgerState) {
        self.policy = PolicyInForce::restored(&self.config, state);
    }

    /// A power cut came between the file and the ledger's entry: the policy takes effect now.
    pub(super) fn adopt_stored_policy(&mut self) {
        if self.policy.note.is_some() {
            return;
        }
        if let Some(note) = PolicyNote::load(&self.config.device.data_dir, &self.config.trust)
            && let Err(why) = self.adopt_policy(note)
        {
            tracing::warn!("the stored policy does not count: {why}");
        }
    }

    /// A signed policy that lies beside the configuration, for a box that has no platform yet or that a visitor with a
    /// keyboard brings up to date. It is judged as any other; an older one changes nothing.
    pub(super) fn take_policy_file(&mut self) {
        let path = self.config.path.with_file_name(POLICY_NOTE);
        let note = match untrusted_file::read(&path, notes::MAX_BYTES as u64).map(String::from_utf8) {
            Ok(Ok(note)) => note,
            Ok(Err(_)) => return tracing::error!("{} is no text: write a signed note into it", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return tracing::error!("{} cannot be read: {error}", path.display()),
        };
        if let Response::Rejected(Rejection { why, .. }) | Response::Unavailable(Rejection { why, .. }) =
            self.receive_policy(&note)
        {
            tracing::warn!("{} does not count: {why}", path.display());
        }
    }

    /// A policy came: with a command, or as it is retained. The end of the service comes in the same ways.
    pub(super) fn receive_policy(&mut self, note: &str) -> Response {
        if EndOfService::is_one(note) {
            return self.receive_end_of_service(note);
        }
        if !self.is_restored || self.machine.is_unbound() {
            return Response::unavailable("the box has no ledger, or no shop: no policy is taken");
        }
        let note = match PolicyNote::verify(&self.config.trust, note) {
            Ok(note) => note,
            Err(error) => return Response::Rejected(error.into()),
        };
        match self.adopt_policy(note) {
            Ok(()) => Response::Done,
            Err(why) => Response::refused(why),
        }
    }

    /// The retained policy: the broker sends it at each connection, so that the same refusal is written down once.
    pub(super) fn receive_retained_policy(&mut self, note: &str) -> Response {
        let response = self.receive_policy(note);
        if let Response::Rejected(Rejection { why, .. }) = &response
            && self.policy.refused.as_ref() != Some(why)
        {
            tracing::warn!("the retained policy does not count: {why}");
            self.policy.refused = Some(why.clone());
            self.append_refusal(Fact::CommandRefused { verb: "policy".to_owned(), why: why.clone() });
        }
        response
    }

    /// Puts a policy whose signatures count into force: file, ledger, then effect.
    ///
    /// # Errors
    /// Why it does not take effect.
    pub(super) fn adopt_policy(&mut self, note: PolicyNote) -> Result<(), String> {
        let history = self.policy.history(self.machine.is_policy_pending());
        let (waits_for_staff, reasons) = match judge(&note, history) {
            Judgement::Known => return Ok(()),
            Judgement::Refuse(why) => return Err(why),
            Judgement::Adopt { waits_for_staff, reasons } => (waits_for_staff, reasons),
        };
        let (policy_version, material) = (note.document.version.clone(), note.document.material);
        note.store(&self.config.device.data_dir)
            .map_err(|error| format!("the policy cannot be kept: {error}; look at the disk's free space"))?;
        let keys = note.signers().to_vec();
        let fact = Fact::PolicyUpdated { policy_version, material, waits_for_staff, reasons, keys };
        let written = self.append_durably(fact);
        self.policy.adopt(note);
        self.messages.policy =
            status::policy_pending_message(self.policy.acknowledged.as_deref(), &self.policy.version);
        if waits_for_staff {
            tracing::warn!("{}", self.messages.policy);
            self.dispatch(Event::PolicyChanged);
        }
        self.dispatch_failure(written);
        if self.machine.phase() != Phase::Policy {
            tracing::info!("policy {} is in force", self.policy.version);
        }
        Ok(())
    }
}
