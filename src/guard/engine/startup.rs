//! What the guard writes down when it comes up.

use super::Engine;
use crate::clock;
use crate::config::Config;
use crate::guard::identity::{self, KeyChange};
use crate::ipc::{BoxIdentity, Fact, KeyAtRest, VERSION_STRING};
use crate::ledger::LedgerState;
use consent::{Event, SessionLimits};
use monotonic::Monotonic;

impl Engine {
    /// Reads the box's key, and writes its fingerprint down unless that is the `known` one. Consent does not depend on
    /// it: a box whose key is damaged logs that and goes on.
    pub(super) fn identify(&mut self, known: Option<&str>) -> Result<(), Event> {
        let (data_dir, id) = (&self.config.device.data_dir, self.config.device.id.as_deref());
        self.identity = match identity::read_or_make(data_dir, id, self.sealing.sealer()) {
            Ok(identity) => Some(identity),
            Err(error) => {
                tracing::error!("{error}");
                None
            }
        };
        self.sealing.restart(self.clock.now());
        self.look_at_key();
        match &self.identity {
            Some(BoxIdentity { fingerprint, .. }) if known != Some(fingerprint) => {
                // The log has another name from now on.
                self.ledger_writer.request_checkpoint();
                self.append(Fact::Identified { fingerprint: fingerprint.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Has the TPM open the key, or seal it, and goes on meanwhile.
    pub(super) fn tick_sealing(&mut self, now: Monotonic) {
        match self.sealing.poll(now) {
            None => return,
            // What could not be signed before.
            Some(KeyChange::Opened) => self.ledger_writer.request_checkpoint(),
            Some(KeyChange::AtRest) => {}
        }
        self.look_at_key();
        self.publish();
    }

    fn look_at_key(&mut self) {
        self.identity_at_rest = if self.sealing.has_failed() {
            Some(KeyAtRest::TpmFails)
        } else {
            identity::at_rest(&self.config.device.data_dir)
        };
    }
}

/// What the guard writes down when it comes up with this state of the ledger, in order.
pub(super) fn facts(config: &Config, policy_version: &str, state: &LedgerState) -> Vec<Fact> {
    let policy_version = policy_version.to_owned();
    let interrupted = state.open_session.map(|session| Fact::SessionInterrupted { session });
    let started = Fact::GuardStarted { software: VERSION_STRING.to_owned(), policy_version: policy_version.clone() };
    let now = clock::read();
    let stepped = state.time.stepped_back_from(&now).map(|from| Fact::ClockStepped { from, to: now.utc });
    let policy = if state.acknowledged.is_none() {
        Some(Fact::PolicyAcknowledged { policy_version })
    } else if state.policy_pending && state.noted_pending.is_none() && state.announced.as_ref() != Some(&policy_version)
    {
        Some(Fact::PolicyPending { policy_version })
    } else {
        None
    };
    let configured = (state.configuration.as_ref() != Some(&config.hash)).then(|| Fact::Configured {
        hash: config.hash.clone(),
        ingest_host: config.ingest.hosts(),
        broker_host: config.mqtt.as_ref().map(|mqtt| mqtt.host.to_string()),
    });
    interrupted.into_iter().chain([started]).chain(stepped).chain(policy).chain(configured).collect()
}

/// What differs from shop to shop.
pub(super) fn limits(config: &Config) -> SessionLimits {
    SessionLimits {
        max_session: config.consent.max_session,
        request_timeout: config.consent.request_timeout,
        reconnect_window: config.ingest.reconnect_window,
        minors_mode: config.consent.minors_mode,
    }
}
