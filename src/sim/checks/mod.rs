//! What has to hold: a file for each kind of property. The numbers are those of the ten rules in docs/consent.md.

pub(super) mod answers;
pub(super) mod chain;
mod checkpoints;
pub(super) mod consent;
pub(super) mod end;
mod erased;
pub(super) mod ledger;
mod rights;
pub(super) mod sound;
pub(super) mod status;
mod updates;
pub(super) mod wire;

use std::time::Duration;

/// What the simulation's own steps may add, in each chain of them.
pub(super) const SLACK: Duration = Duration::from_millis(30);
/// The simulated configuration's `debounce`.
pub(super) const DEBOUNCE: Duration = Duration::from_millis(30);
