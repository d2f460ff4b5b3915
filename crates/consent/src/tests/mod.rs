//! Each rule of docs/consent.md, by hand-written examples.

use core::time::Duration;

mod any;
mod button;
mod exhaustive;
mod minors;
mod onlooker;
mod questions;
mod random;
mod sound;

use monotonic::Monotonic;

use super::{
    CaptureExit, CaptureReport, CaptureSettings, Effect, Event, Fault, LampPattern, Machine, PersistedState, Phase,
    Reason, SessionId, SessionLimits,
};

pub(super) const fn ms(millis: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(millis))
}

pub(super) fn fresh() -> Machine {
    let memory = PersistedState { last_session: SessionId(41), locked: false, parted: None, policy_pending: false };
    let mut machine = Machine::restore(SessionLimits::default(), memory);
    assert!(machine.step(ms(0), Event::ButtonUp).is_empty());
    machine
}

pub(super) fn words(effects: &[Effect]) -> Vec<String> {
    effects.iter().map(|effect| format!("{effect:?}")).collect()
}

/// A touch from `down` to `up`, with ticks every 10 ms as the guard gives them.
pub(super) fn touch(machine: &mut Machine, down: u64, up: u64) -> Vec<Effect> {
    let mut all = machine.step(ms(down), Event::ButtonDown);
    for at in (down + 10..up).step_by(10) {
        all.extend(machine.step(ms(at), Event::Tick));
    }
    all.extend(machine.step(ms(up), Event::ButtonUp));
    all
}

pub(super) fn live() -> Machine {
    let mut machine = fresh();
    touch(&mut machine, 100, 200);
    machine.step(ms(900), Event::CaptureReported(CaptureReport::Live));
    assert_eq!(machine.phase(), Phase::Live);
    machine
}

pub(super) fn launches(effects: Vec<Effect>) -> Vec<(SessionId, bool)> {
    effects
        .into_iter()
        .filter_map(|effect| if let Effect::Launch(grant) = effect { Some(grant.spend()) } else { None })
        .map(|(session, sound, _)| (session, sound))
        .collect()
}

#[test]
fn a_press_lights_the_lamp_then_writes_then_starts() {
    let mut machine = fresh();
    assert!(machine.step(ms(100), Event::ButtonDown).is_empty());
    let effects = machine.step(ms(200), Event::ButtonUp);
    assert_eq!(
        words(&effects),
        [
            "SetLamp(FastBlink)",
            "RecordStart { session: SessionId(42), sound: true, purpose: OnAir, guardian: false }",
            "Launch(Grant { session: SessionId(42), sound: true, purpose: OnAir })"
        ]
    );
    assert_eq!(machine.phase(), Phase::Connecting);
}

#[test]
fn the_length_of_the_press_decides_about_the_microphone() {
    for (held, wanted) in
        [(30, Some(true)), (699, Some(true)), (700, Some(false)), (2999, Some(false)), (3000, None), (4990, None)]
    {
        let started = launches(touch(&mut fresh(), 100, 100 + held));
        assert_eq!(started.first().map(|&(_, sound)| sound), wanted, "held for {held} ms");
    }
}

#[test]
fn a_button_that_is_down_at_boot_is_no_press() {
    let memory = PersistedState { last_session: SessionId(0), locked: false, parted: None, policy_pending: false };
    let mut machine = Machine::restore(SessionLimits::default(), memory);
    assert!(machine.step(ms(50), Event::ButtonUp).is_empty());
    assert_eq!(machine.phase(), Phase::Idle);
}

#[test]
fn any_touch_stops_on_the_way_down_and_starts_nothing_on_the_way_up() {
    let mut machine = live();
    let effects = machine.step(ms(5000), Event::ButtonDown);
    assert_eq!(words(&effects), ["Stop(Press)", "SetLamp(FastBlink)"]);
    assert_eq!(
        words(&machine.step(ms(5020), Event::CaptureExited(CaptureExit::Stopped))),
        ["RecordStop { session: SessionId(42), reason: Press }", "SetLamp(Dark)"]
    );
    assert!(machine.step(ms(5100), Event::ButtonUp).is_empty());
    assert_eq!(machine.phase(), Phase::Idle);
}

#[test]
fn a_capture_that_does_not_go_is_killed_again_and_again_and_the_lamp_stays_lit() {
    let mut machine = live();
    machine.step(ms(5000), Event::RemoteStop);
    assert!(machine.step(ms(5299), Event::Tick).is_empty());
    assert_eq!(words(&machine.step(ms(5300), Event::Tick)), ["Kill"]);
    assert_eq!(machine.deadline(), Some(ms(5400)));
    assert!(machine.step(ms(5399), Event::Tick).is_empty());
    assert_eq!(words(&machine.step(ms(5400), Event::Tick)), ["Kill"]);
    assert_eq!(machine.lamp(), LampPattern::FastBlink);
    assert_eq!(machine.phase(), Phase::Stopping);
}

#[test]
fn remote_asks_and_staff_answer_or_not() {
    let mut machine = fresh();
    assert_eq!(words(&machine.step(ms(1000), Event::RemoteRequest)), ["RecordRequest(OnAir)", "SetLamp(SlowPulse)"]);
    assert!(machine.step(ms(60_999), Event::Tick).is_empty());
    assert_eq!(words(&machine.step(ms(61_000), Event::Tick)), ["RecordRequestEnded(RequestTimeout)", "SetLamp(Dark)"]);
    machine.step(ms(70_000), Event::RemoteRequest);
    assert_eq!(launches(touch(&mut machine, 71_000, 71_100)).len(), 1);
}

#[test]
fn remote_stop_withdraws_the_request() {
    let mut machine = fresh();
    machine.step(ms(1000), Event::RemoteRequest);
    assert_eq!(words(&machine.step(ms(2000), Event::RemoteStop)), ["RecordRequestEnded(Remote)", "SetLamp(Dark)"]);
    assert_eq!(machine.reason(), Some(Reason::Remote));
    machine.step(ms(3000), Event::RemoteRequest);
    assert_eq!((machine.phase(), machine.reason()), (Phase::Requested, None), "a request has no reason but itself");
}

#[test]
fn a_probe_needs_a_press_too_and_is_short() {
    let mut machine = fresh();
    assert_eq!(words(&machine.step(ms(1000), Event::ProbeRequest)), ["RecordRequest(Probe)", "SetLamp(SlowPulse)"]);
    assert!(machine.step(ms(1100), Event::RemoteRequest).is_empty(), "one request at a time");
    let effects = words(&touch(&mut machine, 2000, 2100));
    let start = "RecordStart { session: SessionId(42), sound: true, purpose: Probe, guardian: false }";
    assert_eq!(effects[..2], ["SetLamp(FastBlink)".to_owned(), start.to_owned()]);
    assert!(effects[2].contains("purpose: Probe"), "{effects:?}");
    assert_eq!(machine.deadline(), Some(ms(22_100)));
    assert_eq!(words(&machine.step(ms(22_100), Event::Tick))[0], "Stop(MaxSession)");
    machine.step(ms(22_200), Event::CaptureExited(CaptureExit::Stopped));
    let effects = words(&touch(&mut machine, 30_000, 30_100));
    assert!(effects[1].contains("purpose: OnAir"), "the next press is for the show: {effects:?}");
}

#[test]
fn a_touch_has_its_deadlines() {
    let mut machine = fresh();
    machine.step(ms(1000), Event::ButtonDown);
    // The button is polled ten times a second, and exactly when a hold is reached.
    for due in (1100..=31_000).step_by(100) {
        assert_eq!(machine.deadline(), Some(ms(due)));
        machine.step(ms(due), Event::Tick);
    }
    assert_eq!(machine.deadline(), None, "it is stuck, and nothing more is counted");
}

#[test]
fn words_are_those_of_the_contract() {
    let phases = [
        Phase::Idle,
        Phase::Requested,
        Phase::Connecting,
        Phase::Live,
        Phase::Reconnecting,
        Phase::Stopping,
        Phase::Locked,
        Phase::Policy,
        Phase::Fault,
    ];
    let words = "idle requested connecting live reconnecting stopping locked policy fault";
    assert_eq!(phases.map(Phase::as_str).join(" "), words);
    let lamps = [
        LampPattern::Dark,
        LampPattern::SlowPulse,
        LampPattern::FastBlink,
        LampPattern::Solid,
        LampPattern::DoubleBlink,
        LampPattern::Sos,
    ];
    assert_eq!(lamps.map(LampPattern::as_str).join(" "), "dark slow-pulse fast-blink solid double-blink sos");
    assert_eq!(SessionId(42).to_string(), "42");
}

#[test]
fn a_hold_of_five_seconds_locks_and_two_unlock() {
    let mut machine = live();
    let effects = touch(&mut machine, 5000, 10_050);
    assert!(words(&effects).contains(&"Stop(Press)".into()), "{effects:?}");
    assert!(words(&effects).contains(&"RecordLock".into()) && words(&effects).contains(&"DestroyFootage".into()));
    assert_eq!(machine.phase(), Phase::Stopping, "the lamp tells the truth before it says locked");
    machine.step(ms(10_100), Event::CaptureExited(CaptureExit::Stopped));
    assert_eq!((machine.phase(), machine.lamp()), (Phase::Locked, LampPattern::LockFlash));
    assert!(launches(touch(&mut machine, 20_000, 20_100)).is_empty());
    assert!(!words(&touch(&mut machine, 30_000, 31_990)).contains(&"RecordUnlock".into()));
    let effects = touch(&mut machine, 40_000, 42_020);
    assert_eq!(words(&effects), ["RecordUnlock", "SetLamp(Dark)"]);
    assert_eq!(machine.phase(), Phase::Idle);
}

#[test]
fn a_lock_survives_a_power_cut() {
    let memory = PersistedState { last_session: SessionId(7), locked: true, parted: None, policy_pending: true };
    let mut machine = Machine::restore(SessionLimits::default(), memory);
    assert_eq!(machine.phase(), Phase::Locked);
    machine.step(ms(0), Event::ButtonUp);
    touch(&mut machine, 100, 2200);
    assert_eq!(machine.phase(), Phase::Policy);
    assert_eq!(words(&touch(&mut machine, 3000, 5010)), ["RecordPolicyAcknowledged", "SetLamp(Dark)"]);
}

#[test]
fn a_new_policy_stops_and_asks() {
    let mut machine = live();
    assert_eq!(words(&machine.step(ms(5000), Event::PolicyChanged)), ["Stop(Policy)", "SetLamp(FastBlink)"]);
    machine.step(ms(5050), Event::CaptureExited(CaptureExit::Stopped));
    assert_eq!((machine.phase(), machine.lamp()), (Phase::Policy, LampPattern::TripleBlink));
    assert!(machine.step(ms(5100), Event::RemoteRequest).is_empty());
    assert!(launches(touch(&mut machine, 6000, 6100)).is_empty());
}

#[test]
fn each_fault_ends_capture_and_keeps_it_ended() {
    for fault in Fault::ALL {
        let mut machine = live();
        let effects = words(&machine.step(ms(5000), Event::FaultDetected(fault)));
        assert_eq!(effects[0], format!("Stop(Fault({fault:?}))"));
        assert_eq!(effects[1], format!("RecordFault({fault:?})"));
        machine.step(ms(5050), Event::CaptureExited(CaptureExit::Stopped));
        assert_eq!((machine.phase(), machine.lamp()), (Phase::Fault, LampPattern::Sos));
        let effects = touch(&mut machine, 6000, 6100);
        assert!(words(&effects).contains(&"SelfTest".into()) && launches(effects).is_empty());
        for other in Fault::ALL.into_iter().filter(|&other| other != fault) {
            machine.step(ms(6200), Event::FaultCleared(other));
            assert!(machine.has_fault(fault), "mending {other:?} is not mending {fault:?}");
        }
        machine.step(ms(6300), Event::FaultCleared(fault));
        assert_eq!(machine.phase(), Phase::Idle);
    }
}

#[test]
fn the_failure_of_a_broken_lamp_does_not_call_for_itself() {
    let mut machine = fresh();
    assert!(words(&machine.step(ms(1), Event::FaultDetected(Fault::Lamp))).contains(&"SetLamp(Sos)".into()));
    assert!(machine.step(ms(2), Event::FaultDetected(Fault::Lamp)).is_empty());
}

#[test]
fn a_stop_that_cannot_be_written_leaves_the_lamp_saying_fault() {
    let mut machine = live();
    machine.step(ms(5000), Event::RemoteStop);
    machine.step(ms(5050), Event::CaptureExited(CaptureExit::Stopped));
    // The lamp was in doubt after the failed write.
    assert!(words(&machine.step(ms(5060), Event::FaultDetected(Fault::Ledger))).contains(&"SetLamp(Sos)".into()));
    assert!(words(&machine.step(ms(5070), Event::FaultDetected(Fault::Ledger))).contains(&"SetLamp(Sos)".into()));
}

#[test]
fn the_longest_session_and_the_reconnect_window_end_it() {
    let mut machine = live();
    let end = 200 + 4 * 3600 * 1000;
    assert_eq!(machine.deadline(), Some(ms(end)));
    assert!(machine.step(ms(end - 1), Event::Tick).is_empty());
    assert_eq!(words(&machine.step(ms(end), Event::Tick))[0], "Stop(MaxSession)");

    let mut machine = live();
    assert_eq!(
        words(&machine.step(ms(10_000), Event::CaptureReported(CaptureReport::Reconnecting))),
        ["SetLamp(DoubleBlink)"]
    );
    machine.step(ms(20_000), Event::CaptureReported(CaptureReport::Reconnecting));
    assert_eq!(machine.deadline(), Some(ms(610_000)), "a second failure does not begin the window anew");
    assert!(machine.step(ms(609_999), Event::Tick).is_empty());
    assert_eq!(words(&machine.step(ms(610_000), Event::Tick))[0], "Stop(ReconnectWindow)");

    let mut machine = fresh();
    touch(&mut machine, 0, 100);
    machine.step(ms(500), Event::CaptureReported(CaptureReport::Reconnecting));
    assert_eq!(machine.phase(), Phase::Connecting);
    assert_eq!(words(&machine.step(ms(600_100), Event::Tick))[0], "Stop(ReconnectWindow)");
}

#[test]
fn the_reason_tells_how_capture_ended() {
    for (outcome, reason) in [
        (CaptureExit::Died, Reason::CaptureDied),
        (CaptureExit::Stopped, Reason::CaptureDied),
        (CaptureExit::ProbeFinished, Reason::Probed),
        (CaptureExit::Failed, Reason::CaptureFailed),
        (CaptureExit::NeverStarted, Reason::NeverStarted),
    ] {
        let mut machine = live();
        machine.step(ms(5000), Event::CaptureExited(outcome));
        assert_eq!((machine.phase(), machine.reason()), (Phase::Idle, Some(reason)));
    }
}

#[test]
fn a_lock_after_a_remote_stop_is_a_lock() {
    let mut machine = live();
    machine.step(ms(5000), Event::RemoteStop);
    assert_eq!((machine.phase(), machine.reason()), (Phase::Stopping, Some(Reason::Remote)));
    machine.step(ms(5100), Event::CaptureExited(CaptureExit::Stopped));
    assert_eq!((machine.phase(), machine.reason()), (Phase::Idle, Some(Reason::Remote)));
    touch(&mut machine, 6000, 12_000);
    assert_eq!((machine.phase(), machine.reason()), (Phase::Locked, Some(Reason::Lock)));
    machine.step(ms(13_000), Event::FaultDetected(Fault::Power));
    assert_eq!((machine.phase(), machine.reason()), (Phase::Fault, Some(Reason::Fault(Fault::Power))));
}

#[test]
fn reasons_lamps_have_their_own_words_and_lamps_their_rhythm() {
    assert_eq!(Reason::RequestTimeout.as_str(), "request-timeout");
    assert_eq!(LampPattern::Solid.lit(Duration::from_secs(77)), (true, None));
    assert_eq!(LampPattern::Dark.lit(Duration::from_secs(77)), (false, None));
    assert_eq!(LampPattern::FastBlink.lit(Duration::ZERO), (true, Some(Duration::from_millis(125))));
    assert_eq!(LampPattern::FastBlink.lit(Duration::from_millis(375)), (false, Some(Duration::from_millis(125))));
    assert_eq!(LampPattern::SolidNotched.lit(Duration::from_millis(1950)), (false, Some(Duration::from_millis(50))));
    for lamp in [
        LampPattern::SlowPulse,
        LampPattern::DoubleBlink,
        LampPattern::TripleBlink,
        LampPattern::LockFlash,
        LampPattern::Sos,
        LampPattern::UnbindWarning,
        LampPattern::UnbindRequest,
        LampPattern::ReleaseNow,
        LampPattern::Identify,
        LampPattern::Notice,
    ] {
        let period: u64 = lamp.spans().iter().map(|&span| u64::from(span)).sum();
        let on = (0..period).filter(|&at| lamp.lit(Duration::from_millis(at)).0).count() as u64;
        let wanted: u64 = lamp.spans().iter().step_by(2).map(|&span| u64::from(span)).sum();
        assert_eq!(on, wanted, "{lamp:?}");
    }
}
