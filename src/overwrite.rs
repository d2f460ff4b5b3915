//! Deletes small secrets: overwritten, on the disk, and then unlinked. On flash and on file systems that write
//! elsewhere the former blocks stay until they are discarded, so that this is the second line: what matters is
//! encrypted, and its key is destroyed.

use std::ffi::OsStr;
use std::io;

use rustix::io::Errno;

use crate::disk::Dir;

/// Longest file that is overwritten, in bytes: keys, certificates and positions are shorter. Longer ones are unlinked.
const LONGEST: u64 = 256 * 1024;

/// What a name stood for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// There was nothing.
    Nothing,
    /// A file, and its content was overwritten.
    Overwritten,
    /// A link, a file with another name, or something that is no file or cannot be overwritten: only its name is gone.
    Unlinked,
}

/// Deletes `name` from `dir`. A link is deleted and never followed; a file that has another name keeps its content,
/// which belongs to somebody else too.
///
/// # Errors
/// It cannot be deleted; `EISDIR` where it is a folder.
pub(crate) fn delete(dir: &Dir, name: impl AsRef<OsStr>) -> Result<Deleted, Errno> {
    let name = name.as_ref();
    let is_overwritten = overwrite(dir, name).unwrap_or_default();
    match dir.remove_file(name) {
        Ok(()) if is_overwritten => Ok(Deleted::Overwritten),
        Ok(()) => Ok(Deleted::Unlinked),
        Err(Errno::NOENT) => Ok(Deleted::Nothing),
        Err(error) => Err(error),
    }
}

/// Whether it was a plain file with this one name, and is overwritten on the disk.
fn overwrite(dir: &Dir, name: &OsStr) -> io::Result<bool> {
    let file = dir.open_to_write(name)?;
    let data = file.metadata()?;
    if !data.is_file() || data.links != 1 || data.len > LONGEST {
        return Ok(false);
    }
    let zeros = vec![0; usize::try_from(data.len).map_err(io::Error::other)?];
    file.write_all(&zeros)?;
    file.sync_data()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_secret_is_overwritten_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let root = Dir::open(dir.path()).unwrap();
        for name in ["secret", "other", "shared"] {
            std::fs::write(at(name), "s3cret").unwrap();
        }
        let open = File::open(at("secret")).unwrap();
        symlink(at("other"), at("link")).unwrap();
        std::fs::hard_link(at("shared"), at("second-name")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        assert_eq!(delete(&root, "secret"), Ok(Deleted::Overwritten));
        assert_eq!(std::io::read_to_string(&open).unwrap(), "\0\0\0\0\0\0", "whoever has it open reads nothing");
        assert_eq!(delete(&root, "link"), Ok(Deleted::Unlinked));
        assert_eq!(delete(&root, "second-name"), Ok(Deleted::Unlinked));
        assert_eq!((std::fs::read_to_string(at("other")), std::fs::read_to_string(at("shared"))).0.unwrap(), "s3cret");
        assert_eq!(std::fs::read_to_string(at("shared")).unwrap(), "s3cret");
        assert_eq!(delete(&root, "absent"), Ok(Deleted::Nothing));
        assert_eq!(delete(&root, "folder"), Err(Errno::ISDIR));
    }
}
