//! Reads files in places where somebody else writes: on a stick, or in a less trusted user's folder. Whoever wrote one
//! cannot make the reader wait, fill its memory, or lead it to another file.

use std::io::{self, Read};
use std::path::Path;

use crate::disk::File;

/// The content of a plain file of at most `longest` bytes.
///
/// # Errors
/// What the system says; `InvalidInput` where it is no plain file, and `FileTooLarge` where it is longer.
pub(crate) fn read(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    let file = File::open_untrusted(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    let mut content = Vec::new();
    file.take(longest + 1).read_to_end(&mut content)?;
    if content.len() as u64 > longest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {longest} bytes")));
    }
    Ok(content)
}
