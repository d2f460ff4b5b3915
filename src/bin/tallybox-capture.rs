//! What `tallybox capture` becomes: the only program that has GStreamer in it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tallybox::cli::media_main()
}
