//! The operator's key: made, shown and used on this machine only.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use notes::SignerKey;
use tallybox::exit::Exit;

use crate::{files, output};

/// Longest key file, in bytes.
const MAX_BYTES: u64 = 4096;

/// What is done with keys.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Make a key. Prints the half that boxes trust; the other half never leaves the file.
    New {
        /// The key's name, such as operator.example.cn/fleet-2026.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// The file that is made, for its owner alone.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the half that boxes trust, for [[trust]] key.
    Show {
        /// The key file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Does what was asked.
pub(crate) fn run(action: &Action) -> Result<(), Exit> {
    match action {
        Action::New { name, file } => {
            let mut seed = [0; 32];
            tallybox::random::fill(&mut seed).map_err(|error| Exit::software(format!("no random numbers: {error}")))?;
            let key = SignerKey::new(name, &seed).map_err(|error| Exit::usage(error.to_string()))?;
            seed.fill(0);
            write_new(file, &key)?;
            output::line(&key.verifier_key().to_string())
        }
        Action::Show { file } => output::line(&load(file)?.verifier_key().to_string()),
    }
}

fn write_new(file: &Path, key: &SignerKey) -> Result<(), Exit> {
    let name = file.display();
    let failed = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            Exit::usage(format!("{name} is there already: name another file; a key that is written over is lost"))
        } else {
            Exit::io(format!("{name}: {error}"))
        }
    };
    let mut made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    made.write_all(key.to_text().as_bytes()).and_then(|()| made.write_all(b"\n")).map_err(failed)?;
    made.sync_all().map_err(failed)
}

/// Reads a key that nobody else can read.
pub(crate) fn load(file: &Path) -> Result<SignerKey, Exit> {
    let name = file.display();
    let text = files::read_text(file, MAX_BYTES)?;
    let mode = std::fs::metadata(file).map_err(|error| Exit::io(format!("{name}: {error}")))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Exit::permission(format!("{name}: others can read this key: call chmod 600 {name}")));
    }
    SignerKey::from_str(text.trim()).map_err(|error| Exit::data(format!("{name}: {error}")))
}
