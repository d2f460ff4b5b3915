//! The consent state machine: whether the box may capture, and what its lamp shows.
//!
//! Pure: [`Machine::step`] takes an event and returns effects. It reads no clock, does no I/O and writes no log.
//! Whoever runs the machine applies the effects **in order** and feeds failures back as events; after a failure it
//! applies neither [`Effect::RecordStart`] nor [`Effect::Launch`]. That order makes a start durable before it takes
//! effect, and lights the lamp before a device opens.
//!
//! "Rule 4" is number 4 of the ten in docs/consent.md.

mod audio_consent;
mod button_state;
mod effect;
mod event;
mod fault;
mod grant;
mod lamp;
mod limits;
mod machine;
mod phase;
mod reason;

pub use audio_consent::{Actor, CaptureSettings};
pub use effect::Effect;
pub use event::{CaptureExit, CaptureReport, Event};
pub use fault::Fault;
pub use grant::{Grant, Purpose, SessionId};
pub use lamp::LampPattern;
pub use limits::{
    ACKNOWLEDGE_HOLD, LOCK_HOLD, MAX_MINORS_SESSION, PICTURE_BELOW, SOUND_BELOW, STUCK_HOLD, SessionLimits,
    UNBIND_HOLD, UNBIND_WARNING_HOLD,
};
pub use machine::{Machine, Parting, PersistedState};
pub use phase::Phase;
pub use reason::Reason;

#[cfg(test)]
mod tests;
