//! Minors' mode, and the end of the service.

use core::time::Duration;

use monotonic::Monotonic;

use super::{fresh, launches, live, ms, touch, words};
use crate::{CaptureExit, CaptureReport, Effect, Event, Fault, LampPattern, Machine, Phase, Reason, SessionLimits};

/// An idle box in minors' mode.
fn minors() -> Machine {
    let mut machine = fresh();
    machine.set_limits(SessionLimits { minors_mode: true, ..SessionLimits::default() });
    machine
}

/// The same after a press that was let go at 1 s.
fn pressed(sound: bool) -> Machine {
    let mut machine = minors();
    let effects = touch(&mut machine, if sound { 900 } else { 0 }, 1000);
    assert_eq!(words(&effects), ["SetLamp(SlowPulse)"], "a press starts nothing");
    assert_eq!((machine.phase(), machine.reason()), (Phase::Requested, Some(Reason::Guardian)));
    assert!(machine.asks_for_guardian() && machine.asks_to_start());
    machine
}

#[test]
fn a_press_and_a_guardians_hold_start_what_the_press_said() {
    for sound in [true, false] {
        let mut machine = pressed(sound);
        assert!(machine.step(ms(5000), Event::ButtonDown).is_empty());
        for at in (5010..=7400).step_by(10) {
            let wanted: &[&str] = if at == 7000 { &["SetLamp(ReleaseNow)"] } else { &[] };
            let said = words(&machine.step(ms(at), Event::Tick));
            assert_eq!(said, wanted, "{at}: the lamp says when it is enough");
        }
        let effects = machine.step(ms(7400), Event::ButtonUp);
        assert!(
            matches!(effects[..], [
                Effect::SetLamp(LampPattern::FastBlink),
                Effect::RecordStart { guardian: true, sound: recorded, .. },
                Effect::Launch(_)
            ] if recorded == sound),
            "{effects:?}"
        );
        assert_eq!(launches(effects).len(), 1);
    }
}

#[test]
fn only_a_hold_of_two_to_three_seconds_counts_and_any_other_touch_declines() {
    for held in [30, 300, 690, 700, 1500, 1990, 3000, 3500, 4990] {
        let mut machine = pressed(true);
        assert!(launches(touch(&mut machine, 5000, 5000 + held)).is_empty(), "{held}");
        assert_eq!((machine.phase(), machine.reason()), (Phase::Idle, Some(Reason::Declined)), "{held}");
    }
    for held in [2020, 2500, 2990] {
        let mut machine = pressed(true);
        assert_eq!(launches(touch(&mut machine, 5000, 5000 + held)), [(crate::SessionId(42), true)], "{held}");
    }
    // Too long: the lamp does not say that letting go starts.
    let mut machine = pressed(true);
    machine.step(ms(5000), Event::ButtonDown);
    for at in (5050..=8000).step_by(50) {
        machine.step(ms(at), Event::Tick);
    }
    assert_eq!(machine.lamp(), LampPattern::SlowPulse);
}

#[test]
fn the_hold_has_to_begin_in_time() {
    let mut machine = pressed(true);
    assert_eq!(machine.deadline(), Some(ms(61_000)));
    assert_eq!(words(&machine.step(ms(61_000), Event::Tick)), ["SetLamp(Dark)"]);
    assert_eq!((machine.phase(), machine.reason()), (Phase::Idle, Some(Reason::RequestTimeout)));
    // A hold that began in time is waited for, without a deadline that has passed.
    let mut machine = pressed(true);
    machine.step(ms(60_900), Event::ButtonDown);
    let mut now = ms(60_900);
    while now < ms(63_200) {
        let next = machine.deadline().unwrap();
        assert!(next > now, "{next:?} after {now:?}");
        now = next;
        machine.step(now, Event::Tick);
    }
    assert_eq!(launches(machine.step(ms(63_250), Event::ButtonUp)).len(), 1);
    // One that began too late starts nothing, nor asks again.
    let mut machine = pressed(true);
    assert!(launches(touch(&mut machine, 61_000, 63_500)).is_empty());
    assert_eq!(machine.phase(), Phase::Idle);
}

#[test]
fn what_ends_a_request_ends_the_wait_for_a_guardian() {
    let ends = [
        Event::RemoteStop,
        Event::PolicyChanged,
        Event::AgreementNeeded,
        Event::EndService,
        Event::FaultDetected(Fault::Power),
        Event::Revoke(Reason::Erase),
    ];
    for event in ends {
        let mut machine = pressed(true);
        // Also while the guardian is holding.
        machine.step(ms(5000), Event::ButtonDown);
        for at in (5050..=7000).step_by(50) {
            machine.step(ms(at), Event::Tick);
        }
        machine.step(ms(7050), event);
        machine.step(ms(7060), Event::FaultCleared(Fault::Power));
        machine.step(ms(7070), Event::AgreementWithdrawn);
        assert!(!machine.asks_for_guardian(), "{event:?}");
        assert!(launches(machine.step(ms(7200), Event::ButtonUp)).is_empty(), "{event:?}");
    }
}

#[test]
fn a_hold_that_clocks_dispute_starts_nothing() {
    for told in [1900, 3000] {
        let mut machine = pressed(true);
        machine.step(ms(5000), Event::ButtonDown);
        for at in (5050..=7500).step_by(50) {
            machine.step(ms(at), Event::Tick);
        }
        machine.step(ms(7500), Event::ButtonHeldFor(Duration::from_millis(told)));
        assert!(launches(machine.step(ms(7500), Event::ButtonUp)).is_empty(), "{told}");
    }
}

#[test]
fn sessions_are_short_and_nobody_far_away_asks() {
    let mut machine = minors();
    assert!(machine.step(ms(1000), Event::RemoteRequest).is_empty());
    assert_eq!(machine.phase(), Phase::Idle);
    let mut machine = pressed(true);
    touch(&mut machine, 5000, 7500);
    machine.step(ms(8000), Event::CaptureReported(CaptureReport::Live));
    let ends = Monotonic::from_start(Duration::from_mins(30) + Duration::from_millis(7500));
    assert_eq!(machine.deadline(), Some(ends));
    machine.step(ends, Event::Tick);
    assert_eq!(machine.reason(), Some(Reason::MaxSession));
    // A session that is configured to be shorter stays so.
    let mut machine = minors();
    let max_session = Duration::from_mins(5);
    machine.set_limits(SessionLimits { minors_mode: true, max_session, ..SessionLimits::default() });
    touch(&mut machine, 900, 1000);
    touch(&mut machine, 5000, 7500);
    machine.step(ms(8000), Event::CaptureReported(CaptureReport::Live));
    assert_eq!(machine.deadline(), Some(Monotonic::from_start(max_session + Duration::from_millis(7500))));
}

#[test]
fn a_probe_needs_a_guardian_too_and_its_request_is_closed() {
    let mut machine = minors();
    machine.step(ms(1000), Event::ProbeRequest);
    touch(&mut machine, 2000, 2100);
    assert!(machine.asks_for_guardian());
    assert_eq!(words(&machine.step(ms(62_100), Event::Tick))[0], "RecordRequestEnded(RequestTimeout)");
}

#[test]
fn the_end_of_the_service_stops_at_once_and_is_final() {
    let mut machine = live();
    let effects = words(&machine.step(ms(2000), Event::EndService));
    assert_eq!(effects, ["Stop(EndOfService)", "SetLamp(FastBlink)"]);
    let gone = words(&machine.step(ms(2100), Event::CaptureExited(CaptureExit::Stopped)));
    assert_eq!(gone[1..], ["EndService", "SetLamp(LockFlash)"], "{gone:?}");
    assert!(machine.is_unbound() && machine.is_service_ended());
    // No gesture ends that, not even an unbinding.
    let mut at = 10_000;
    for held in [100, 1500, 2500, 6000, 12_000] {
        let effects = touch(&mut machine, at, at + held);
        assert!(!words(&effects).iter().any(|effect| effect == "Unbind" || effect == "EndService"), "{held}");
        assert!(launches(effects).is_empty(), "{held}");
        assert_eq!((machine.phase(), machine.reason()), (Phase::Locked, Some(Reason::EndOfService)), "{held}");
        at += 20_000;
    }
    // Twice is once.
    assert!(!words(&machine.step(ms(at), Event::EndService)).iter().any(|effect| effect == "EndService"));
}
