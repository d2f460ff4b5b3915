//! `tallybox note`: keys, signatures and their verification, for operators. Needs no box.

mod key;
mod sign;
mod verify;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::exit::Exit;

/// Longest file that is read, in bytes: a note has 8 KiB, and JSON to sign may have line breaks and spaces.
const MAX_FILE: u64 = 64 * 1024;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Make and show the keys that sign.
    Key {
        #[command(subcommand)]
        action: key::Action,
    },
    /// Sign JSON from a file or standard input; the note goes to standard output.
    Sign(sign::Args),
    /// Verify a note from a file or standard input; its JSON goes to standard output.
    Verify(verify::Args),
}

/// Does it.
pub(super) fn run(action: &Action) -> Result<(), Exit> {
    match action {
        Action::Key { action } => key::run(action),
        Action::Sign(args) => sign::run(args),
        Action::Verify(args) => verify::run(args),
    }
}

/// The content of a file, or of standard input for `-`. Overwritten in memory once it is dropped: it may be a key.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Exit> {
    // Made at once in its full size: growing would leave copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_FILE).unwrap_or_default() + 1));
    let result = if path == Path::new("-") {
        std::io::stdin().take(MAX_FILE + 1).read_to_end(&mut content)
    } else {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        file.take(MAX_FILE + 1).read_to_end(&mut content)
    };
    result.map_err(|error| unreadable(path, &error))?;
    if content.len() as u64 > MAX_FILE {
        return Err(Exit::data(format!("{}: longer than {MAX_FILE} bytes: this is no note or key", path.display())));
    }
    Ok(content)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Exit {
    let path = path.display();
    if error.kind() == std::io::ErrorKind::NotFound {
        Exit::no_input(format!("{path}: {error}; write the path of a file, or -"))
    } else if error.kind() == std::io::ErrorKind::PermissionDenied {
        Exit::permission(format!("{path}: {error}; call it as its owner"))
    } else {
        Exit::io(format!("{path} cannot be read: {error}"))
    }
}

/// A path that stands for standard input.
fn stdin() -> PathBuf {
    PathBuf::from("-")
}
