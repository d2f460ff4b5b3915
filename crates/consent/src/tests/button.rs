//! Rules 9 and 10, and touches that the guard learns of late or through a failing button.

use core::time::Duration;

use super::{fresh, launches, live, ms, touch, words};
use crate::{
    CaptureExit, Effect, Event, Fault, LampPattern, Machine, Parting, PersistedState, Phase, Reason, SessionId,
    SessionLimits,
};

/// Both edges of a touch of `held` ms by the kernel's timestamps, processed at once.
fn heard_late(machine: &mut Machine, held: u64) -> Vec<Effect> {
    let mut all = machine.step(ms(70_000), Event::ButtonDown);
    all.extend(machine.step(ms(70_030), Event::ButtonHeldFor(Duration::from_millis(held))));
    all.extend(machine.step(ms(70_030), Event::ButtonUp));
    all
}

#[test]
fn a_press_that_is_heard_late_is_as_long_as_the_kernel_says() {
    for (held, sound) in [(100, Some(true)), (699, Some(true)), (700, Some(false)), (2999, Some(false))] {
        let started = launches(heard_late(&mut fresh(), held));
        assert_eq!(started.first().map(|&(_, sound)| sound), sound, "{held}");
    }
    // A touch that was measured as longer stays longer; without a touch the event means nothing.
    let mut machine = fresh();
    machine.step(ms(100), Event::ButtonHeldFor(Duration::from_secs(1)));
    machine.step(ms(200), Event::ButtonDown);
    machine.step(ms(1200), Event::ButtonHeldFor(Duration::from_millis(10)));
    assert_eq!(launches(machine.step(ms(1200), Event::ButtonUp)), [(SessionId(42), false)]);
}

#[test]
fn a_hold_of_three_seconds_starts_nothing_however_late_it_is_heard() {
    for held in [3000, 4999, 5000, 6000, 9999, 10_000, 29_999, 30_000, 600_000] {
        let mut machine = fresh();
        let said = words(&heard_late(&mut machine, held));
        let locks = held >= 5000;
        let wanted: &[&str] = match held {
            0..5000 => &[],
            5000..30_000 => &["RecordLock", "DestroyFootage", "SetLamp(LockFlash)"],
            _ => &["RecordLock", "SetLamp(LockFlash)"],
        };
        assert_eq!(said, wanted, "{held}");
        assert_eq!(machine.phase(), if locks { Phase::Locked } else { Phase::Idle }, "{held}");
    }
}

#[test]
fn nothing_opens_for_a_hold_that_nobody_saw() {
    for held in [2000, 2500, 4000, 6000] {
        for (locked, policy_pending, phase) in [(true, false, Phase::Locked), (false, true, Phase::Policy)] {
            let memory = PersistedState { last_session: SessionId(41), locked, parted: None, policy_pending };
            let mut machine = Machine::restore(SessionLimits::default(), memory);
            machine.step(ms(0), Event::ButtonUp);
            heard_late(&mut machine, held);
            // The hold that locks takes effect late too.
            let wanted = if held == 6000 { Phase::Locked } else { phase };
            assert_eq!(machine.phase(), wanted, "{held}");
        }
    }
}

/// A short press on a locked box: the guard is busy for seconds and learns of the release only then.
#[test]
fn time_in_which_nobody_looked_does_not_count_as_held() {
    let memory = PersistedState { last_session: SessionId(41), locked: true, parted: None, policy_pending: false };
    let mut machine = Machine::restore(SessionLimits::default(), memory);
    machine.step(ms(0), Event::ButtonUp);
    machine.step(ms(1000), Event::ButtonDown);
    assert!(machine.step(ms(1100), Event::Tick).is_empty());
    assert!(machine.step(ms(12_000), Event::Tick).is_empty(), "neither unlocked, nor warned");
    machine.step(ms(12_030), Event::ButtonHeldFor(Duration::from_millis(1500)));
    assert!(machine.step(ms(12_030), Event::ButtonUp).is_empty());
    assert_eq!(machine.phase(), Phase::Locked);
}

#[test]
fn a_button_that_was_only_found_to_be_down_stops_and_starts_nothing() {
    let mut machine = live();
    assert_eq!(words(&machine.step(ms(5000), Event::ButtonFoundDown))[0], "Stop(Press)");
    let mut machine = fresh();
    machine.step(ms(100), Event::ButtonFoundDown);
    assert!(machine.step(ms(200), Event::ButtonUp).is_empty());
    assert_eq!(machine.phase(), Phase::Idle);
}

#[test]
fn ten_seconds_unbind_when_let_go_after_a_warning() {
    let mut machine = fresh();
    let effects = words(&touch(&mut machine, 0, 9_990));
    assert!(effects.contains(&"SetLamp(UnbindWarning)".into()) && !effects.contains(&"Unbind".into()), "{effects:?}");
    assert_eq!(machine.lamp(), LampPattern::LockFlash, "let go: the lock stays, the warning goes");
    machine.step(ms(20_000), Event::ButtonDown);
    for at in (20_010..45_000).step_by(10) {
        let said = words(&machine.step(ms(at), Event::Tick));
        assert!(!said.contains(&"Unbind".into()) && !said.contains(&"DestroyFootage".into()), "{at}: {said:?}");
        if at > 28_000 {
            assert_eq!(machine.lamp(), LampPattern::UnbindWarning, "it warns as long as letting go would unbind: {at}");
        }
    }
    let effects = words(&machine.step(ms(45_000), Event::ButtonUp));
    assert_eq!(effects, ["Unbind", "SetLamp(LockFlash)"]);
}

/// A crushed cable, or a box that leans on its button: nothing happens that cannot be undone.
#[test]
fn a_button_that_does_not_come_up_is_a_fault_and_destroys_nothing() {
    let mut machine = fresh();
    let effects = words(&touch(&mut machine, 0, 600_000));
    assert!(effects.contains(&"RecordFault(Button)".into()) && effects.contains(&"RecordLock".into()), "{effects:?}");
    assert!(!effects.contains(&"Unbind".into()) && !effects.contains(&"DestroyFootage".into()), "{effects:?}");
    assert_eq!((machine.phase(), machine.is_unbound()), (Phase::Fault, false));
    machine.step(ms(600_100), Event::FaultCleared(Fault::Button));
    assert_eq!(machine.phase(), Phase::Locked, "and what was reached on the way stays");
}

/// Released just after 30 s, before the tick that would have found the button stuck.
#[test]
fn unbinding_ends_at_thirty_seconds() {
    for (held, unbinds) in [(9_990, false), (10_010, true), (29_980, true), (30_000, false)] {
        let effects = words(&touch(&mut fresh(), 0, held));
        assert_eq!(effects.contains(&"Unbind".into()), unbinds, "{held}: {effects:?}");
    }
}

#[test]
fn unbinding_wants_every_clock_to_agree_and_the_lamp_to_have_warned() {
    let held_until = |machine: &mut Machine, until: u64| {
        machine.step(ms(0), Event::ButtonDown);
        for at in (50..=until).step_by(50) {
            machine.step(ms(at), Event::Tick);
        }
    };
    for (seen, told, unbinds) in
        [(11_000, 11_030, true), (11_000, 9_990, false), (9_900, 11_000, false), (11_000, 30_000, false)]
    {
        let mut machine = fresh();
        held_until(&mut machine, seen);
        machine.step(ms(seen + 30), Event::ButtonHeldFor(Duration::from_millis(told)));
        let effects = words(&machine.step(ms(seen + 30), Event::ButtonUp));
        assert_eq!(effects.contains(&"Unbind".into()), unbinds, "{seen} {told}: {effects:?}");
    }
    let mut machine = fresh();
    held_until(&mut machine, 7_000);
    machine.step(ms(15_000), Event::ButtonHeldFor(Duration::from_secs(15)));
    assert!(!words(&machine.step(ms(15_000), Event::ButtonUp)).contains(&"Unbind".into()), "nobody was warned");
}

#[test]
fn unbinding_waits_until_capture_is_gone() {
    let mut machine = live();
    let effects = touch(&mut machine, 5000, 15_010);
    assert!(!words(&effects).contains(&"Unbind".into()));
    assert!(words(&machine.step(ms(15_100), Event::CaptureExited(CaptureExit::Stopped))).contains(&"Unbind".into()));
}

/// The chip is unplugged (GPIO over USB) while the button is down: its state is unknown.
#[test]
fn a_broken_button_ends_the_touch() {
    for broken_at in [1000, 4900, 7900, 9900, 12_000] {
        let mut machine = fresh();
        machine.step(ms(0), Event::ButtonDown);
        for at in (10..broken_at).step_by(10) {
            machine.step(ms(at), Event::Tick);
        }
        machine.step(ms(broken_at), Event::FaultDetected(Fault::Button));
        for at in (broken_at..broken_at + 60_000).step_by(10) {
            let said = machine.step(ms(at), Event::Tick);
            assert!(said.is_empty(), "broken at {broken_at}, at {at}: {said:?}");
        }
        assert_ne!(machine.lamp(), LampPattern::UnbindWarning);
        // The fault is cleared while the button is down: next comes a release whose press nobody saw.
        machine.step(ms(80_000), Event::FaultCleared(Fault::Button));
        machine.step(ms(80_100), Event::ButtonHeldFor(Duration::from_millis(100)));
        let said = words(&machine.step(ms(80_100), Event::ButtonUp));
        assert!(said.is_empty(), "{said:?}");
        machine.step(ms(81_000), Event::ButtonDown);
        assert_eq!(machine.phase(), if broken_at > 5000 { Phase::Locked } else { Phase::Idle });
    }
}

#[test]
fn what_a_broken_button_says_only_stops() {
    let mut machine = fresh();
    machine.step(ms(0), Event::FaultDetected(Fault::Button));
    for at in [100, 20_000] {
        let effects = words(&touch(&mut machine, at, at + 12_000));
        assert_eq!(effects, ["SelfTest"], "a release is worth a look, and nothing else is believed");
    }
}

#[test]
fn an_unbound_box_captures_nothing_and_no_gesture_ends_that() {
    let mut machine = fresh();
    assert!(words(&touch(&mut machine, 0, 11_000)).contains(&"Unbind".into()));
    let memory = PersistedState {
        last_session: SessionId(41),
        locked: false,
        parted: Some(Parting::Unbound),
        policy_pending: true,
    };
    let mut again = Machine::restore(SessionLimits::default(), memory);
    again.step(ms(0), Event::ButtonUp);
    for (mut machine, name) in [(machine, "just now"), (again, "before the power cut")] {
        assert_eq!((machine.phase(), machine.lamp()), (Phase::Locked, LampPattern::LockFlash), "{name}");
        assert_eq!(machine.reason(), Some(Reason::Unbind), "{name}");
        for (from, held) in [(20_000, 100), (30_000, 1000), (40_000, 2500), (50_000, 4000), (60_000, 6000)] {
            assert!(launches(touch(&mut machine, from, from + held)).is_empty(), "{name}, {held}");
            assert!(machine.step(ms(from + 8000), Event::RemoteRequest).is_empty(), "{name}");
            assert_eq!((machine.phase(), machine.is_unbound()), (Phase::Locked, true), "{name}, {held}");
        }
        // A later hold locks the box as ever; when the lock ends, the box is as unbound as before.
        assert_eq!(words(&touch(&mut machine, 80_000, 82_500)), ["RecordUnlock"], "{name}");
        assert_eq!(machine.phase(), Phase::Locked, "{name}");
    }
}
