//! No text claims more than what is confirmed, in each phase and condition; and what a touch is said to bring is what
//! the consent machine does with it.

use core::time::Duration;
use monotonic::Monotonic;

use super::{Camera, PageText, page_text};
use crate::demo::observation::{Guard, Observation};
use crate::demo::press_outcome::{Outcome, Situation, spans};
use crate::ipc::{Fault, LampPattern, Phase, Status, StreamStats};
use consent::{CaptureExit, Effect, Event, Machine, Parting, PersistedState, Reason, SessionId, SessionLimits};

fn status(phase: Phase, reason: Option<&str>, muted: bool, unbound: bool, faults: &[Fault]) -> Guard {
    let status = Status {
        phase,
        reason: reason.map(str::to_owned),
        muted,
        faults: faults.to_vec(),
        unbound,
        panel: "sim".to_owned(),
        ..Status::idle(jiff::Timestamp::UNIX_EPOCH, "2022-07-11")
    };
    Guard::Answers(Box::new(status))
}

fn plainly(phase: Phase) -> Guard {
    status(phase, None, false, false, &[])
}

/// Everything that can be seen, in all its combinations.
fn all() -> Vec<Observation> {
    let mut guards = vec![Guard::Away, Guard::Silent];
    for phase in Phase::ALL {
        for reason in [None, Some("camera-lost"), Some("microphone-lost"), Some("press"), Some("capture-died")] {
            for (muted, unbound) in [(false, false), (true, false), (false, true)] {
                guards.push(status(phase, reason, muted, unbound, &[]));
                guards.push(status(phase, reason, muted, unbound, &[Fault::Lamp, Fault::Button]));
            }
        }
    }
    let mut all = Vec::new();
    for guard in guards {
        for capture in [None, Some(false), Some(true)] {
            for arriving in [false, true] {
                for lamp in [None, Some(LampPattern::Dark), Some(LampPattern::Solid)] {
                    all.push(Observation { guard: guard.clone(), capture, lamp, arriving });
                }
            }
        }
    }
    all
}

/// All texts of the page about the box, but for what a touch would bring.
fn texts(words: &PageText) -> String {
    let PageText { state, why, camera: _, camera_says, sound, picture, button, spans: _, mute, lamp } = words;
    [state, why.as_deref().unwrap_or_default(), camera_says, sound, picture, button, mute, lamp].join("\n")
}

#[test]
fn the_camera_is_called_off_only_where_box_and_kernel_say_so() {
    let mut off = 0;
    for seen in all() {
        let said = page_text(&seen);
        let confirmed = seen.capture == Some(false) && !seen.guard.phase().is_some_and(Phase::may_capture);
        assert_eq!(said.camera == Camera::Off, confirmed, "{seen:?}");
        let claims = texts(&said).to_lowercase();
        let claimed =
            ["is off", "are off", "no process", "does not exist", "not open"].iter().any(|word| claims.contains(word));
        assert_eq!(claimed, confirmed, "{claims}");
        // The same sentence stands beside the button and in the place of the picture; nothing else speaks of the
        // camera.
        for other in [said.picture, said.button, said.mute, said.lamp] {
            assert!(!other.to_lowercase().contains("camera"), "{other}");
        }
        off += usize::from(confirmed);
    }
    assert!(off > 100);
}

#[test]
fn a_capture_process_that_exists_is_never_kept_quiet() {
    for seen in all().into_iter().filter(|seen| seen.capture == Some(true)) {
        let said = page_text(&seen);
        let agreed = seen.guard.phase().is_some_and(Phase::may_capture);
        assert_eq!(said.camera, if agreed { Camera::On } else { Camera::Doubt }, "{seen:?}");
    }
}

#[test]
fn nothing_of_a_guard_that_does_not_answer_is_quoted() {
    for guard in [Guard::Away, Guard::Silent] {
        let said =
            page_text(&Observation { guard, capture: Some(true), lamp: Some(LampPattern::Solid), arriving: true });
        assert!(said.state.starts_with("The box"), "{}", said.state);
        assert_eq!((said.mute, said.sound, said.lamp), ("Sound: not known", "", "Lamp: lit"));
        assert_eq!(said.camera, Camera::Doubt);
        assert_eq!(said.spans.iter().map(|span| span.does).collect::<Vec<_>>(), [Outcome::Unfelt]);
    }
}

/// The guard's state, whether capture exists; and the page's texts on state, camera and picture.
type Row = (Guard, bool, &'static str, &'static str, &'static str);

fn rows() -> [Row; 13] {
    let off = "Camera and microphone are off: no process exists that could open them.";
    [
        (plainly(Phase::Idle), false, "Idle", off, "No stream."),
        (plainly(Phase::Requested), false, "Asked to start", off, "No stream."),
        (
            plainly(Phase::Connecting),
            true,
            "Connecting",
            "The camera is on, or about to be opened.",
            "No stream yet: the box is calling the server.",
        ),
        (
            plainly(Phase::Live),
            true,
            "Live",
            "The camera is on.",
            "The box says that it is live, but no picture arrives at this moment.",
        ),
        (
            status(Phase::Live, None, true, false, &[]),
            true,
            "Live, without sound",
            "The camera is on.",
            "The box says that it is live, but no picture arrives at this moment.",
        ),
        (
            status(Phase::Live, Some("camera-lost"), false, false, &[]),
            true,
            "Live, with a stand-in picture",
            "The camera is away. The box opens it as soon as it is back.",
            "The box says that it is live, but no picture arrives at this moment.",
        ),
        (
            plainly(Phase::Reconnecting),
            true,
            "Reconnecting",
            "The camera is still on while the box looks for its server.",
            "The stream is interrupted: the box cannot reach the server.",
        ),
        (
            plainly(Phase::Stopping),
            true,
            "Stopping",
            "The camera is being switched off: its process still exists.",
            "The stream has ended.",
        ),
        (plainly(Phase::Locked), false, "Locked", off, "No stream."),
        (status(Phase::Locked, None, false, true, &[]), false, "Unbound", off, "No stream."),
        (plainly(Phase::Policy), false, "New privacy policy", off, "No stream."),
        (plainly(Phase::Fault), false, "Out of order", off, "No stream."),
        (
            Guard::Away,
            false,
            "The box does not answer",
            "The camera is off all the same: no process exists that could open it.",
            "No stream arrives.",
        ),
    ]
}

#[test]
fn each_state_has_its_texts() {
    for (guard, capture, state, camera, picture) in rows() {
        let said = page_text(&Observation { guard, capture: Some(capture), lamp: None, arriving: false });
        assert_eq!((said.state, said.camera_says, said.picture), (state, camera, picture));
    }
    let fault = status(Phase::Fault, Some("lamp-fault"), false, false, &[Fault::Lamp]);
    let said = page_text(&Observation { guard: fault, capture: Some(false), lamp: None, arriving: false });
    assert_eq!((said.why.as_deref(), said.lamp), (Some("The lamp does not work."), "Lamp: dead"));
}

#[test]
fn the_microphone_is_called_on_only_where_sound_is_sent() {
    for phase in Phase::ALL {
        for (level_db, muted) in [(Some(-20.0), false), (None, false), (Some(-100.0), true)] {
            let Guard::Answers(mut status) = status(phase, None, muted, false, &[]) else { unreachable!() };
            status.stream = Some(StreamStats { level_db, ..StreamStats::default() });
            let said = page_text(&Observation {
                guard: Guard::Answers(status),
                capture: Some(true),
                lamp: None,
                arriving: true,
            });
            let goes_on = phase.may_capture() && phase != Phase::Stopping;
            let on = goes_on && phase != Phase::Connecting && level_db.is_some() && !muted;
            assert_eq!(said.sound == "The microphone is on.", on, "{phase:?} {level_db:?}");
            assert_eq!(said.sound.is_empty(), !goes_on, "in doubt it may be on");
            assert_eq!(said.sound == "No sound leaves the box.", goes_on && muted);
            assert_eq!(said.mute == "Sound: muted", goes_on && muted);
        }
    }
}

const fn ms(millis: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(millis))
}

/// A box in this situation, with its button up.
fn machine(situation: Situation) -> Machine {
    let memory = PersistedState {
        last_session: SessionId(1),
        locked: situation == Situation::Locked,
        parted: (situation == Situation::Unbound).then_some(Parting::Unbound),
        policy_pending: situation == Situation::Policy,
    };
    let minors_mode = matches!(situation, Situation::ReadyForMinors | Situation::AskedForGuardian);
    let mut machine = Machine::restore(SessionLimits { minors_mode, ..SessionLimits::default() }, memory);
    machine.step(ms(0), Event::ButtonUp);
    match situation {
        Situation::Capturing => {
            machine.step(ms(10), Event::ButtonDown);
            machine.step(ms(110), Event::ButtonUp);
            assert!(machine.phase().may_capture());
        }
        Situation::Broken => drop(machine.step(ms(10), Event::FaultDetected(Fault::Lamp))),
        Situation::ButtonBroken => drop(machine.step(ms(10), Event::FaultDetected(Fault::Button))),
        Situation::Agreement => drop(machine.step(ms(10), Event::AgreementNeeded)),
        Situation::AskedToUnbind => drop(machine.step(ms(10), Event::UnbindRequest)),
        Situation::AskedForGuardian => {
            machine.step(ms(10), Event::ButtonDown);
            machine.step(ms(110), Event::ButtonUp);
            assert!(machine.asks_for_guardian());
        }
        Situation::Unfelt
        | Situation::Ready
        | Situation::ReadyForMinors
        | Situation::Locked
        | Situation::Policy
        | Situation::Unbound => {}
    }
    machine
}

/// What a touch of this length really does.
fn done(situation: Situation, millis: u64) -> Outcome {
    let (mut machine, begin) = (machine(situation), 1000);
    let is_asked = machine.asks_for_guardian();
    let mut effects = machine.step(ms(begin), Event::ButtonDown);
    if machine.phase() == Phase::Stopping {
        effects.extend(machine.step(ms(begin + 5), Event::CaptureExited(CaptureExit::Stopped)));
    }
    for at in (begin + 10..begin + millis).step_by(10) {
        effects.extend(machine.step(ms(at), Event::Tick));
    }
    effects.extend(machine.step(ms(begin + millis), Event::ButtonUp));
    let mut does = Outcome::Nothing;
    for effect in effects {
        // The last that is more than the one before it counts: a hold that unlocked, and goes on, locks again.
        match effect {
            Effect::RecordStart { sound: true, .. } => does = Outcome::StartsWithSound,
            Effect::RecordStart { sound: false, .. } => does = Outcome::StartsPictureOnly,
            Effect::Stop(_) => does = Outcome::Stops,
            Effect::RecordUnlock => does = Outcome::Unlocks,
            Effect::RecordPolicyAcknowledged => does = Outcome::Acknowledges,
            Effect::RecordAgreement => does = Outcome::Agrees,
            Effect::RecordRequestEnded(Reason::Declined) => does = Outcome::Declines,
            Effect::RecordLock => does = Outcome::Locks,
            Effect::EndService => panic!("nobody ended the service"),
            Effect::Unbind => does = Outcome::Unbinds,
            Effect::RecordFault(Fault::Button) => does = Outcome::CountsAsStuck,
            Effect::SelfTest if does == Outcome::Nothing => does = Outcome::Retries,
            Effect::SelfTest
            | Effect::SetLamp(_)
            | Effect::Launch(_)
            | Effect::Kill
            | Effect::RecordStop { .. }
            | Effect::RecordRequest(_)
            | Effect::RecordUnbindRequest
            | Effect::RecordRequestEnded(_)
            | Effect::RecordFault(_)
            | Effect::Configure(_)
            | Effect::RecordMute { .. }
            | Effect::DestroyFootage => {}
        }
    }
    match (does, is_asked, machine.asks_for_guardian()) {
        (Outcome::Nothing, false, true) => Outcome::AsksGuardian,
        (Outcome::Nothing, true, false) => Outcome::Declines,
        (other, ..) => other,
    }
}

#[test]
fn a_touch_brings_what_is_said_of_it() {
    for situation in [
        Situation::ButtonBroken,
        Situation::Ready,
        Situation::Capturing,
        Situation::Locked,
        Situation::Policy,
        Situation::Agreement,
        Situation::AskedToUnbind,
        Situation::ReadyForMinors,
        Situation::AskedForGuardian,
        Situation::Broken,
        Situation::Unbound,
    ] {
        let all = spans(situation);
        assert_eq!(all[0].from_ms, 0);
        for (index, span) in all.iter().enumerate() {
            let end = all.get(index + 1).map_or(span.from_ms + 5000, |next| next.from_ms);
            assert!(end > span.from_ms);
            for millis in [span.from_ms + 60, end - 60] {
                assert_eq!(done(situation, millis), span.does, "{situation:?}: {millis} ms: {}", span.says);
            }
        }
    }
}

#[test]
fn each_phase_has_its_situation() {
    let of = |phase, unbound, faults: &[Fault]| Situation::of(&status(phase, None, false, unbound, faults));
    for phase in Phase::ALL {
        assert_eq!(of(phase, false, &[]) == Situation::Capturing, phase.may_capture());
    }
    assert_eq!(of(Phase::Fault, false, &[Fault::Lamp]), Situation::Broken);
    assert_eq!(of(Phase::Fault, false, &[Fault::Lamp, Fault::Button]), Situation::ButtonBroken);
    assert_eq!((of(Phase::Locked, true, &[]), of(Phase::Locked, false, &[])), (Situation::Unbound, Situation::Locked));
    assert_eq!((of(Phase::Idle, false, &[]), of(Phase::Policy, false, &[])), (Situation::Ready, Situation::Policy));
    let asked = |phase, reason: Reason| Situation::of(&status(phase, Some(reason.as_str()), false, false, &[]));
    assert_eq!(asked(Phase::Requested, Reason::Unbind), Situation::AskedToUnbind);
    assert_eq!(asked(Phase::Requested, Reason::Guardian), Situation::AskedForGuardian);
    assert_eq!(asked(Phase::Policy, Reason::Agreement), Situation::Agreement);
    assert_eq!((Situation::of(&Guard::Silent), Situation::of(&Guard::Away)), (Situation::Unfelt, Situation::Unfelt));
}
