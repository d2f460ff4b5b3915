//! No press, no capture (rules 1, 5 and 8); the lamp comes first and goes last (rule 3); the ledger has the start
//! (rule 6).

use std::time::Duration;

use super::super::truth::{Press, Truth};
use super::{DEBOUNCE, SLACK};
use crate::ipc::LampPattern;

/// From docs/consent.md, and not from the program, which may have them wrong.
const SOUND_BELOW: Duration = Duration::from_millis(700);
/// The same.
const PICTURE_BELOW: Duration = Duration::from_secs(3);
/// A press starts within this: the ledger's longest wait, and attempts to start a capture.
const START_WITHIN: Duration = Duration::from_secs(15);

/// The patterns that README.md has for a box that captures.
const fn says_capturing(lamp: LampPattern) -> bool {
    matches!(lamp, LampPattern::FastBlink | LampPattern::Solid | LampPattern::SolidNotched | LampPattern::DoubleBlink)
}

/// Capture `number` was told to start.
pub(in crate::sim) fn on_start(truth: &mut Truth, number: usize, session: u64, sound: bool, muted: bool) {
    truth.note(format_args!("capture {number}: session {session}, sound {sound}"));
    let capture = &mut truth.captures[number];
    (capture.session, capture.sound, capture.silent) = (Some(session), sound, muted || !sound);
    if !says_capturing(truth.lamp) {
        let lamp = truth.lamp.as_str();
        truth.violated(format_args!("rule 3: session {session} starts while the lamp shows {lamp}"));
    }
    let (now, boot) = (truth.now(), truth.guard_since.unwrap_or(Duration::MAX));
    let may_start = |press: &Press| {
        let Some(up) = press.up else { return false };
        let held = up.saturating_sub(press.down);
        let is_press = held + SLACK >= DEBOUNCE && held < PICTURE_BELOW + SLACK;
        !press.spent && is_press && press.down >= boot && now.saturating_sub(up) < START_WITHIN
    };
    // Where two touches may have started it, it is the one that says the same about sound.
    let says_so = |press: &Press| (press.up.unwrap_or_default().saturating_sub(press.down) <= SOUND_BELOW) == sound;
    let fits = truth.presses.iter().rev().position(|press| may_start(press) && says_so(press));
    let nth = fits.or_else(|| truth.presses.iter().rev().position(may_start));
    let Some(press) = nth.and_then(|nth| truth.presses.iter_mut().rev().nth(nth)) else {
        return truth.violated(format_args!("rule 1: session {session} starts without a press"));
    };
    press.spent = true;
    let held = press.up.unwrap_or_default().saturating_sub(press.down);
    if sound && held > SOUND_BELOW + SLACK {
        truth.violated(format_args!("rule 8: a press of {} ms opens the microphone", held.as_millis()));
    }
}

/// The lamp shows something else.
pub(in crate::sim) fn on_lamp(truth: &mut Truth) {
    if !says_capturing(truth.lamp) && truth.captures.iter().any(|capture| capture.alive && capture.known) {
        let lamp = truth.lamp.as_str();
        truth.violated(format_args!("rule 3: the lamp shows {lamp} while a capture exists"));
    }
}
