//! All rules of docs/consent.md at once, over random events and delays.
#![allow(clippy::wildcard_enum_match_arm)] // the onlooker names only what it looks at
#![allow(clippy::struct_excessive_bools)] // and notes whether it saw each

mod answers;

use core::time::Duration;

use proptest::prelude::*;

use super::any::{any_delay, any_event};
use super::{fresh, launches, ms};
use crate::{
    CaptureReport, CaptureSettings, Effect, Event, Fault, LampPattern, Machine, Parting, PersistedState, Phase,
    SessionId, SessionLimits,
};

/// What an observer of events and effects alone knows about a box.
#[derive(Default)]
struct Onlooker {
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
#[derive(Clone, Copy, Default)]
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

#[derive(Clone, Copy)]
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

fn revokes(event: Event) -> bool {
    matches!(
        event,
        Event::ButtonDown
            | Event::ButtonFoundDown
            | Event::RemoteStop
            | Event::EndService
            | Event::PolicyChanged
            | Event::Revoke(_)
            | Event::FaultDetected(_)
    )
}

fn check(script: &[(u64, Event)], memory: PersistedState, minors_mode: bool) -> Result<(), TestCaseError> {
    let limits = SessionLimits { minors_mode, ..SessionLimits::default() };
    let mut machine = Machine::restore(limits, memory);
    let mut onlooker = Onlooker { minors: minors_mode, ..Onlooker::default() };
    let mut now = 0;
    for &(delay, event) in script {
        // The guard polls ten times a second while the button is down, as the deadline requires; or it does not, for
        // long.
        let until = now + delay;
        if delay <= 35_000 && delay % 7 != 0 {
            while machine.deadline().is_some_and(|at| at < ms(until)) {
                now = (now + 50).min(until);
                onlooker.sees_event(now, Event::Tick);
                onlooker.sees_press(Event::Tick);
                for effect in machine.step(ms(now), Event::Tick) {
                    onlooker.sees_effect(now, effect)?;
                }
            }
        }
        now = until;
        onlooker.sees_event(now, event);
        onlooker.judges();
        onlooker.sees_press(event);
        for effect in machine.step(ms(now), event) {
            onlooker.sees_effect(now, effect)?;
        }
        onlooker.sees_new_question(now, event);
        onlooker.sees_ask(now);
        // One step may find the button stuck and then clear the fault.
        onlooker.broken = machine.has_fault(Fault::Button);
        prop_assert!(
            !(machine.is_unbound() && machine.phase() == Phase::Idle),
            "an unbound box that a press would start"
        );
        prop_assert_eq!(onlooker.capture.is_some(), machine.phase().may_capture());
        prop_assert_eq!(machine.session().is_some(), machine.phase().may_capture());
        says_the_present(&machine)?;
        if machine.is_muted() {
            prop_assert!(
                !onlooker.sound || (onlooker.wanted.muted && onlooker.confirmed),
                "muted that nobody confirmed"
            );
        }
        if machine.is_mute_pending() {
            prop_assert!(machine.deadline().is_some_and(|at| at.duration_since(ms(now)) <= Duration::from_millis(500)));
        }
        if revokes(event) {
            prop_assert!(onlooker.capture != Some(true), "{:?} did not reach stop", event);
        }
        if machine.phase() == Phase::Stopping {
            prop_assert!(machine.deadline().is_some_and(|at| at.duration_since(ms(now)) <= Duration::from_millis(300)));
        }
        if !machine.phase().may_capture() && onlooker.lamp.says_capturing() {
            return Err(TestCaseError::fail(format!("lamp says {:?} and nothing captures", onlooker.lamp)));
        }
    }
    Ok(())
}

/// A reason always belongs to its phase, and none is missing where nothing starts or a session ends.
fn says_the_present(machine: &Machine) -> Result<(), TestCaseError> {
    let (phase, reason) = (machine.phase(), machine.reason());
    prop_assert!(reason.is_none_or(|reason| reason.is_valid_in(phase)), "{reason:?} in {phase:?}");
    let explained = matches!(phase, Phase::Stopping | Phase::Locked | Phase::Policy | Phase::Fault);
    prop_assert!(!explained || reason.is_some(), "no reason in {phase:?}");
    Ok(())
}

/// The same without any touch.
fn untouched(event: Event) -> Event {
    if matches!(event, Event::ButtonDown | Event::ButtonFoundDown | Event::ButtonUp) { Event::Tick } else { event }
}

/// 100,000 in the long form: `TALLYBOX_LONG=1 cargo test -p consent`.
fn cases() -> u32 {
    if std::env::var_os("TALLYBOX_LONG").is_some() { 100_000 } else { 3_000 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn consent_holds_whatever_happens(
        script in prop::collection::vec((any_delay(), any_event()), 1..60),
        locked in prop::bool::weighted(0.1),
        unbound in prop::bool::weighted(0.05),
        policy_pending in prop::bool::weighted(0.1),
        minors in prop::bool::weighted(0.3),
    ) {
        check(&script, PersistedState { last_session: SessionId(0), locked, parted: unbound.then_some(Parting::Unbound), policy_pending }, minors)?;
    }

    #[test]
    fn remote_alone_never_reaches_capture(
        script in prop::collection::vec((any_delay(), any_event().prop_map(untouched)), 1..60),
    ) {
        let mut machine = fresh();
        let mut now = 0;
        for (delay, event) in script {
            now += delay;
            prop_assert!(launches(machine.step(ms(now), event)).is_empty());
            prop_assert!(!machine.phase().may_capture());
        }
    }
}
