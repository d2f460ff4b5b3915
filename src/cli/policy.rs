//! `tallybox policy install`: a signed policy, or the end of the service, that somebody brings as a file. The guard
//! judges it as it judges what comes from the platform.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use notes::{DocumentType, Note};

use super::client::Client;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{Request, SignedPayload, Status};
use crate::runtime::block_on;
use crate::untrusted_file;

/// What about policies.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Hand a signed policy, or the signed end of the service, to the guard. As root, or as the guard's user.
    Install {
        /// The signed note, as it came.
        #[arg(value_name = "FILE")]
        note: PathBuf,
    },
}

/// Does it, on the box that `config` describes.
pub(crate) fn run(config: &Config, action: &Action) -> Result<(), Exit> {
    let Action::Install { note } = action;
    install(config, note)
}

/// Hands the note to the guard, and says what became of it.
pub(super) fn install(config: &Config, path: &Path) -> Result<(), Exit> {
    let shown = path.display();
    let (note, kind) = read(path)?;
    let status = block_on(async {
        let mut client = Client::connect(config).await?;
        client.call(Request::Policy { note: SignedPayload(note) }).await?;
        client.call(Request::Status {}).await
    })?;
    let told = status.map_or_else(|| "taken".to_owned(), |status| told(&status, kind));
    println!("{shown}: {told}");
    Ok(())
}

fn told(status: &Status, kind: DocumentType) -> String {
    if kind == DocumentType::EndOfService {
        return "the service has ended: the box captures nothing; tallybox status --json has the receipt".to_owned();
    }
    let version = &status.policy_version;
    if status.phase == consent::Phase::Policy {
        format!("the policy {version} waits for staff: hold the button for 2 s")
    } else {
        format!("the policy {version} is in force")
    }
}

/// The note and its type. What is no note is told here, where the file's name is known.
fn read(path: &Path) -> Result<(String, DocumentType), Exit> {
    let shown = path.display();
    let content = untrusted_file::read(path, notes::MAX_BYTES as u64).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Exit::no_input(format!("there is no {shown}"));
        }
        Exit::data(format!("{shown} is not taken: {error}; it must be a plain file with a signed note"))
    })?;
    let note = Note::parse(&content).map_err(|error| Exit::data(format!("{shown} is not taken: {error}")))?;
    let kind = notes::document(note.text()).map_err(|error| Exit::data(format!("{shown} is not taken: {error}")))?.kind;
    match kind {
        DocumentType::Policy | DocumentType::EndOfService => {}
        DocumentType::Command | DocumentType::Desired | DocumentType::Release | DocumentType::Receipt => {
            let kind = kind.as_str();
            return Err(Exit::data(format!(
                "{shown} is not taken: it is a {kind}, and neither a policy nor an end of service"
            )));
        }
    }
    let text = String::from_utf8(content).map_err(|_| Exit::data(format!("{shown} is not taken: it is not UTF-8")))?;
    Ok((text, kind))
}
