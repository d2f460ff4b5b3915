//! What the status claims is what the captures do. Looked at when nothing is under way in the present moment.

use super::super::truth::Truth;
use crate::ipc::{Fault, LampPattern};

/// Looks at the last status that the guard told.
pub(in crate::sim) fn look(truth: &mut Truth) {
    let Some(status) = truth.status.clone() else { return };
    if truth.guard_since.is_none() {
        return;
    }
    let phase = status.phase.as_str();
    if truth.may_capture() && !status.phase.may_capture() {
        truth.violated(format_args!("the status says {phase} while a capture exists"));
    }
    if status.phase.may_capture() && status.muted && truth.may_hear() {
        truth.violated(format_args!("the status says that it is muted, and people can be heard"));
    }
    if truth.may_hear() && truth.lamp == LampPattern::SolidNotched {
        truth.violated(format_args!("rule 8: the lamp says \"no sound\", and people can be heard"));
    }
    let works = !status.faults.iter().any(|fault| matches!(fault, Fault::Lamp | Fault::Button));
    if works && !truth.panel_lost && status.lamp != truth.lamp {
        let (said, shown) = (status.lamp.as_str(), truth.lamp.as_str());
        truth.violated(format_args!("the status says that the lamp shows {said}, and it shows {shown}"));
    }
}
