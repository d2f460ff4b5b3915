//! The role that reaches the broker: state and events out, commands in.

use crate::cli::Exit;
use crate::config::Config;

/// Runs until SIGTERM.
pub fn run(_config: &Config) -> Result<(), Exit> {
    Err(Exit::software("not built yet"))
}
