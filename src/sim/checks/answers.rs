//! Whoever asks is answered, and an answer says what is.

use std::time::Duration;

use super::super::schedule::Wish;
use super::super::truth::Truth;
use crate::ipc::Response;

/// A request is answered within this. The longest: a probe, which waits for staff and then runs.
pub(in crate::sim) const ANSWER_WITHIN: Duration = Duration::from_mins(2);

/// Somebody was answered, who asked when [`Truth::sound_asked`] was this.
pub(in crate::sim) fn on_answer(truth: &mut Truth, wish: &Wish, response: &Response, sound_asked: u64) {
    truth.note(format_args!("{wish:?} is answered: {response:?}"));
    let is_done = matches!(response, Response::Done | Response::Unwritten);
    match wish {
        Wish::Stop if !is_done => truth.violated(format_args!("rule 2: a stop is answered with {response:?}")),
        Wish::Stop if truth.may_capture() => {
            truth.violated(format_args!("rule 4: a stop is answered while a capture exists"));
        }
        // Staff may have asked for sound again while the answer waited for the disk.
        Wish::Mute if is_done && truth.may_hear() && truth.sound_asked == sound_asked => {
            truth.violated(format_args!("rule 2: a mute is answered while people can be heard"));
        }
        Wish::Button if is_done => truth.violated(format_args!("rule 1: a request moves a real button")),
        Wish::Stop
        | Wish::Mute
        | Wish::Button
        | Wish::RequestStart
        | Wish::Unmute
        | Wish::Identify
        | Wish::Probe
        | Wish::Garbage
        | Wish::Flood(_)
        | Wish::Command(_) => {}
    }
}
