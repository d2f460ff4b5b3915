//! `tallybox check-config`: every mistake of every file, with its place and with what would be right.

use std::path::{Path, PathBuf};

use super::doctor::needs::Needs;
use super::machine::Machine;
use super::units::{Runner, misplaced};
use crate::config::{Config, Mistake, exposed_secrets};
use crate::exit::Exit;

/// Checks each file on its own.
pub(crate) fn run(files: &[PathBuf]) -> Result<(), Exit> {
    let machine = Machine::new(Path::new("/"));
    let mut wrong = Vec::new();
    for file in files {
        match Config::load(file) {
            Err(error) => wrong.push(error.to_string()),
            Ok(config) => wrong.extend(judge(&machine, &config).iter().map(ToString::to_string)),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Exit::config(wrong.join("\n"))) }
}

/// Prints what is worth knowing of a configuration that can be read; its mistakes come back.
fn judge(machine: &Machine, config: &Config) -> Vec<Mistake> {
    let file = config.path.display();
    let runner = Runner::of(machine, &config.path);
    for note in config.notes.iter().chain(&exposed_secrets(&config.path)) {
        println!("note: {note}");
    }
    let seen = runner.seen_by_roles(config, machine);
    match runner {
        Runner::Units(_) => {
            let needs = Needs::of(&runner, machine, config);
            needs.lacking().for_each(|(lack, advice)| println!("note: {file}: {lack}; {advice}"));
            needs.unknown().for_each(|why| println!("note: {file}: not judged: {why}; call check-config as root"));
        }
        Runner::Caller(_) => seen.missing_secrets().iter().for_each(|missing| println!("note: {file}: {missing}")),
    }
    let mut wrong = seen.unusable_secrets();
    wrong.extend(misplaced(machine, config));
    if wrong.is_empty() {
        println!("{file}: ok");
    }
    wrong
}
