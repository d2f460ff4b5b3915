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
/// The least hold of a guardian.
const HOLD: Duration = Duration::from_secs(2);
/// The longest time from the press to it: the simulated configuration's `request-timeout`, and how late edges may be
/// heard.
const ASKED: Duration = Duration::from_secs(12);
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
    let now = truth.now();
    truth.captures[number].told = Some(now);
    if !says_capturing(truth.lamp) {
        let lamp = truth.lamp.as_str();
        truth.violated(format_args!("rule 3: session {session} starts while the lamp shows {lamp}"));
    }
    if truth.minors {
        return with_guardian(truth, session, sound);
    }
    let boot = truth.guard_since.unwrap_or(Duration::MAX);
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

/// In minors' mode: a press, and a guardian's hold after it; what the press said of the sound counts.
fn with_guardian(truth: &mut Truth, session: u64, sound: bool) {
    let (now, boot) = (truth.now(), truth.guard_since.unwrap_or(Duration::MAX));
    let held = |press: &Press| press.up.map(|up| up.saturating_sub(press.down));
    let may_count = |press: &Press| !press.spent && press.down >= boot && press.up.is_some();
    let is_hold = |press: &Press| {
        let longest = press.up.unwrap_or_default().saturating_sub(press.since);
        longest + SLACK >= HOLD && held(press).is_some_and(|held| held < PICTURE_BELOW + SLACK)
    };
    let is_recent = |press: &Press| press.up.is_some_and(|up| now.saturating_sub(up) < START_WITHIN);
    let agreed = truth.presses.iter().rposition(|press| may_count(press) && is_hold(press) && is_recent(press));
    let Some(agreed) = agreed else {
        return truth.violated(format_args!("minors: session {session} starts without a guardian's hold"));
    };
    let begun = truth.presses[agreed].down;
    let says_so = |press: &Press| {
        let held = held(press).unwrap_or_default();
        let up = press.up.unwrap_or_default();
        let is_press =
            held + SLACK >= DEBOUNCE && held < PICTURE_BELOW + SLACK && (held <= SOUND_BELOW + SLACK || !sound);
        is_press && up <= begun + SLACK && begun.saturating_sub(up) < ASKED + SLACK
    };
    let press = truth.presses[..agreed].iter().rposition(|press| may_count(press) && says_so(press));
    let Some(press) = press else {
        return truth.violated(format_args!("minors: session {session} starts without a press before the hold"));
    };
    for number in press..=agreed {
        truth.presses[number].spent = true;
    }
}

/// The lamp shows something else.
pub(in crate::sim) fn on_lamp(truth: &mut Truth) {
    if !says_capturing(truth.lamp) && truth.captures.iter().any(|capture| capture.alive && capture.known) {
        let lamp = truth.lamp.as_str();
        truth.violated(format_args!("rule 3: the lamp shows {lamp} while a capture exists"));
    }
}
