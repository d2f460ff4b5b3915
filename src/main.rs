//! tallybox's one binary; its first argument is the role.

use std::process::ExitCode;

fn main() -> ExitCode {
    tallybox::cli::main()
}
