//! Signed commands, judged: who signed, for which box, whether it is fresh, and whether it was here before. Pure: the
//! engine brings trust, name and time, and carries out what is accepted.
//!
//! Nothing of it is kept on disk and no wall clock counts. A command names the guard's epoch, which is drawn anew at
//! each start; within it the sequence numbers of a key only rise; and its deadline is a time of the guard's own clock.
//! A command that was recorded is void after a restart, and so is one that a restored disk image brings back.

mod judge;
mod memory;
#[cfg(test)]
mod tests;
mod under_way;

use std::io;

use crate::ipc::EPOCH_DIGITS;

pub use judge::{Accepted, CommandJudge, Surroundings, Verdict, rejection};
pub use memory::Digest;
pub use under_way::CommandsUnderWay;

/// What the guard draws at each of its starts, in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch(String);

impl Epoch {
    /// A new one.
    pub fn draw() -> io::Result<Self> {
        let mut bytes = [0; EPOCH_DIGITS / 2];
        crate::random::fill(&mut bytes)?;
        Ok(Self(crate::hex(&bytes)))
    }

    /// As `state` has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
