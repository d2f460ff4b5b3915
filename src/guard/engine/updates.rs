//! Software updates: what the engine does for [`Updates`](crate::judges::updates::Updates).

use super::Engine;
use crate::clock;
use crate::ipc::{Fact, Response, UpdateOutcome, Verb};
use crate::judges::ReplySender;
use crate::judges::updates::{Moment, Step};
use consent::{Event, Phase};
use monotonic::Monotonic;

impl Engine {
    /// Called once a second.
    pub(super) fn tick_updates(&mut self, now: Monotonic) {
        let reading = clock::read();
        let id = self.box_id();
        let moment = Moment { now, clock: &reading, id: id.as_deref(), is_busy: self.is_busy() };
        for step in self.updates.tick(&moment) {
            let written = match step {
                Step::Record(fact) => self.append(fact),
                Step::RecordStart(_) if !self.may_update() => Ok(()),
                Step::RecordStart(fact) => self.start_update(&fact),
            };
            if let Err(failure) = written {
                self.dispatch(failure);
            }
        }
        self.tell_step(&moment);
        self.publish();
    }

    /// Whether an update may begin, apart from what [`Updates`](crate::judges::updates::Updates) knows.
    fn may_update(&self) -> bool {
        // Without its ledger the guard does not know of an attempt that has not ended.
        self.is_restored
            // It takes the package away.
            && self.erasure.due().is_none()
            // The disk has what it was given before.
            && self.ledger_writer.is_written(self.ledger_writer.submitted())
    }

    fn start_update(&mut self, fact: &Fact) -> Result<(), Event> {
        let before = self.ledger_writer.submitted();
        let written = self.append_durably(fact.clone());
        if written.is_ok() {
            self.updates.hand_over(fact);
        } else if self.ledger_writer.submitted() > before
            && let Some(end) = self.updates.call_off(fact)
        {
            // The entry may get to the disk later all the same: its end follows it there.
            let queued = self.append(end);
            return written.and(queued);
        }
        written
    }

    /// A session is on, or staff are asked for one.
    fn is_busy(&self) -> bool {
        let phase = self.machine.phase();
        phase.may_capture() || phase == Phase::Requested
    }

    pub(super) fn offer_release(&mut self, note: &str, reply: ReplySender) {
        // It has the newest serial, and whether an attempt is under way that the release in force is needed for.
        if !self.is_restored {
            let _ = reply.send(Response::unavailable("the ledger cannot be read, and no release is taken without it"));
            return;
        }
        if let Err(why) = self.updates.offer(self.clock.now(), note, reply) {
            tracing::warn!("a release is refused: {why}");
            let why = crate::ipc::clean(&why, crate::ipc::WHY);
            self.append_refusal(Fact::CommandRefused { verb: "release".to_owned(), why });
        }
    }

    /// Carries out the command `update`. Answered when the updater has it, or when nothing comes of it any more.
    pub(super) fn command_update(&mut self, version: Option<&str>, reply: ReplySender) {
        let (now, reading, id) = (self.clock.now(), clock::read(), self.box_id());
        let moment = Moment { now, clock: &reading, id: id.as_deref(), is_busy: self.is_busy() };
        match self.updates.command(version, &moment, reply) {
            Some((response, reply)) => self.answer(response, reply),
            None => self.tell_step(&moment),
        }
    }

    fn tell_step(&mut self, moment: &Moment<'_>) {
        if let Some(step) = self.updates.step(moment) {
            self.set_progress(Verb::Update, step);
        }
    }

    /// Somebody asks for a version now, who may.
    pub(super) fn ask_update(&mut self, version: &str) -> Response {
        let (now, reading, id) = (self.clock.now(), clock::read(), self.box_id());
        let moment = Moment { now, clock: &reading, id: id.as_deref(), is_busy: self.is_busy() };
        self.updates.ask(version, &moment).map_or_else(Response::refused, |()| Response::Done)
    }

    pub(super) fn postpone_update(&mut self, hours: u32) -> Response {
        match self.updates.postpone(hours, clock::utc_now()) {
            Ok(fact) => {
                let written = self.append(fact);
                self.dispatch_failure(written);
                Response::Done
            }
            Err(why) => Response::refused(why),
        }
    }

    /// The updater says how it ended.
    pub(super) fn end_update(&mut self, outcome: UpdateOutcome) -> Response {
        if let Some(fact) = self.updates.on_ended(outcome) {
            let written = self.append(fact);
            self.dispatch_failure(written);
        }
        Response::Done
    }
}
