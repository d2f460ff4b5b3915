//! Mutes by staff and by remote, and the microphone of a picture-only session.

use super::*;

/// The settings that a step sends to capture.
fn wanted(effects: &[Effect]) -> Option<CaptureSettings> {
    effects.iter().find_map(|effect| if let Effect::Configure(wanted) = effect { Some(*wanted) } else { None })
}

/// Feeds an event that mutes or unmutes, and lets capture confirm it, as it does within milliseconds.
fn obeyed(machine: &mut Machine, at: u64, event: Event) -> Vec<String> {
    let mut effects = machine.step(ms(at), event);
    if let Some(wanted) = wanted(&effects) {
        effects.extend(machine.step(ms(at + 10), Event::CaptureReported(CaptureReport::Applied(wanted))));
    }
    words(&effects)
}

const SILENCED: [&str; 3] = [
    "Configure(CaptureSettings { revision: 1, muted: true })",
    "RecordMute { session: SessionId(42), muted: true, by: Remote }",
    "SetLamp(SolidNotched)",
];
const HEARD: [&str; 3] = [
    "SetLamp(Solid)",
    "RecordMute { session: SessionId(42), muted: false, by: Remote }",
    "Configure(CaptureSettings { revision: 2, muted: false })",
];

#[test]
fn remote_takes_back_only_its_own_mute() {
    let mut machine = live();
    assert_eq!(obeyed(&mut machine, 1000, Event::RemoteMute), SILENCED);
    assert!(machine.step(ms(1100), Event::RemoteMute).is_empty());
    assert_eq!(obeyed(&mut machine, 1200, Event::RemoteUnmute), HEARD);
    obeyed(&mut machine, 1300, Event::MuteButtonDown);
    assert!(machine.is_muted());
    assert!(machine.step(ms(1400), Event::RemoteUnmute).is_empty() && machine.is_muted());
    obeyed(&mut machine, 1500, Event::MuteButtonDown);
    assert!(!machine.is_muted());
    obeyed(&mut machine, 1600, Event::RemoteMute);
    obeyed(&mut machine, 1700, Event::MuteButtonDown);
    assert!(!machine.is_muted(), "staff decide");
}

#[test]
fn a_mute_that_capture_does_not_confirm_ends_the_session() {
    let mut machine = live();
    machine.step(ms(1000), Event::RemoteMute);
    assert_eq!((machine.is_muted(), machine.lamp(), machine.deadline()), (false, LampPattern::Solid, Some(ms(1500))));
    // A report of earlier settings is no confirmation.
    let stale = CaptureSettings { revision: 0, muted: true };
    assert!(machine.step(ms(1100), Event::CaptureReported(CaptureReport::Applied(stale))).is_empty());
    assert!(machine.step(ms(1499), Event::Tick).is_empty());
    assert_eq!(words(&machine.step(ms(1500), Event::Tick)), ["Stop(MuteUnconfirmed)", "SetLamp(FastBlink)"]);
    assert!(!machine.is_muted());
}

#[test]
fn a_capture_that_sends_sound_although_it_is_muted_is_ended() {
    let mut machine = live();
    obeyed(&mut machine, 1000, Event::MuteButtonDown);
    let said = CaptureSettings { revision: 1, muted: false };
    let effects = machine.step(ms(5000), Event::CaptureReported(CaptureReport::Applied(said)));
    assert_eq!(words(&effects), ["Stop(MuteUnconfirmed)", "SetLamp(FastBlink)"]);
}

#[test]
fn a_mute_that_is_taken_back_before_it_took_effect_is_not_written() {
    let mut machine = live();
    machine.step(ms(1000), Event::RemoteMute);
    assert_eq!(words(&machine.step(ms(1100), Event::RemoteUnmute)), [HEARD[2]]);
    let late = CaptureSettings { revision: 1, muted: true };
    assert!(machine.step(ms(1200), Event::CaptureReported(CaptureReport::Applied(late))).is_empty());
    assert!(!machine.is_muted() && machine.step(ms(2000), Event::Tick).is_empty());
}

#[test]
fn nothing_opens_the_microphone_of_a_picture_only_session() {
    let mut machine = fresh();
    touch(&mut machine, 0, 1000);
    machine.step(ms(1500), Event::CaptureReported(CaptureReport::Live));
    assert_eq!(machine.lamp(), LampPattern::SolidNotched);
    for event in [Event::MuteButtonDown, Event::RemoteUnmute, Event::RemoteMute, Event::MuteButtonDown] {
        assert!(machine.step(ms(2000), event).is_empty());
        assert!(machine.is_muted());
    }
}
