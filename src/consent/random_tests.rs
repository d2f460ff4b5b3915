//! All rules of design 3 at once, over random events and delays.
#![allow(clippy::wildcard_enum_match_arm)] // the onlooker names only what it looks at

use core::time::Duration;

use proptest::prelude::*;

use super::tests::{fresh, launches, ms};
use super::{Effect, Event, Fault, Lamp, Limits, Machine, Memory, Outcome, Phase, Reason, Report, SessionId};

fn any_event() -> impl Strategy<Value = Event> {
    let fault = prop::sample::select(Fault::ALL.to_vec());
    let outcome = prop::sample::select(vec![
        Outcome::Ended,
        Outcome::Done,
        Outcome::Failed,
        Outcome::Died,
        Outcome::NeverStarted,
    ]);
    prop_oneof![
        6 => Just(Event::Tick),
        6 => Just(Event::ButtonDown),
        6 => Just(Event::ButtonUp),
        2 => (0_u64..20_000).prop_map(|held| Event::ButtonHeld(Duration::from_millis(held))),
        2 => Just(Event::MuteDown),
        2 => Just(Event::RemoteRequest),
        1 => Just(Event::ProbeRequest),
        1 => Just(Event::RemoteStop),
        1 => Just(Event::RemoteMute),
        1 => Just(Event::RemoteUnmute),
        1 => Just(Event::PolicyChanged),
        1 => prop::sample::select(vec![Reason::LowPower, Reason::IngestNotAllowed, Reason::Shutdown, Reason::Erase]).prop_map(Event::Revoke),
        3 => prop::sample::select(vec![Report::Live, Report::Reconnecting]).prop_map(Event::Capture),
        3 => outcome.prop_map(Event::CaptureGone),
        1 => fault.clone().prop_map(Event::Broken),
        2 => fault.prop_map(Event::Mended),
    ]
}

fn any_delay() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..50, 4 => 50_u64..1000, 3 => 1000_u64..12_000, 1 => 12_000_u64..20_000_000]
}

/// What an onlooker who only sees events and effects knows about a box.
#[derive(Default)]
struct Onlooker {
    lamp: Lamp,
    down: bool,
    presses: u32,
    capture: Option<bool>,
    recorded: bool,
}

impl Onlooker {
    fn sees_event(&mut self, event: Event) {
        match event {
            Event::ButtonDown => self.down = true,
            Event::ButtonUp if self.down => {
                self.down = false;
                self.presses = 1;
            }
            _ => self.presses = 0,
        }
        if matches!(event, Event::CaptureGone(_)) {
            self.capture = None;
        }
    }

    fn sees_effect(&mut self, effect: Effect) -> Result<(), TestCaseError> {
        match effect {
            Effect::Light(lamp) => self.lamp = lamp,
            Effect::RecordStart { .. } => self.recorded = true,
            Effect::Launch(grant) => {
                prop_assert!(self.presses == 1, "capture without an unspent press");
                prop_assert!(self.lamp.says_capturing(), "capture before the lamp");
                prop_assert!(std::mem::take(&mut self.recorded), "capture before the ledger");
                prop_assert!(self.capture.is_none(), "a second capture beside the first");
                self.presses = 0;
                self.capture = Some(true);
                let _ = grant.spend();
            }
            Effect::Stop(_) => self.capture = self.capture.map(|_| false),
            _ => {}
        }
        if self.capture.is_some() {
            prop_assert!(self.lamp.says_capturing(), "lamp {:?} while capture may exist", self.lamp);
        }
        Ok(())
    }
}

fn revokes(event: Event) -> bool {
    matches!(event, Event::ButtonDown | Event::RemoteStop | Event::PolicyChanged | Event::Revoke(_) | Event::Broken(_))
}

fn check(script: &[(u64, Event)], locked: bool, policy_pending: bool) -> Result<(), TestCaseError> {
    let mut machine = Machine::boot(Limits::default(), Memory { last_session: SessionId(0), locked, policy_pending });
    let mut onlooker = Onlooker::default();
    let mut now = 0;
    for &(delay, event) in script {
        now += delay;
        onlooker.sees_event(event);
        for effect in machine.step(ms(now), event) {
            onlooker.sees_effect(effect)?;
        }
        prop_assert_eq!(onlooker.capture.is_some(), machine.phase().may_capture());
        prop_assert_eq!(machine.session().is_some(), machine.phase().may_capture());
        if revokes(event) {
            prop_assert!(onlooker.capture != Some(true), "{:?} did not reach stop", event);
        }
        if machine.phase() == Phase::Stopping {
            prop_assert!(machine.deadline().is_some_and(|at| at.since(ms(now)) <= Duration::from_millis(300)));
        }
        if !machine.phase().may_capture() && onlooker.lamp.says_capturing() {
            return Err(TestCaseError::fail(format!("lamp says {:?} and nothing captures", onlooker.lamp)));
        }
    }
    Ok(())
}

/// The same without a finger on the box.
fn untouched(event: Event) -> Event {
    if matches!(event, Event::ButtonDown | Event::ButtonUp) { Event::Tick } else { event }
}

/// 100,000 in the long form: `TALLYBOX_LONG=1 cargo test consent`.
fn cases() -> u32 {
    if std::env::var_os("TALLYBOX_LONG").is_some() { 100_000 } else { 3_000 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn consent_holds_whatever_happens(
        script in prop::collection::vec((any_delay(), any_event()), 1..60),
        locked in prop::bool::weighted(0.1),
        policy_pending in prop::bool::weighted(0.1),
    ) {
        check(&script, locked, policy_pending)?;
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
