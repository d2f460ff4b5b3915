//! Releases, packages and servers of a simulation: plain data, and what is true of them.

mod fault;
pub(super) mod package;
mod release;

use std::time::Duration;

use jiff::Timestamp;

pub use fault::ServerFault;
pub(super) use release::Published;
pub use release::{Flaw, ReleasePlan};

/// A package was handed to `tallybox-upgrade`.
#[derive(Clone, Debug)]
pub(super) struct Handed {
    pub(super) at: Duration,
    /// The guard's name for the attempt, as the updater knows it.
    pub(super) attempt: String,
    /// The package's SHA-256.
    pub(super) digest: String,
    /// The wall clock, and whether it was right.
    pub(super) wall: Timestamp,
    pub(super) synchronised: bool,
}

/// What is true of updates, whatever the box says.
#[derive(Debug, Default)]
pub(super) struct UpdateTruth {
    /// Releases that a box may take, signed by a key that may sign them.
    pub(super) published: Vec<Published>,
    /// In order.
    pub(super) handed: Vec<Handed>,
    /// When the wall clock, or the kernel's word on it, was changed last.
    pub(super) clock_changed: Duration,
}
