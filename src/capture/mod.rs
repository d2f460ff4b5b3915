//! The role that holds camera and microphone. Exists only while there is consent.

use crate::cli::Exit;
use crate::config::Config;

/// Runs until the door on standard input closes or the lease runs out.
pub fn run(_config: &Config) -> Result<(), Exit> {
    Err(Exit::software("not built yet"))
}
