//! `tallybox check-config`: every mistake of every file, with its place and with what would be right.

use std::path::PathBuf;

use crate::config::{Config, exposed_secrets};
use crate::exit::Exit;

/// Checks each file on its own.
pub(crate) fn run(files: &[PathBuf]) -> Result<(), Exit> {
    let mut wrong = Vec::new();
    for file in files {
        match Config::load(file) {
            Err(error) => wrong.push(error.to_string()),
            Ok(config) => {
                for note in config.notes.iter().chain(&exposed_secrets(file)) {
                    println!("note: {note}");
                }
                for missing in config.missing_secrets() {
                    println!("note: {}: {missing}", file.display());
                }
                let unusable = config.unusable_secrets();
                if unusable.is_empty() {
                    println!("{}: ok", file.display());
                }
                wrong.extend(unusable.iter().map(ToString::to_string));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Exit::config(wrong.join("\n"))) }
}
