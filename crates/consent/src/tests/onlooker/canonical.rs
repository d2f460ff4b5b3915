//! One form for all that the onlooker may know and that makes no difference from here on.

use super::{Ended, Finger, Onlooker, Watched};
use crate::CaptureSettings;
use crate::tests::ms;
use monotonic::Monotonic;

/// What the canonical form calls now, in ms: longer ago than the longest hold has a meaning, all moments are the same.
pub(in crate::tests) const NOW: u64 = 40_000;
/// Above this, revisions are the same.
const REVISIONS: u64 = 2;

impl Watched {
    /// Makes states the same that behave alike from here on.
    pub(in crate::tests) fn canonical(&mut self) {
        let passed = self.now - NOW;
        let change = |at: Monotonic| at.saturating_sub(core::time::Duration::from_millis(passed));
        self.machine.canonical(ms(self.now), REVISIONS, &change);
        self.onlooker.canonical(passed);
        self.now = NOW;
    }
}

impl Onlooker {
    fn canonical(&mut self, passed: u64) {
        let change = |at: &mut u64| *at = at.saturating_sub(passed);
        self.ended = None;
        change(&mut self.late_until);
        if self.late_until <= NOW {
            self.late_until = 0;
        }
        change(&mut self.question_at);
        match &mut self.finger {
            Finger::Unknown | Finger::Up if self.question_at <= NOW + 1 => self.question_at = 0,
            Finger::Unknown | Finger::Up => {}
            Finger::Down { since, .. } => {
                change(since);
                // It begins before the question or with it, and no later touch begins before now.
                self.question_at = match self.question_at {
                    at if at <= *since => 0,
                    at => at.max(NOW),
                };
            }
        }
        self.asked.as_mut().map(change);
        if let Some((at, press)) = &mut self.press {
            change(at);
            let longest = press.longest();
            let class = [3000, 700, 0].into_iter().find(|least| longest >= *least).unwrap_or_default();
            *press = Ended { began: 0, heard: class, told: None, clean: press.clean, whole: true };
        }
        self.wanted.revision = self.wanted.revision.min(REVISIONS);
        self.release_now = false;
        if !self.minors {
            self.press = None;
        }
        // Without capture the next session begins with its own; and nothing that ends is told what to send.
        if self.capture != Some(true) {
            let is_heard = self.capture.is_some() && self.sound && !(self.wanted.muted && self.confirmed);
            (self.sound, self.wanted, self.confirmed, self.muted) =
                (is_heard, CaptureSettings::default(), false, false);
        }
    }
}
