//! `tallybox take-stick`: all that a USB stick can bring, in the order in which it is taken.

use std::path::Path;

use super::Args;
use crate::cli::policy;
use crate::config::Config;
use crate::exit::Exit;

/// A configuration at the stick's top.
const CONFIGURATION: &str = "tallybox.toml";
/// Signed notes at the stick's top. The end of the service comes last.
const NOTES: [&str; 2] = ["policy.note", "end-of-service.note"];

/// Takes what is in `stick`; one part that is not taken keeps no other from being taken, and the first failure is the
/// answer. A stick with nothing for a box is a missing file.
pub(crate) fn run(config: &Path, stick: &Path) -> Result<(), Exit> {
    let mut taken = Vec::new();
    let file = stick.join(CONFIGURATION);
    if file.exists() {
        taken.push(super::run(config, &Args { file, restart: true }));
    }
    for note in NOTES.map(|name| stick.join(name)).into_iter().filter(|note| note.exists()) {
        taken.push(Config::load(config).map_err(Exit::from).and_then(|config| policy::install(&config, &note)));
    }
    if taken.is_empty() {
        return Err(Exit::no_input(format!("there is nothing for a box in {}", stick.display())));
    }
    // A second failure would be lost with the first one's exit code.
    let mut failures = taken.into_iter().filter_map(Result::err);
    let first = failures.next();
    failures.for_each(|other| {
        let _ = other.report();
    });
    first.map_or(Ok(()), Err)
}
