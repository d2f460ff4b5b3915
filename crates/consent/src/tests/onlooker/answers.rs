//! The observer's rules on answers, sound and minors' mode.
#![allow(clippy::wildcard_enum_match_arm)] // the onlooker names only what it looks at

use proptest::prelude::*;

use super::watched::revokes;
use super::{Ended, Finger, Onlooker};
use crate::{Effect, Event, LampPattern};

impl Onlooker {
    /// A policy or a change was agreed to.
    pub(super) fn sees_answer(&mut self, now: u64, effect: &Effect) -> Result<(), TestCaseError> {
        let began = self.down_for(now).map(|held| now - held);
        let held = began.is_some_and(|began| began >= self.question_at && now - began >= 2000);
        prop_assert!(held, "{effect:?} without a hold that began while the lamp asked");
        prop_assert!(self.lamp == LampPattern::TripleBlink, "{effect:?} under {:?}", self.lamp);
        self.agreement &= !matches!(effect, Effect::RecordAgreement);
        Ok(())
    }

    /// The present touch has had its effect: its release starts nothing.
    pub(super) fn spend_touch(&mut self) {
        if let Finger::Down { clean, .. } = &mut self.finger {
            *clean = false;
        }
    }

    /// What becomes of the sound.
    pub(super) fn sees_sound(&mut self, effect: &Effect) -> Result<(), TestCaseError> {
        match *effect {
            Effect::Configure(wanted) => {
                prop_assert!(self.sound && wanted.revision == self.wanted.revision + 1);
                prop_assert!(wanted.muted || self.lamp != LampPattern::SolidNotched, "sound before the lamp says so");
                prop_assert!(wanted.muted || !self.muted, "sound before the ledger says so");
                (self.wanted, self.confirmed) = (wanted, false);
            }
            Effect::RecordMute { muted, .. } => {
                prop_assert!(!muted || (self.wanted.muted && self.confirmed), "a mute that nobody confirmed");
                prop_assert!(muted != self.muted, "the same twice");
                self.muted = muted;
            }
            _ => {}
        }
        Ok(())
    }

    /// A start: for a press of its own, or in minors' mode for the hold that followed one.
    pub(super) fn sees_start(&mut self, ended: Ended, sound: bool) -> Result<(), TestCaseError> {
        if !self.minors {
            prop_assert!(ended.clean, "capture for a touch that was not a press of its own");
            prop_assert!(ended.longest() < if sound { 700 } else { 3000 }, "capture after {}", ended.longest());
            return Ok(());
        }
        let press = self.press.take();
        let (pressed, press) = press.ok_or_else(|| TestCaseError::fail("capture for a hold without a press"))?;
        prop_assert!(ended.whole, "capture for a hold whose edges were not seen");
        prop_assert!(ended.began >= pressed + (ended.longest() - ended.heard), "a hold that began before the press");
        prop_assert!(ended.began <= pressed + self.request_timeout, "a hold that began too late");
        prop_assert!(ended.shortest() >= 2000 && ended.longest() < 3000, "no guardian's hold: {}", ended.longest());
        prop_assert!(self.release_now, "the lamp did not say that it is enough");
        prop_assert!(press.clean && press.longest() < 3000, "a press that started nothing by itself");
        prop_assert!(sound == (press.longest() < 700), "sound or not is what the press said");
        Ok(())
    }

    /// Before the effects: what ends the wait for a guardian.
    pub(super) fn sees_press(&mut self, event: Event) {
        self.release_now = self.lamp == LampPattern::ReleaseNow;
        let is_touch = matches!(event, Event::ButtonDown | Event::ButtonFoundDown);
        if (revokes(event) && !is_touch) || matches!(event, Event::AgreementNeeded) {
            self.press = None;
        }
        self.service_ends |= event == Event::EndService;
    }

    /// After the effects: a touch under which the lamp came to ask, or goes on asking (for a probe), is the press that
    /// a guardian's hold may follow. Whether it was one is judged when something starts.
    pub(super) fn sees_ask(&mut self, now: u64) {
        if let Some(ended) = self.ended.filter(|_| self.lamp == LampPattern::SlowPulse) {
            self.press = Some((now, ended));
        }
    }
}
