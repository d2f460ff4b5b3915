//! tallybox's one command; its first argument is the role. For capture it becomes `tallybox-capture`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tallybox::cli::main()
}
