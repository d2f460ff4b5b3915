//! The consent state machine: who may capture, since when, and what the lamp says about it.
//!
//! Pure: `Machine::step(now, event)` returns effects. No clock, IO, channel or log is read or written in
//! here; whoever runs the machine carries the effects out **in order**, and when one fails drops the ones behind
//! it and feeds the failure back as an event. That order is what makes a start durable before it takes effect, and
//! the lamp lit before a device opens.
//!
//! "Rule 4" is number 4 of the ten in docs/consent.md.

mod audio_consent;
mod button_state;
mod effect;
mod event;
mod grant;
mod lamp;
mod limits;
mod machine;
mod phase;
mod reason;

pub use audio_consent::{Actor, CaptureSettings};
pub use effect::Effect;
pub use event::{CaptureExit, CaptureReport, Event, Fault};
pub use grant::{Grant, Purpose, SessionId};
pub use lamp::LampPattern;
pub use limits::SessionLimits;
pub use machine::{Machine, PersistedState};
pub use phase::Phase;
pub use reason::Reason;

#[cfg(test)]
mod tests;
