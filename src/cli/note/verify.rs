//! `tallybox note verify`: by keys that are given, or by the trust of a configuration, as a box judges.

use std::path::PathBuf;

use notes::{Note, NoteError, Refusal, Role, VerifierKey, document};

use crate::config::Config;
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A public key, as `[[trust]]` has it, or a file with one; each of them has to have signed.
    #[arg(long, value_name = "KEY", required_unless_present = "config", conflicts_with = "config")]
    key: Vec<String>,
    /// A box's configuration: its `[[trust]]` decides.
    #[arg(long, value_name = "FILE", requires = "role")]
    config: Option<PathBuf>,
    /// What the keys have to be trusted with: a verb, or desired, policy, release.
    #[arg(long, value_name = "ROLE", requires = "config")]
    role: Option<Role>,
    /// The note; - is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let bytes = super::read(&args.file)?;
    let text = match (&args.config, args.role) {
        (Some(config), Some(role)) => by_trust(&Config::load(config)?, role, &bytes)?,
        (_, _) => by_keys(&args.key, &bytes)?,
    };
    // A checkpoint's text, which is no document, is printed whole.
    match document(&text) {
        Ok(document) => println!("{}", document.json),
        Err(_) => print!("{text}"),
    }
    Ok(())
}

fn by_trust(config: &Config, role: Role, bytes: &[u8]) -> Result<String, Exit> {
    let verified = config.trust.verify(bytes, role).map_err(|refusal| {
        let message = refusal.to_string();
        match refusal {
            Refusal::Malformed(_) | Refusal::WrongType { .. } | Refusal::BadSignature { .. } => Exit::data(message),
            Refusal::UnknownKey | Refusal::RoleMissing { .. } | Refusal::Threshold { .. } => Exit::permission(message),
        }
    })?;
    eprintln!("good: signed by {}", verified.signers.join(", "));
    Ok(verified.text)
}

fn by_keys(keys: &[String], bytes: &[u8]) -> Result<String, Exit> {
    let note = Note::parse(bytes).map_err(|error: NoteError| Exit::data(error.to_string()))?;
    for text in keys {
        let key = read_key(text)?;
        match note.is_signed_by(&key) {
            Some(true) => eprintln!("good: signed by {}", key.name()),
            Some(false) => {
                let refusal = Refusal::BadSignature { key: key.name().to_owned() };
                return Err(Exit::data(refusal.to_string()));
            }
            None => {
                let names: Vec<_> = note.claimed_signers().map(|(name, id)| format!("{name}+{id:08x}")).collect();
                let (name, names) = (key.name(), names.join(", "));
                return Err(Exit::permission(format!("{name} did not sign it; it says that it is signed by {names}")));
            }
        }
    }
    Ok(note.text().to_owned())
}

/// A key, or a file with one.
fn read_key(text: &str) -> Result<VerifierKey, Exit> {
    text.parse().or_else(|error| {
        let path = PathBuf::from(text);
        if !path.is_file() {
            return Err(Exit::usage(format!("--key: {error}")));
        }
        let content = super::read(&path)?;
        let line = std::str::from_utf8(&content).unwrap_or_default().trim_end_matches(['\r', '\n']);
        line.parse().map_err(|error| Exit::data(format!("{text}: {error}")))
    })
}
