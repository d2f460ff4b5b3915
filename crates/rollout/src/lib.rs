//! Software updates without any I/O: what a release document may say, whether it may follow on the one before, when a
//! box's turn comes, and when a wave has to stop. The box obeys the document; the fleet tool writes and watches it.
//!
//! The time of every decision is an argument, and signatures are the caller's matter: what comes in here was verified.

mod budget;
mod decision;
mod error;
mod release;
mod version;
mod wave;

pub use budget::{AbortRule, Counts, Failure, Verdict};
pub use decision::{AFTER_SESSION, BoxView, Decision, Hold, SessionView, Window, WindowError, decide};
pub use error::ReleaseError;
pub use release::{
    Accepted, File, Files, MAX_PACKAGE_BYTES, MAX_RECONNECT_SPREAD_S, Release, Replacement, Sha256Hex, is_channel,
};
pub use version::{Version, VersionError};
pub use wave::{Stage, Turn, Wave, WaveState, rank};

#[cfg(test)]
mod tests;
