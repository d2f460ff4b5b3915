//! What is looked at after each action, and at the end.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{AFTERMATH, LARGE, Outcome, World};
use crate::disk;
use crate::erasure_files::{ErasureRequest, REQUEST};
use crate::ipc::UpdateState;
use crate::sim::releases::ServerFault;
use crate::sim::remote::Remote;
use crate::sim::settings::DATA;
use crate::sim::truth::guard_waited;
use crate::sim::{checks, peers};
use crate::sync::LockExt;
use crate::worker;

/// An update that nothing is in the way of is installed, or put back, within this: a session that ended just before
/// keeps it for five minutes.
const UPDATES_END_WITHIN: Duration = Duration::from_mins(12);
/// An erasure ends within this: the helper that deletes credentials is waited for for a minute.
const ERASURES_END_WITHIN: Duration = Duration::from_mins(2);
/// How often it is looked whether that is so.
const LOOK_AT_UPDATES: Duration = Duration::from_secs(5);

impl World {
    /// Looks at everything, in a moment in which nothing is under way.
    pub(super) async fn look(&mut self) {
        loop {
            // The guard may have waited for its disk meanwhile: others have not seen yet what it did then.
            let waited = guard_waited();
            sleep(Duration::from_millis(2)).await;
            if waited == guard_waited() {
                break;
            }
        }
        if self.guard.is_dead() {
            self.guard.bury_the_dead().await;
            self.kill().await;
            sleep(Duration::from_millis(100)).await;
        }
        checks::status::look(&mut self.truth.lock_unpoisoned());
        self.read_ledger();
        self.look_for_request();
        if let Some(remote) = &mut self.remote {
            remote.look(&self.truth);
        }
    }

    fn read_ledger(&mut self) {
        let (ledger, remote) = (&mut self.ledger, self.remote.as_ref());
        let sent = remote.map_or(&[][..], Remote::sent);
        let mut truth = self.truth.lock_unpoisoned();
        self.disk.without_failures(|| ledger.look(&mut truth, Path::new(DATA), sent));
    }

    /// The helper that deletes credentials waits for the guard's request.
    #[allow(clippy::disallowed_methods)] // a process of its own, which the schedule's end ends
    fn look_for_request(&mut self) {
        let Some(door) = self.guard.door().filter(|_| self.remote.is_some()) else { return };
        let text = self.disk.without_failures(|| disk::read_to_string(&Path::new(DATA).join(REQUEST)));
        let Some(request) = text.ok().and_then(|text| ErasureRequest::parse(&text)) else { return };
        if self.asked.as_ref() != Some(&request.attempt) {
            self.asked = Some(request.attempt.clone());
            tokio::task::spawn_local(peers::help(self.truth.clone(), door, request.attempt, self.help));
        }
    }

    /// Lets what is under way come to its end.
    pub(super) async fn end(mut self) -> Outcome {
        if self.truth.lock_unpoisoned().violation.is_none() {
            sleep(AFTERMATH).await;
            self.look().await;
            self.end_remote().await;
        }
        if let Some(mut updates) = self.updates.take() {
            updates.kill().await;
        }
        self.guard.kill().await;
        let mut truth = self.truth.lock_unpoisoned();
        Outcome {
            violation: truth.violation.clone(),
            digest: truth.digest(),
            trace: truth.take_lines(),
            simulated: truth.now(),
        }
    }

    /// Updates that are under way come to their end, and then no other one begins.
    async fn end_updates(&mut self) {
        let Some(updates) = &self.updates else { return };
        updates.set_fault(ServerFault::None);
        let mut left = UPDATES_END_WITHIN;
        while self.is_updating(&[UpdateState::Ready, UpdateState::Installing]) && !left.is_zero() {
            left = left.saturating_sub(LOOK_AT_UPDATES);
            sleep(LOOK_AT_UPDATES).await;
            self.look().await;
        }
        self.change_clock(|clock| clock.synchronised = false);
        if left.is_zero() {
            let mut truth = self.truth.lock_unpoisoned();
            let update = truth.status.as_ref().map(|status| status.update.clone());
            truth.violated(format_args!("updates: {UPDATES_END_WITHIN:?} after all was well: {update:?}"));
        }
        // One that has just begun still ends.
        let mut left = UPDATES_END_WITHIN;
        sleep(AFTERMATH).await;
        while self.is_updating(&[UpdateState::Installing]) && !left.is_zero() {
            left = left.saturating_sub(LOOK_AT_UPDATES);
            sleep(LOOK_AT_UPDATES).await;
        }
        self.look().await;
        let (ledger, truth) = (&self.ledger, &self.truth);
        self.disk.without_failures(|| ledger.end_updates(&mut truth.lock_unpoisoned()));
    }

    /// Whether it stands so with updates, or nobody says how.
    fn is_updating(&self, states: &[UpdateState]) -> bool {
        let truth = self.truth.lock_unpoisoned();
        truth.violation.is_none() && truth.status.as_ref().is_none_or(|status| states.contains(&status.update.state))
    }

    /// What was to be erased is, also where an end of the guard or of the power came in between.
    async fn end_erasures(&mut self) {
        let mut left = ERASURES_END_WITHIN;
        while self.ledger.is_erasing() && !left.is_zero() {
            left = left.saturating_sub(AFTERMATH);
            sleep(AFTERMATH).await;
            self.look().await;
        }
        if self.ledger.is_erasing() {
            let mut truth = self.truth.lock_unpoisoned();
            truth.violated(format_args!("erased: an erasure has not ended {ERASURES_END_WITHIN:?} after all was well"));
        }
    }

    /// With everything well around it, the platform hears all.
    async fn end_remote(&mut self) {
        if self.remote.is_none() || self.truth.lock_unpoisoned().violation.is_some() {
            return;
        }
        self.disk.set_capacity(LARGE);
        self.disk.fail(None);
        worker::simulated::stall(Instant::now());
        {
            let mut truth = self.truth.lock_unpoisoned();
            (truth.panel_lost, truth.lamp_dead, truth.link_up) = (false, false, true);
            truth.note(format_args!("all is well again"));
        }
        // A guard that could not read its ledger ends, and starts anew.
        for _ in 0..3 {
            sleep(AFTERMATH).await;
            self.look().await;
        }
        self.end_erasures().await;
        self.end_updates().await;
        let Some(mut remote) = self.remote.take() else { return };
        let truth = self.truth.clone();
        let sent = remote.sent().to_vec();
        let (ledger, disk) = (&mut self.ledger, &self.disk);
        let entries = || {
            let mut truth = truth.lock_unpoisoned();
            disk.without_failures(|| ledger.look(&mut truth, Path::new(DATA), &sent));
            ledger.entries().to_vec()
        };
        remote.end(&truth, entries).await;
    }
}
