//! What has to hold in every state, and what makes two states different.

use std::hash::{Hash, Hasher};

use super::super::*;
use super::world::{Guard, Kind, Process, World, at};
use super::{HELD, LEASE};
use consent::CaptureExit;

impl World {
    /// Frames may leave the process now.
    pub(super) fn may_leave(&self) -> bool {
        matches!(&self.process, Process::Open(end) if at(self.now) < end.deadline())
    }

    /// The rules. `Err`: which one is broken.
    pub(super) fn judge(&self, kind: Kind) -> Result<(), &'static str> {
        let Guard { end, wanted, renewed_at, stopped_at, is_known, told, live, .. } = &self.guard;
        if self.opened_unknown {
            return Err("devices may be open in a process that the guard does not know");
        }
        if self.starts > 1 {
            return Err("the guard said start twice");
        }
        if *live && !is_known {
            return Err("the guard believes a capture that it does not know");
        }
        if !self.guard.is_hung
            && self.process != Process::Gone
            && stopped_at.is_some_and(|since| self.now > since + kind.kill())
        {
            return Err("capture is left 300 ms after the end of consent");
        }
        if end.exit() == CaptureExit::Failed && !self.failed {
            return Err("a failure was told that capture did not report");
        }
        if kind == Kind::Hostile {
            return Ok(());
        }
        // Each message that waits may be read up to a lease after the one before it.
        let delay = if kind == Kind::Slow { LEASE * HELD as u64 } else { 0 };
        if self.may_leave() && self.now >= renewed_at + LEASE + delay {
            return Err("frames may leave although the guard has been silent");
        }
        // What the engine was told about the newest revision is what lamp and status say.
        if self.may_leave() && !self.muted && *told == Some((wanted.revision, true)) {
            return Err("sound may leave, and the guard was told that it is muted");
        }
        Ok(())
    }
}

/// What makes a difference from here on.
impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Guard { end, wanted, renewed_at, is_hung, stopped_at, is_known, told, live } = &self.guard;
        let revision = wanted.revision;
        let ago = |at: u64| (self.now - at).min(4 * LEASE);
        let heard = match &self.process {
            Process::Waiting(end) | Process::Open(end) => {
                (at(self.now + 3 * LEASE)).duration_since(end.deadline()).as_millis()
            }
            _ => 0,
        };
        let place = std::mem::discriminant(&self.process);
        (end.has_started(), end.exit() == CaptureExit::Failed, wanted.muted, is_hung, is_known, live).hash(state);
        (ago(*renewed_at), stopped_at.map(ago), told.map(|(of, muted)| ((revision - of).min(HELD as u64 + 2), muted)))
            .hash(state);
        (place, heard.min(u128::from(4 * LEASE)), self.muted).hash(state);
        (self.is_closed, self.opened_unknown, self.failed, self.starts).hash(state);
        for message in &self.to_capture {
            let (is_start, wanted) = match message {
                ToCapture::Start { wanted, .. } => (true, wanted),
                ToCapture::Renew { wanted } => (false, wanted),
            };
            (is_start, revision - wanted.revision, wanted.muted).hash(state);
        }
        self.to_capture.len().hash(state);
        for message in &self.to_guard {
            std::mem::discriminant(message).hash(state);
            if let FromCapture::Applied(told) = message {
                (revision.saturating_sub(told.revision), told.muted).hash(state);
            }
        }
    }
}
