//! What a touch of the record button brings, by how long it lasts: the page says it while the button is down. Pure; the
//! consent machine itself is asked in the tests.

use serde::Serialize;

use super::observation::Guard;
use crate::ipc::{Fault, Phase};
use consent::Reason;

/// What the box would do with a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Situation {
    /// Nobody is there to feel it.
    Unfelt,
    /// The button itself is broken.
    ButtonBroken,
    /// A press starts.
    Ready,
    /// Capture may exist: a touch stops it.
    Capturing,
    /// Privacy lock.
    Locked,
    /// A policy waits.
    Policy,
    /// A change waits for staff to agree.
    Agreement,
    /// Staff are asked whether to unbind the box.
    AskedToUnbind,
    /// Minors' mode: a press asks for a guardian.
    ReadyForMinors,
    /// Minors' mode: staff pressed, and a guardian has to hold.
    AskedForGuardian,
    /// Lamp, ledger or supply is broken.
    Broken,
    /// The box belongs to nobody.
    Unbound,
}

impl Situation {
    pub(super) fn of(guard: &Guard) -> Self {
        let Some(status) = guard.status() else { return Self::Unfelt };
        let has = |reason: Reason| status.reason.as_deref() == Some(reason.as_str());
        match status.phase {
            Phase::Connecting | Phase::Live | Phase::Reconnecting | Phase::Stopping => Self::Capturing,
            Phase::Fault if status.faults.contains(&Fault::Button) => Self::ButtonBroken,
            Phase::Fault => Self::Broken,
            Phase::Locked if status.unbound => Self::Unbound,
            Phase::Locked => Self::Locked,
            Phase::Policy if has(Reason::Agreement) => Self::Agreement,
            Phase::Policy => Self::Policy,
            Phase::Requested if has(Reason::Unbind) => Self::AskedToUnbind,
            Phase::Requested if has(Reason::Guardian) => Self::AskedForGuardian,
            Phase::Idle | Phase::Requested if status.minors_mode => Self::ReadyForMinors,
            Phase::Idle | Phase::Requested => Self::Ready,
        }
    }
}

/// What letting go after some time does, or what a hold has done by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Unfelt,
    StartsWithSound,
    StartsPictureOnly,
    Stops,
    Unlocks,
    Acknowledges,
    Agrees,
    Declines,
    AsksGuardian,
    Retries,
    Nothing,
    Locks,
    Unbinds,
    CountsAsStuck,
}

/// From this length on, until the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Span {
    /// Milliseconds since the button went down.
    pub(super) from_ms: u64,
    #[serde(skip)]
    pub(super) does: Outcome,
    /// For whoever holds it.
    pub(super) says: &'static str,
}

const fn span(from_ms: u64, does: Outcome, says: &'static str) -> Span {
    Span { from_ms, does, says }
}

const NOTHING_YET: Span = span(3000, Outcome::Nothing, "Let go now and nothing happens. From 5 s on the box locks.");
const STILL_STOPPED: &str = "This touch stops the capture. Letting go starts nothing. From 5 s on the box locks.";

/// The same in every situation in which the button is felt (docs/consent.md, rules 9 and 10).
const LONG: [Span; 4] = [
    span(5000, Outcome::Locks, "The box locks. A hold of 2 s unlocks it later."),
    span(8000, Outcome::Locks, "The lamp warns: from 10 s on, letting go unbinds the box."),
    span(
        10_000,
        Outcome::Unbinds,
        "Let go now and the box is unbound: its keys, credentials and footage are destroyed.",
    ),
    span(30_000, Outcome::CountsAsStuck, "The button counts as stuck: letting go destroys nothing."),
];

/// What a touch that begins now brings, from 0 ms on and in order.
pub(super) fn spans(situation: Situation) -> Vec<Span> {
    let short: &[Span] = match situation {
        Situation::Unfelt => {
            return vec![span(0, Outcome::Unfelt, "The box does not answer: it may not feel this touch.")];
        }
        Situation::ButtonBroken => {
            return vec![span(
                0,
                Outcome::Retries,
                "The button counts as broken: the box looks at it again when you let go.",
            )];
        }
        Situation::Ready => &[
            span(0, Outcome::StartsWithSound, "Let go now to start picture and sound."),
            span(700, Outcome::StartsPictureOnly, "Let go now to start the picture only: the microphone stays closed."),
            NOTHING_YET,
        ],
        Situation::Capturing => &[span(0, Outcome::Stops, STILL_STOPPED)],
        Situation::Locked => &[
            span(0, Outcome::Nothing, "Hold it for 2 s to unlock the box."),
            span(2000, Outcome::Unlocks, "The box unlocks: let go. From 5 s on it locks again."),
        ],
        Situation::Policy => &[
            span(0, Outcome::Nothing, "Hold it for 2 s to acknowledge the new policy."),
            span(2000, Outcome::Acknowledges, "The new policy is acknowledged: let go. From 5 s on the box locks."),
        ],
        Situation::Agreement => &[
            span(0, Outcome::Nothing, "Hold it for 2 s to agree to the platform's change."),
            span(2000, Outcome::Agrees, "You have agreed to the change: let go. From 5 s on the box locks."),
        ],
        Situation::AskedToUnbind => &[
            span(0, Outcome::Declines, "Let go now to decline: the box stays yours, and nothing starts."),
            span(2000, Outcome::Unbinds, "Let go now and the box is unbound. From 5 s on it only locks."),
        ],
        Situation::ReadyForMinors => &[
            span(0, Outcome::AsksGuardian, "Let go now: then a guardian holds the button for picture and sound."),
            span(700, Outcome::AsksGuardian, "Let go now: then a guardian holds the button for the picture only."),
            NOTHING_YET,
        ],
        Situation::AskedForGuardian => &[
            span(0, Outcome::Declines, "Let go now to decline: nothing starts."),
            span(2000, Outcome::StartsWithSound, "Let go now to start what the press before it said."),
            span(3000, Outcome::Declines, "Too long: nothing starts. From 5 s on the box locks."),
        ],
        Situation::Broken => {
            &[span(0, Outcome::Retries, "Nothing starts: the box tries its parts again when you let go."), NOTHING_YET]
        }
        Situation::Unbound => &[span(0, Outcome::Nothing, "The box is unbound: a press does nothing.")],
    };
    short.iter().chain(&LONG).copied().collect()
}

/// What the button does, for whoever has not touched it yet.
pub(super) const fn rest(situation: Situation) -> &'static str {
    match situation {
        Situation::Unfelt => "The box does not answer, so it feels no touch. Nothing can start without it.",
        Situation::ButtonBroken => "The red button counts as broken, because it was held for too long: nothing starts.",
        Situation::Ready => {
            "Press the red button to start picture and sound. Hold it for a second to start the picture only."
        }
        Situation::Capturing => "Any touch of the red button stops it at once.",
        Situation::Locked => "Hold the red button for 2 s to unlock the box. Until then nothing starts.",
        Situation::Policy => "Hold the red button for 2 s to acknowledge the new policy. Until then nothing starts.",
        Situation::Agreement => {
            "Hold the red button for 2 s to agree to the platform's change. Until then nothing starts."
        }
        Situation::AskedToUnbind => {
            "The platform asks to unbind the box. Hold the red button for 2 s to confirm, press it to decline."
        }
        Situation::ReadyForMinors => {
            "Minors' mode: press the red button, then a guardian holds it for 2 s until the lamp flickers."
        }
        Situation::AskedForGuardian => {
            "A guardian holds the red button for 2 s and lets go when the lamp flickers. Any other touch declines."
        }
        Situation::Broken => "Nothing starts until this is mended; the box looks every 5 s, and at each press.",
        Situation::Unbound => {
            "Nothing starts until an integrator claims the box, that is, gives it a new configuration."
        }
    }
}
