//! Watches and controls a fleet of boxes over MQTT, and simulates one.

use std::process::ExitCode;

fn main() -> ExitCode {
    tallybox_fleet::main()
}
