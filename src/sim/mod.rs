//! A whole box in one thread, on simulated time: the production guard with its event loop, ledger and control socket,
//! a simulated panel, captures and other users around it, and a judge that holds what the box claims against what is.
//!
//! A seed becomes a [`Schedule`], which is plain data; [`run`] carries it out. docs/simulation.md has what is simulated
//! and what is checked. [`agent`] simulates the agent alone, between a broker and a guard that is played.

pub mod agent;
mod board;
pub mod broker;
mod capture;
mod checks;
mod guard_unit;
pub mod operator;
mod peers;
mod process;
mod releases;
mod remote;
mod schedule;
mod settings;
mod shrink;
mod truth;
mod updates;
mod world;

pub use process::ProcessAction;
pub use releases::{Flaw, ReleasePlan, ServerFault};
pub use schedule::{Action, Asker, CapturePlan, Help, Platform, Quirk, Schedule, Wish};
pub use shrink::shrink;
pub use world::{Outcome, run};

#[cfg(test)]
mod tests;
