//! What remote asks and only staff can answer: whether to unbind the box, and whether to agree to a change.

use core::time::Duration;

use super::{fresh, launches, live, ms, touch, words};
use crate::{CaptureExit, CaptureReport, Event, Fault, LampPattern, Machine, Phase, Reason};

/// An idle box that asks since 1 s whether to unbind it.
fn asked() -> Machine {
    let mut machine = fresh();
    let effects = words(&machine.step(ms(1000), Event::UnbindRequest));
    assert_eq!(effects, ["RecordUnbindRequest", "SetLamp(UnbindRequest)"]);
    assert_eq!((machine.phase(), machine.reason()), (Phase::Requested, Some(Reason::Unbind)));
    assert!(machine.asks_to_unbind() && !machine.asks_to_start());
    machine
}

#[test]
fn a_hold_of_two_seconds_confirms_once_it_is_let_go() {
    let mut machine = asked();
    let held = words(&machine.step(ms(2000), Event::ButtonDown));
    assert!(held.is_empty(), "{held:?}");
    for at in (2010..=4600).step_by(10) {
        let said = words(&machine.step(ms(at), Event::Tick));
        let wanted: &[&str] = if at == 4000 { &["SetLamp(UnbindWarning)"] } else { &[] };
        assert_eq!(said, wanted, "{at}: the lamp says when it is enough, and nothing happens before the release");
    }
    let effects = words(&machine.step(ms(4600), Event::ButtonUp));
    assert_eq!(effects, ["RecordRequestEnded(Unbind)", "Unbind", "SetLamp(LockFlash)"]);
    assert_eq!((machine.phase(), machine.reason()), (Phase::Locked, Some(Reason::Unbind)));
}

#[test]
fn a_shorter_touch_declines_and_starts_nothing() {
    for held in [30, 300, 699, 700, 1500, 1990] {
        let mut machine = asked();
        let effects = touch(&mut machine, 2000, 2000 + held);
        assert_eq!(words(&effects), ["RecordRequestEnded(Declined)", "SetLamp(Dark)"], "{held}");
        assert_eq!((machine.phase(), machine.reason()), (Phase::Idle, Some(Reason::Declined)), "{held}");
        // The next press is an ordinary one.
        assert_eq!(launches(touch(&mut machine, 10_000, 10_100)).len(), 1);
    }
}

#[test]
fn the_question_times_out_and_what_is_held_then_starts_nothing() {
    let mut machine = asked();
    assert!(machine.step(ms(60_999), Event::Tick).is_empty());
    assert_eq!(machine.deadline(), Some(ms(61_000)));
    assert_eq!(words(&machine.step(ms(61_000), Event::Tick)), ["RecordRequestEnded(RequestTimeout)", "SetLamp(Dark)"]);
    // Down in the last second of the question, up after it.
    for held in [500, 2500, 4000] {
        let mut machine = asked();
        let effects = words(&touch(&mut machine, 60_900, 60_900 + held));
        assert_eq!(effects, ["RecordRequestEnded(RequestTimeout)", "SetLamp(Dark)"], "{held}");
        assert!(!machine.is_unbound() && machine.phase() == Phase::Idle, "{held}");
    }
    // And a touch that comes just too late.
    for (down, launched) in [(61_000, 0), (61_999, 0), (62_000, 1)] {
        let mut machine = asked();
        machine.step(ms(61_000), Event::Tick);
        assert_eq!(launches(touch(&mut machine, down, down + 300)).len(), launched, "{down}");
    }
}

#[test]
fn a_touch_of_before_is_no_answer() {
    let mut machine = fresh();
    machine.step(ms(500), Event::ButtonDown);
    assert!(machine.step(ms(1000), Event::UnbindRequest).is_empty(), "not while a finger is on it");
    machine.step(ms(1200), Event::ButtonUp);
    // The guard was busy: the kernel saw the button go down before the question.
    let mut machine = asked();
    machine.step(ms(1500), Event::ButtonDown);
    for at in (1550..=3900).step_by(50) {
        machine.step(ms(at), Event::Tick);
    }
    machine.step(ms(3900), Event::ButtonHeldFor(Duration::from_secs(3)));
    assert_eq!(words(&machine.step(ms(3900), Event::ButtonUp))[0], "RecordRequestEnded(Declined)");
    assert!(!machine.is_unbound());
}

#[test]
fn a_hold_that_nobody_saw_or_that_clocks_dispute_confirms_nothing() {
    // Heard late, at once.
    let mut machine = asked();
    machine.step(ms(10_000), Event::ButtonDown);
    machine.step(ms(10_030), Event::ButtonHeldFor(Duration::from_secs(3)));
    assert_eq!(words(&machine.step(ms(10_030), Event::ButtonUp))[0], "RecordRequestEnded(Declined)");
    // The kernel saw less than the guard, or the button was only found to be down.
    for (event, told) in [(Event::ButtonDown, 1900), (Event::ButtonFoundDown, 3000)] {
        let mut machine = asked();
        machine.step(ms(10_000), event);
        for at in (10_050..=13_000).step_by(50) {
            machine.step(ms(at), Event::Tick);
        }
        machine.step(ms(13_000), Event::ButtonHeldFor(Duration::from_millis(told)));
        let effects = words(&machine.step(ms(13_000), Event::ButtonUp));
        assert_eq!(effects[0], "RecordRequestEnded(Declined)", "{event:?}: {effects:?}");
        assert!(!machine.is_unbound());
    }
    // The release reaches the 2 s itself: the lamp did not say that it is enough.
    for last_tick in [13_950, 14_000] {
        let mut machine = asked();
        machine.step(ms(12_000), Event::ButtonDown);
        for at in (12_050..=last_tick).step_by(50) {
            machine.step(ms(at), Event::Tick);
        }
        assert_eq!(words(&machine.step(ms(14_000), Event::ButtonUp))[0], "RecordRequestEnded(Declined)", "{last_tick}");
        assert!(!machine.is_unbound());
    }
}

#[test]
fn a_longer_hold_means_what_it_always_means() {
    let mut machine = asked();
    let effects = words(&touch(&mut machine, 2000, 7100));
    assert!(effects.contains(&"RecordRequestEnded(Lock)".into()) && effects.contains(&"RecordLock".into()));
    assert!(!effects.contains(&"Unbind".into()), "{effects:?}");
    let mut machine = asked();
    assert!(words(&touch(&mut machine, 2000, 12_500)).contains(&"Unbind".into()));
}

#[test]
fn only_an_idle_box_asks_and_anything_withdraws_the_question() {
    assert!(live().step(ms(5000), Event::UnbindRequest).is_empty());
    let mut machine = fresh();
    touch(&mut machine, 0, 5500);
    assert!(machine.step(ms(7000), Event::UnbindRequest).is_empty(), "a locked box does not ask");
    for (event, reason) in [
        (Event::RemoteStop, "Remote"),
        (Event::PolicyChanged, "Policy"),
        (Event::AgreementNeeded, "Agreement"),
        (Event::Revoke(Reason::Erase), "Erase"),
        (Event::FaultDetected(Fault::Button), "Fault(Button)"),
    ] {
        let mut machine = asked();
        let effects = words(&machine.step(ms(2000), event));
        assert_eq!(effects[0], format!("RecordRequestEnded({reason})"));
        assert!(!machine.asks_to_unbind());
    }
    assert!(asked().step(ms(2000), Event::RemoteRequest).is_empty(), "one question at a time");
}

#[test]
fn a_change_waits_for_a_hold_and_nothing_starts_meanwhile() {
    let mut machine = fresh();
    assert_eq!(words(&machine.step(ms(1000), Event::AgreementNeeded)), ["SetLamp(TripleBlink)"]);
    assert_eq!((machine.phase(), machine.reason()), (Phase::Policy, Some(Reason::Agreement)));
    assert!(launches(touch(&mut machine, 2000, 2100)).is_empty());
    assert_eq!(words(&touch(&mut machine, 3000, 5010)), ["RecordAgreement", "SetLamp(Dark)"]);
    machine.step(ms(6000), Event::AgreementNeeded);
    assert_eq!(words(&machine.step(ms(7000), Event::AgreementWithdrawn)), ["SetLamp(Dark)"]);
    assert_eq!((machine.phase(), machine.is_agreement_pending()), (Phase::Idle, false));
}

#[test]
fn a_session_goes_on_as_staff_started_it_and_the_change_waits_behind_it() {
    let mut machine = live();
    assert!(machine.step(ms(5000), Event::AgreementNeeded).is_empty());
    assert_eq!((machine.phase(), machine.lamp()), (Phase::Live, LampPattern::Solid));
    // The touch that stops was no answer, however long it is held.
    let mut effects = words(&machine.step(ms(6000), Event::ButtonDown));
    effects.extend(words(&machine.step(ms(6100), Event::CaptureExited(CaptureExit::Stopped))));
    for at in (6110..9000).step_by(10) {
        effects.extend(words(&machine.step(ms(at), Event::Tick)));
    }
    effects.extend(words(&machine.step(ms(9000), Event::ButtonUp)));
    assert!(!effects.contains(&"RecordAgreement".into()), "{effects:?}");
    assert_eq!(machine.phase(), Phase::Policy);
    machine.step(ms(9100), Event::CaptureReported(CaptureReport::Live));
    assert_eq!(words(&touch(&mut machine, 10_000, 12_010))[0], "RecordAgreement");
}

#[test]
fn a_policy_and_a_change_take_a_hold_each_and_none_that_began_before() {
    let mut machine = fresh();
    machine.step(ms(500), Event::ButtonDown);
    for at in (550..=1500).step_by(50) {
        machine.step(ms(at), Event::Tick);
    }
    machine.step(ms(1500), Event::PolicyChanged);
    machine.step(ms(1500), Event::AgreementNeeded);
    let mut effects = Vec::new();
    for at in (1550..=4000).step_by(50) {
        effects.extend(words(&machine.step(ms(at), Event::Tick)));
    }
    effects.extend(words(&machine.step(ms(4000), Event::ButtonUp)));
    assert!(effects.is_empty(), "{effects:?}");
    assert_eq!(machine.reason(), Some(Reason::Policy));
    assert_eq!(words(&touch(&mut machine, 5000, 8000)), ["RecordPolicyAcknowledged"]);
    assert_eq!(machine.reason(), Some(Reason::Agreement));
    assert_eq!(words(&touch(&mut machine, 9000, 12_000)), ["RecordAgreement", "SetLamp(Dark)"]);
}

#[test]
fn a_question_that_a_fault_interrupted_is_not_answered_by_a_hold_of_before() {
    for asked in [Event::PolicyChanged, Event::AgreementNeeded] {
        for fault in [Fault::Lamp, Fault::Ledger, Fault::Power, Fault::Tamper] {
            let mut machine = fresh();
            machine.step(ms(1000), asked);
            machine.step(ms(2000), Event::ButtonDown);
            machine.step(ms(2100), Event::FaultDetected(fault));
            machine.step(ms(2200), Event::FaultCleared(fault));
            for at in (2300..=4900).step_by(100) {
                assert!(machine.step(ms(at), Event::Tick).is_empty(), "{asked:?} {fault:?} {at}");
            }
            assert!(machine.step(ms(4900), Event::ButtonUp).is_empty(), "{asked:?} {fault:?}");
            assert_eq!(machine.phase(), Phase::Policy);
            touch(&mut machine, 6000, 8010);
            assert_eq!(machine.phase(), Phase::Idle, "a hold of its own answers: {asked:?} {fault:?}");
        }
    }
}
