//! Files that are read: bounded, and with errors that name them.

use std::io::{ErrorKind, Read};
use std::path::Path;

use tallybox::exit::Exit;

/// The content of a file of at most `longest` bytes.
pub(crate) fn read(path: &Path, longest: u64) -> Result<Vec<u8>, Exit> {
    let name = path.display();
    let failed = |error: std::io::Error| {
        if error.kind() == ErrorKind::NotFound {
            Exit::no_input(format!("{name}: there is no such file"))
        } else if error.kind() == ErrorKind::PermissionDenied {
            Exit::permission(format!("{name}: {error}"))
        } else {
            Exit::io(format!("{name}: {error}"))
        }
    };
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(longest + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > longest {
        return Err(Exit::data(format!("{name}: it is longer than {longest} bytes")));
    }
    Ok(content)
}

/// The same as text.
pub(crate) fn read_text(path: &Path, longest: u64) -> Result<String, Exit> {
    String::from_utf8(read(path, longest)?).map_err(|_| Exit::data(format!("{}: it is no UTF-8 text", path.display())))
}
