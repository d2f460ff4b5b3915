//! `tallybox check-config`: every mistake of every file, with its place and with what would be right.

use std::path::{Path, PathBuf};

use super::client::Client;
use super::doctor::desired;
use super::doctor::requirements::Requirements;
use super::host::HostFiles;
use super::units::{Runner, misplaced};
use crate::config::{Config, Diagnostic, exposed_secrets};
use crate::exit::Exit;
use crate::ipc::Request;
use crate::judges::twin;
use crate::runtime::block_on;

/// Checks each file on its own; one of `conf.d` together with what it belongs to.
pub(crate) fn run(files: &[PathBuf]) -> Result<(), Exit> {
    let machine = HostFiles::new(Path::new("/"));
    let mut wrong = Vec::new();
    let mut mains = Vec::new();
    for file in files {
        match whole(file) {
            Ok(main) if mains.contains(&main) => (),
            Ok(main) => mains.push(main),
            Err(why) => wrong.push(why),
        }
    }
    for main in mains {
        match Config::load(&main) {
            Err(error) => wrong.push(error.to_string()),
            Ok(config) => wrong.extend(judge(&machine, &config).iter().map(ToString::to_string)),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Exit::config(wrong.join("\n"))) }
}

/// The main file that `file` is read with: itself, or the one beside its folder `conf.d`. There it may lack what the
/// others have, such as `[ingest] url`.
fn whole(file: &Path) -> Result<PathBuf, String> {
    // A bare name has no parent; a file that is not there is told by whoever reads it.
    let Ok(real) = file.canonicalize() else { return Ok(file.to_owned()) };
    let folder = real.parent().filter(|folder| folder.ends_with("conf.d"));
    let main = folder.and_then(Path::parent).map(|beside| beside.join("tallybox.toml")).filter(|main| main.exists());
    let Some(main) = main else { return Ok(file.to_owned()) };
    if real.extension().is_some_and(|extension| extension == "toml") {
        println!("note: {} is a part of {}: both are checked", file.display(), main.display());
        Ok(main)
    } else {
        Err(format!("{}: it is not read: give it a name that ends in .toml", file.display()))
    }
}

/// Prints what is worth knowing of a configuration that can be read; its mistakes come back.
fn judge(machine: &HostFiles, config: &Config) -> Vec<Diagnostic> {
    let file = config.path.display();
    let runner = Runner::of(machine, &config.path);
    for note in config.warnings.iter().chain(&exposed_secrets(&config.path)) {
        println!("note: {note}");
    }
    for note in desired_notes(config) {
        println!("note: {file}: {note}");
    }
    let seen = runner.seen_by_roles(config, machine);
    match runner {
        Runner::Units(_) => {
            let needs = Requirements::of(&runner, machine, config);
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

/// What the platform adds to the files: the guard's word where it runs, else that there is something to ask about.
fn desired_notes(config: &Config) -> Vec<String> {
    let status = block_on(async { Client::connect(config).await?.call(Request::Status {}).await }).ok().flatten();
    match status {
        Some(status) => desired::describe(&status.desired).iter().map(|text| format!("desired {text}")).collect(),
        None if config.device.data_dir.join(twin::NOTE).exists() => vec![
            "the platform has desired values for this box, which count where no file says otherwise; \
             tallybox status shows them while the guard runs"
                .to_owned(),
        ],
        None => Vec::new(),
    }
}
