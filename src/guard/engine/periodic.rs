//! What time brings: the machine's deadlines, the lamp's rhythm, and recurring work.

use super::Engine;
use crate::clock;
use crate::guard::periodic_tasks::PeriodicTasks;
use crate::ipc::Fact;
use crate::panel::PanelEvent;
use consent::{Event, Fault, Phase};
use monotonic::Monotonic;

impl Engine {
    pub(in crate::guard) fn on_panel_event(&mut self, event: PanelEvent) {
        let events = self.panel.on_event(self.clock.now(), event);
        self.take_touches(events);
    }

    /// Takes button levels that have held for long enough.
    pub(in crate::guard) fn poll_buttons(&mut self) {
        let events = self.panel.poll_debounced(self.clock.now());
        self.take_touches(events);
    }

    /// A touch may start a capture: not in a case that was opened since the last look.
    fn take_touches(&mut self, events: Vec<Event>) {
        if !events.is_empty() && self.is_restored {
            self.watch_case();
        }
        for event in events {
            self.dispatch(event);
        }
    }

    /// Called after each event, and at the latest at the earliest deadline.
    pub(in crate::guard) fn tick(&mut self, tasks: &mut PeriodicTasks) {
        let now = self.clock.now();
        self.dispatch(Event::Tick);
        self.advance_twin();
        self.check_session_settings();
        self.settle_commands();
        self.append_link_facts(now);
        self.append_broker_facts(now);
        if self.replies.deadline().is_some_and(|due| due <= now) {
            // A reply that waits no longer: with its deadline in the past the loop would not sleep.
            self.check_ledger();
        }
        let shown = self.panel.pattern();
        if self.panel.drive(now).is_err() {
            self.dispatch(Event::FaultDetected(Fault::Lamp));
        } else if self.panel.pattern() != shown {
            self.publish();
        }
        if !tasks.take_renewal(now) {
            return;
        }
        self.renew_lease();
        if self.session.expire_stats(now) {
            self.publish();
        }
        // systemd's watchdog is fed by the loop that enforces consent: one that hangs is ended.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        self.check_inputs(now);
        if let Some(from) = tasks.clock_step() {
            let written = self.append(Fact::ClockStepped { from, to: clock::utc_now() });
            self.dispatch_failure(written);
        }
        self.watch(now, &clock::read());
        if self.ledger_writer.flush_counts().is_err() {
            self.dispatch(Event::FaultDetected(Fault::Ledger));
        }
        self.check_ledger();
        self.tick_updates(now);
        self.tick_sealing(now);
        if tasks.take_retry(now) {
            self.self_test();
            self.twin.retry();
            let erased = self.run_erasure();
            self.dispatch_failure(erased);
            let enforced = self.enforce_footage_retention();
            self.dispatch_failure(enforced);
        }
        if tasks.take_checkpoint(now) {
            self.ledger_writer.request_checkpoint();
        }
        if tasks.take_prune(now) {
            self.ledger_writer.prune(self.config.privacy.ledger_retention);
        }
    }

    /// Renews the lease of a capture that still has consent.
    fn renew_lease(&self) {
        if let Some(capture) = &self.capture
            && self.machine.phase() != Phase::Stopping
        {
            capture.renew();
        }
    }

    /// Reads the buttons' levels, in case an edge was lost, and the supply voltage.
    fn check_inputs(&mut self, now: Monotonic) {
        if self.panel.poll(now).is_err() {
            self.dispatch(Event::FaultDetected(Fault::Button));
        }
        if self.supply.poll(now) {
            tracing::error!("the supply voltage is too low: see tallybox doctor");
            self.dispatch(Event::FaultDetected(Fault::Power));
        }
    }

    /// Tests each part that has a fault; the fault of one that works is cleared.
    pub(super) fn self_test(&mut self) {
        let now = self.clock.now();
        for part in Fault::ALL {
            if !self.machine.has_fault(part) {
                continue;
            }
            let works = match part {
                Fault::Lamp | Fault::Button => self.panel.self_test(now, part),
                Fault::Ledger if !self.is_restored => {
                    self.needs_restart = self.ledger_writer.is_open();
                    false
                }
                Fault::Ledger => self.ledger_writer.is_healthy(),
                Fault::Power => !self.supply.is_low(),
                Fault::Tamper => !self.incidents.is_tampered(),
            };
            if works && self.append(Fact::FaultCleared { part }).is_ok() {
                if part == Fault::Ledger {
                    self.messages.ledger = None;
                }
                self.dispatch(Event::FaultCleared(part));
            }
        }
    }
}
