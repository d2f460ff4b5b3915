//! What somebody who sees only events and effects knows about a box, and the rules of docs/consent.md as checks on
//! that.
#![allow(clippy::wildcard_enum_match_arm)] // the onlooker names only what it looks at
#![allow(clippy::struct_excessive_bools)] // and notes whether it saw each

mod answers;
mod canonical;
mod watched;

use proptest::prelude::*;

use crate::{CaptureReport, CaptureSettings, Effect, Event, Fault, LampPattern};

pub(super) use canonical::NOW;
pub(super) use watched::Watched;

/// What an observer of events and effects alone knows about a box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Onlooker {
    lamp: LampPattern,
    finger: Finger,
    /// The touch that ended in this very step.
    ended: Option<Ended>,
    /// A release requested the unbinding that is still to come.
    unbinds: bool,
    /// The service has ended, or has to.
    service_ends: bool,
    /// Minors' mode is on.
    minors: bool,
    /// How long a guardian's hold may be waited for, in ms.
    request_timeout: u64,
    /// Minors' mode: the press that may be followed by a guardian's hold, and when it was let go.
    press: Option<(u64, Ended)>,
    /// The last thing that the lamp showed before this step was that letting go starts.
    release_now: bool,
    /// Since when staff are asked whether to unbind the box.
    asked: Option<u64>,
    /// A change waits for staff.
    agreement: bool,
    /// Until when a touch that begins may be the late answer to a question that was withdrawn.
    late_until: u64,
    /// Since when the lamp shows a policy, or a change, that waits for staff.
    question_at: u64,
    broken: bool,
    capture: Option<bool>,
    recorded: bool,
    /// The session may have sound.
    sound: bool,
    /// The last settings, and whether capture has confirmed them.
    wanted: CaptureSettings,
    confirmed: bool,
    /// The ledger's last entry about the sound.
    muted: bool,
}

/// The finger, as far as the events show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Finger {
    /// Not seen up since the guard started or the button's fault.
    #[default]
    Unknown,
    Up,
    Down {
        since: u64,
        told: Option<u64>,
        clean: bool,
        whole: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ended {
    /// When the guard learned of its beginning.
    began: u64,
    /// When the guard learned of it, in ms.
    heard: u64,
    /// By the kernel's timestamps.
    told: Option<u64>,
    /// It stopped nothing, and both its edges were seen.
    clean: bool,
    /// It is one touch, whose beginning was seen.
    whole: bool,
}

impl Ended {
    fn longest(self) -> u64 {
        self.told.unwrap_or_default().max(self.heard)
    }

    fn shortest(self) -> u64 {
        self.told.unwrap_or(self.heard).min(self.heard)
    }
}

impl Onlooker {
    /// Whether a touch is under way.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.finger, Finger::Down { .. })
    }

    /// What capture is to send, while there is one.
    pub(super) fn wanted(&self) -> Option<CaptureSettings> {
        self.capture.map(|_| self.wanted)
    }

    fn sees_event(&mut self, now: u64, event: Event) {
        self.ended = None;
        match event {
            Event::ButtonDown | Event::ButtonFoundDown if !self.broken => {
                self.finger = match self.finger {
                    Finger::Up => Finger::Down {
                        since: now,
                        told: None,
                        clean: event == Event::ButtonDown
                            && self.capture.is_none()
                            && self.asked.is_none()
                            && now >= self.late_until,
                        whole: event == Event::ButtonDown,
                    },
                    Finger::Down { since, told, .. } => Finger::Down { since, told, clean: false, whole: false },
                    Finger::Unknown => Finger::Unknown,
                };
            }
            Event::ButtonDown | Event::ButtonFoundDown => self.finger = Finger::Unknown,
            Event::ButtonHeldFor(held) => {
                if let Finger::Down { told, .. } = &mut self.finger {
                    let held = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
                    *told = Some(told.unwrap_or_default().max(held));
                }
            }
            Event::ButtonUp => {
                if let Finger::Down { since, told, clean, whole } = self.finger {
                    self.ended = Some(Ended { began: since, heard: now - since, told, clean, whole });
                }
                self.finger = Finger::Up;
            }
            Event::FaultDetected(Fault::Button) => {
                self.broken = true;
                self.finger = Finger::Unknown;
            }
            Event::FaultCleared(Fault::Button) => self.broken = false,
            Event::CaptureExited(_) => self.capture = None,
            _ => {}
        }
        if let Event::CaptureReported(CaptureReport::Applied(said)) = event {
            self.confirmed |= said == self.wanted;
        }
    }

    /// After the effects: a hold that was long enough before the event answered the question of before.
    fn sees_new_question(&mut self, now: u64, event: Event) {
        match event {
            Event::AgreementWithdrawn if std::mem::take(&mut self.agreement) => self.late_until = now + 1000,
            Event::AgreementNeeded => {
                self.agreement = true;
                self.question_at = self.next_touch(now);
            }
            Event::PolicyChanged => self.question_at = self.next_touch(now),
            _ => {}
        }
    }

    /// A touch that begins in the very step in which a question ends is a late answer.
    fn spoil_touch(&mut self, now: u64) {
        if let Finger::Down { since, clean, .. } = &mut self.finger
            && *since == now
        {
            *clean = false;
        }
    }

    /// When a touch that has not begun yet begins at the earliest.
    fn next_touch(&self, now: u64) -> u64 {
        now + u64::from(matches!(self.finger, Finger::Down { .. }))
    }

    /// How long the finger has been down, as measured; `None`: no touch is known.
    fn down_for(&self, now: u64) -> Option<u64> {
        match (self.finger, self.ended) {
            (Finger::Down { since, .. }, _) => Some(now - since),
            (_, Some(ended)) => Some(ended.heard),
            (_, None) => None,
        }
    }

    fn sees_effect(&mut self, now: u64, effect: Effect) -> Result<(), TestCaseError> {
        match effect {
            Effect::SetLamp(_) | Effect::RecordUnbindRequest | Effect::RecordRequestEnded(_) => {
                self.sees_question(now, &effect)?;
            }
            Effect::RecordStart { .. } => self.recorded = true,
            Effect::Launch(grant) => {
                let ended = self.ended.take().ok_or_else(|| TestCaseError::fail("capture without an unspent press"))?;
                let (_, sound, _) = grant.spend();
                self.sees_start(ended, sound)?;
                prop_assert!(!self.service_ends, "capture after the end of the service");
                prop_assert!(!self.broken, "capture with a broken button");
                prop_assert!(self.lamp.says_capturing(), "capture before the lamp");
                prop_assert!(std::mem::take(&mut self.recorded), "capture before the ledger");
                prop_assert!(self.capture.is_none(), "a second capture beside the first");
                self.capture = Some(true);
                (self.sound, self.wanted, self.confirmed, self.muted) =
                    (sound, CaptureSettings::default(), false, false);
            }
            // A stuck button has the same fault as one that cannot be read.
            Effect::RecordFault(Fault::Button) => {
                self.broken = true;
                if let Finger::Down { .. } = self.finger {
                    self.finger = Finger::Unknown;
                }
            }
            Effect::Stop(_) => self.capture = self.capture.map(|_| false),
            Effect::RecordUnlock => {
                self.spend_touch();
                prop_assert!(self.down_for(now).is_some_and(|held| held >= 2000), "{effect:?} without a hold");
            }
            Effect::RecordPolicyAcknowledged | Effect::RecordAgreement => {
                self.spend_touch();
                self.sees_answer(now, &effect)?;
            }
            Effect::RecordLock => prop_assert!(
                self.down_for(now).is_some_and(|held| held >= 5000)
                    || self.ended.is_some_and(|ended| ended.longest() >= 5000),
                "locked without a hold"
            ),
            Effect::DestroyFootage => prop_assert!(
                self.ended.is_some_and(|ended| ended.whole && (5000..30_000).contains(&ended.longest())),
                "footage destroyed by a button that did not come up in time"
            ),
            Effect::Unbind => prop_assert!(std::mem::take(&mut self.unbinds), "unbound without a hold that was let go"),
            Effect::EndService => {
                prop_assert!(self.service_ends, "the service ended by itself");
                prop_assert!(self.capture.is_none(), "keys destroyed while capture may exist");
            }
            Effect::Configure(_) | Effect::RecordMute { .. } => self.sees_sound(&effect)?,
            _ => {}
        }
        if self.capture.is_some() {
            prop_assert!(self.lamp.says_capturing(), "lamp {:?} while capture may exist", self.lamp);
        }
        let silent = !self.sound || (self.wanted.muted && self.confirmed);
        prop_assert!(silent || self.lamp != LampPattern::SolidNotched, "the lamp says silence that nobody confirmed");
        Ok(())
    }

    /// What the lamp shows, and what staff are asked.
    fn sees_question(&mut self, now: u64, effect: &Effect) -> Result<(), TestCaseError> {
        match *effect {
            Effect::SetLamp(lamp) => {
                if lamp == LampPattern::TripleBlink && lamp != self.lamp {
                    self.question_at = self.question_at.max(now);
                }
                if !lamp.says_capturing() && !matches!(lamp, LampPattern::SlowPulse | LampPattern::ReleaseNow) {
                    // Whatever was waited for is over.
                    self.press = None;
                }
                self.lamp = lamp;
            }
            Effect::RecordUnbindRequest => {
                prop_assert!(matches!(self.finger, Finger::Up), "asked while a touch was under way");
                self.asked = Some(now);
            }
            Effect::RecordRequestEnded(_) if self.asked.take().is_some() => {
                self.late_until = now + 1000;
                self.spoil_touch(now);
            }
            _ => {}
        }
        Ok(())
    }

    /// Before the effects: whether this release requests the unbinding.
    fn judges(&mut self) {
        if let Some(ended) = self.ended {
            let in_time = ended.shortest() >= 10_000 && ended.longest() < 30_000;
            self.unbinds |= ended.whole && in_time && self.lamp_warned();
            let (short, long) = (ended.shortest(), ended.longest());
            let began_after = self.asked.is_some_and(|asked| ended.began >= asked + long - ended.heard);
            let confirmed = ended.whole && began_after && short >= 2000 && long < 5000;
            self.unbinds |= confirmed && self.lamp == LampPattern::UnbindWarning;
        }
    }

    fn lamp_warned(&self) -> bool {
        self.lamp == LampPattern::UnbindWarning || self.lamp.says_capturing()
    }
}
