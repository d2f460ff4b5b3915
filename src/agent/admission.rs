//! Which commands are taken when many come at once. Pure.
//!
//! What makes people safer goes before everything else: a stop is always carried out, and a mute still is when other
//! commands no longer are.

use crate::ipc::Verb;

/// Commands that are carried out at once. Those of a healthy box take no time, but for `stop`, which does not count.
const MAX_COMMANDS: usize = 8;
/// `mute` may still be among them when no other may.
const MAX_COMMANDS_WITH_MUTE: usize = 12;
/// Commands that may wait for the next stop's answer; more are stopped with them, and not answered.
const MAX_WAITING_STOPS: usize = 32;

/// Whether a command may be carried out beside `under_way` others; `can_answer`: there is room for one more answer.
pub(super) fn admits(verb: Verb, under_way: usize, can_answer: bool) -> bool {
    match verb {
        Verb::Stop => true,
        Verb::Mute => under_way < MAX_COMMANDS_WITH_MUTE,
        Verb::RequestStart
        | Verb::Unmute
        | Verb::SetVideo
        | Verb::SetIngest
        | Verb::SetPolicy
        | Verb::Update
        | Verb::Identify
        | Verb::Diagnose
        | Verb::Erase
        | Verb::Unbind => under_way < MAX_COMMANDS && can_answer,
    }
}

/// Whether one more stop is remembered beside `waiting` others, to be answered.
pub(super) fn keeps_stop(waiting: usize) -> bool {
    waiting < MAX_WAITING_STOPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_always_taken_and_a_mute_longer_than_the_rest() {
        for verb in Verb::ALL {
            assert!(admits(verb, 0, true), "{verb:?}");
            let (stop, mute) = (verb == Verb::Stop, verb == Verb::Mute);
            assert_eq!(admits(verb, 0, false), stop || mute, "{verb:?} without room for its answer");
            assert_eq!(admits(verb, MAX_COMMANDS, true), stop || mute, "{verb:?} beside many");
            assert_eq!(admits(verb, MAX_COMMANDS_WITH_MUTE, true), stop, "{verb:?} beside too many");
        }
        assert!(keeps_stop(MAX_WAITING_STOPS - 1) && !keeps_stop(MAX_WAITING_STOPS));
    }
}
