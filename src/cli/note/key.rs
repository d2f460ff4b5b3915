//! `tallybox note key`: a key is made once, kept by its owner, and shown by its public half.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use notes::SignerKey;
use zeroize::Zeroizing;

use super::unreadable;
use crate::atomic_file::PRIVATE;
use crate::exit::Exit;

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Action {
    /// Make a key: the private one into a new file that only its owner may read, the public one to standard output.
    Generate {
        /// Its name, which says whose and which it is, such as operator.example/fleet-2026.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// The new file. One that exists is never overwritten.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print the public half of a private key: what `[[trust]]` takes as `key`.
    Show {
        /// The private key's file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) fn run(action: &Action) -> Result<(), Exit> {
    let key = match action {
        Action::Generate { name, out } => generate(name, out)?,
        Action::Show { file } => read(file)?,
    };
    println!("{}", key.verifier_key());
    Ok(())
}

fn generate(name: &str, out: &Path) -> Result<SignerKey, Exit> {
    let mut seed = Zeroizing::new([0; 32]);
    crate::random::fill(seed.as_mut_slice())
        .map_err(|_| Exit::unavailable("the kernel gives no random numbers: try again"))?;
    let key = SignerKey::new(name, &seed).map_err(|error| Exit::usage(format!("--name: {error}")))?;
    let create = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(out);
    let mut file = create.map_err(|error| not_made(out, &error))?;
    let mut text = key.to_text();
    text.push('\n');
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a key helps nobody, and would be in the way of the next attempt.
        let _ = std::fs::remove_file(out);
        not_made(out, &error)
    })?;
    Ok(key)
}

fn not_made(out: &Path, error: &std::io::Error) -> Exit {
    let path = out.display();
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        return Exit::permission(format!(
            "{path} is there already, and a key is never overwritten: choose another file"
        ));
    }
    Exit::io(format!("{path} cannot be written: {error}"))
}

/// A private key from its file, which nobody but its owner may read.
pub(super) fn read(path: &Path) -> Result<SignerKey, Exit> {
    if path != Path::new("-") {
        let data = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        let mode = data.permissions().mode() & 0o777;
        if data.is_file() && mode & 0o077 != 0 {
            let path = path.display();
            return Err(Exit::permission(format!("others may read {path}, with mode {mode:o}: chmod 600 {path}")));
        }
    }
    let content = super::read(path)?;
    let text = std::str::from_utf8(&content).unwrap_or_default().trim_end_matches(['\r', '\n']);
    text.parse().map_err(|error| Exit::data(format!("{}: {error}", path.display())))
}
