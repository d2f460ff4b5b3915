//! What happens to the box itself, and on its network: written down, and told to people.

use super::Engine;
use crate::clock::ClockReading;
use crate::ipc::{Connector, Fact, Incident, LedgerCheck, NetworkReport, Response};
use consent::{Event, Fault};
use monotonic::Monotonic;

impl Engine {
    /// Takes what the agent tells of its connections.
    pub(super) fn take_network_report(&mut self, report: NetworkReport) -> Response {
        match report {
            NetworkReport::BrokerConnected {} => self.broker_log.report(Fact::BrokerConnected {}),
            NetworkReport::BrokerLost { reason } => self.broker_log.report(Fact::BrokerLost { reason }),
            NetworkReport::BrokerRefused { reason } => self.broker_log.report(Fact::BrokerRefused { reason }),
            NetworkReport::DestinationRefused { host, why } => {
                let written = self.append(Fact::DestinationRefused { by: Connector::Agent, host, why });
                self.dispatch_failure(written);
            }
        }
        self.append_broker_facts(self.clock.now());
        Response::Done
    }

    /// Writes what may be written of the broker by now.
    pub(super) fn append_broker_facts(&mut self, now: Monotonic) {
        if let Some(fact) = self.broker_log.due(now) {
            let written = self.append(fact);
            self.dispatch_failure(written);
        }
    }

    /// Looks after the box itself. Called each second.
    pub(super) fn watch(&mut self, now: Monotonic, reading: &ClockReading) {
        self.watch_ledger();
        // What is wrong beside the ledger is looked at once it is known what was wrong before.
        if !self.is_restored {
            return;
        }
        self.watch_case();
        if let Some(found) = self.incidents.programs.poll(now) {
            self.judge(Incident::ProgramChanged, found.programs());
            self.judge(Incident::UnitChanged, found.units());
        }
        if let Some(from) = self.incidents.rolled_back_from(reading) {
            self.detect(Incident::ClockRolledBack, format!("the clock went back from {from} to {}", reading.utc));
        }
        let seen = self.incidents.expire(now);
        self.append_all(seen);
        self.show_notice(now);
    }

    /// A ledger that cannot be trusted is told by the status, and by an entry once one can be written again.
    fn watch_ledger(&mut self) {
        if self.ledger_writer.check() == LedgerCheck::Bad {
            let what = self.ledger_writer.error().unwrap_or_default();
            self.detect(Incident::LedgerMismatch, what);
        } else if self.is_restored && self.ledger_writer.is_healthy() {
            self.clear(Incident::LedgerMismatch);
        }
    }

    /// Looks at the case's switch: also before a touch of a button counts.
    pub(super) fn watch_case(&mut self) {
        match self.panel.is_case_open() {
            Ok(true) => self.detect(Incident::CaseOpened, Incident::CaseOpened.english().happened.to_owned()),
            Ok(false) => self.clear(Incident::CaseOpened),
            // The panel has a fault of its own then.
            Err(_) => {}
        }
    }

    fn judge(&mut self, incident: Incident, found: Option<String>) {
        match found {
            Some(what) => self.detect(incident, what),
            None => self.clear(incident),
        }
    }

    /// Takes up the incidents that the ledger has as not over.
    pub(super) fn restore_incidents(&mut self, state: &crate::ledger::LedgerState) {
        self.incidents.restore(self.clock.now(), &state.incidents, state.time.synchronised_at());
        if self.incidents.is_tampered() {
            self.dispatch(Event::FaultDetected(Fault::Tamper));
        }
        if let Some(what) = self.ledger_writer.former_mismatch() {
            self.detect(Incident::LedgerMismatch, what);
        }
        // A case that was opened while the box was off.
        self.watch_case();
    }

    /// Writes an incident down, once, and ends what it ends.
    pub(super) fn detect(&mut self, incident: Incident, what: String) {
        let Some(fact) = self.incidents.detect(self.clock.now(), incident, what) else { return };
        let written = self.append(fact);
        self.dispatch_failure(written);
        if incident.is_tampering() {
            self.dispatch(Event::FaultDetected(Fault::Tamper));
        }
        self.publish();
    }

    fn clear(&mut self, incident: Incident) {
        if let Some(fact) = self.incidents.clear(incident) {
            self.append_all([fact]);
        }
    }

    /// Somebody touched a button: they have seen the lamp.
    pub(super) fn notice_seen(&mut self) {
        let seen = self.incidents.seen();
        self.append_all(seen);
        self.show_notice(self.clock.now());
    }

    fn show_notice(&mut self, now: Monotonic) {
        if self.panel.set_notice(now, self.incidents.has_notice()).is_err() {
            self.dispatch(Event::FaultDetected(Fault::Lamp));
        }
    }

    fn append_all(&mut self, facts: impl IntoIterator<Item = Fact>) {
        for fact in facts {
            let written = self.append(fact);
            self.dispatch_failure(written);
            self.publish();
        }
    }
}
