//! Lamp and status say "no sound" only while nobody can be heard (rules 2 and 8).

use super::super::truth::Truth;
use crate::ipc::LampPattern;

/// Capture sends sound, or silence, from now on.
pub(in crate::sim) fn on_sound(truth: &mut Truth) {
    if truth.may_hear() && truth.lamp == LampPattern::SolidNotched {
        truth.violated(format_args!("rule 8: the lamp says \"no sound\", and people can be heard"));
    }
}
