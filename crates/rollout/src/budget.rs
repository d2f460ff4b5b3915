//! When a wave has to stop: the failure budget, for whoever watches it.

use serde::{Deserialize, Serialize};

use crate::error::{ReleaseError, refuse};

/// What counts against the budget. That a box is busy never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The box said that it failed, and has its former version.
    Failed,
    /// The box has not been heard of by its deadline.
    Silent,
    /// Both together.
    Any,
}

/// Stops the wave when so many boxes, and such a share of those that are done, have failed in this way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AbortRule {
    /// What is counted.
    pub on: Failure,
    /// At least so many boxes: 1 to 1,000,000.
    pub minimum: u32,
    /// More than this share of the boxes that are done, in thousandths: 0 to 1000.
    pub permille: u16,
}

impl AbortRule {
    pub(crate) fn check(&self) -> Result<(), ReleaseError> {
        if !(1..=1_000_000).contains(&self.minimum) {
            return refuse("wave.abort: minimum is 1 to 1000000 boxes");
        }
        if self.permille > 1000 {
            return refuse("wave.abort: permille is 1000 at most");
        }
        Ok(())
    }
}

/// How many boxes of a wave are done, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They run the version.
    pub succeeded: u32,
    /// They said that they failed.
    pub failed: u32,
    /// Their deadline passed without a word.
    pub silent: u32,
}

/// What the counts say about a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    GoOn,
    /// Too few boxes are done to judge by their share.
    TooFew,
    /// It has to stop, by this rule.
    Abort(AbortRule),
}
