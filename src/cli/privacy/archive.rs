//! A tar archive (POSIX.1-1988, ustar) that is written in one go: only its owner may read it, and it has its name only
//! when it is whole.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::atomic_file::{self, Durability, PRIVATE};
use crate::disk::File;

/// Bytes of a block.
const BLOCK: usize = 512;
/// Longest name in an archive, in bytes.
const MAX_NAME: usize = 99;
/// Longest file in an archive, in bytes: eleven octal digits.
const MAX_LENGTH: u64 = 0o777_7777_7777;

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// In hex.
    pub(super) sha256: String,
}

/// An archive that is being written.
pub(super) struct Archive {
    path: PathBuf,
    file: BufWriter<File>,
    at: u64,
    /// Seconds since 1970: of all files.
    time: u64,
}

/// The content of a file on its way into an archive.
pub(super) struct Content<'a> {
    file: &'a mut BufWriter<File>,
    hash: Sha256,
    length: u64,
}

impl Write for Content<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Archive {
    /// Begins an archive that will be called `path`.
    pub(super) fn begin(path: &Path, time: u64) -> io::Result<Self> {
        let file = BufWriter::new(atomic_file::stage(path, &[], PRIVATE)?);
        Ok(Self { path: path.to_owned(), file, at: 0, time })
    }

    /// Adds a file, which `write` writes.
    pub(super) fn add(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut Content<'_>) -> io::Result<()>,
    ) -> io::Result<Member> {
        let begin = self.at;
        self.file.write_all(&[0; BLOCK])?;
        let mut content = Content { file: &mut self.file, hash: Sha256::new(), length: 0 };
        write(&mut content)?;
        let (length, sha256) = (content.length, crate::hex(&content.hash.finalize()));
        let padding = length.next_multiple_of(BLOCK as u64) - length;
        self.file.write_all(&vec![0; usize::try_from(padding).unwrap_or_default()])?;
        self.at = begin + BLOCK as u64 + length + padding;
        self.file.seek(SeekFrom::Start(begin))?;
        self.file.write_all(&header(name, length, self.time)?)?;
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(Member { name: name.to_owned(), bytes: length, sha256 })
    }

    /// Ends it, and gives it its name once it is on the disk.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.write_all(&[0; 2 * BLOCK])?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        atomic_file::commit(&self.path, Durability::Synced)
    }

    /// Nothing of it stays.
    pub(super) fn discard(self) -> io::Result<()> {
        atomic_file::discard(&self.path)
    }
}

fn header(name: &str, length: u64, time: u64) -> io::Result<[u8; BLOCK]> {
    if name.len() > MAX_NAME || length > MAX_LENGTH {
        return Err(io::Error::other(format!("{name} is too long for an archive")));
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{length:011o}\0"));
    put(136, &format!("{:011o}\0", time.min(MAX_LENGTH)));
    // The checksum counts itself as blanks.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_reads_it_and_nobody_else_may() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.tar");
        let mut archive = Archive::begin(&path, 1_782_864_000).unwrap();
        let contents = [("a/empty", 0), ("a/block", BLOCK), ("one", 1), ("long", 100_001)];
        for (name, length) in contents {
            let member = archive.add(name, |content| content.write_all(&vec![b'x'; length])).unwrap();
            assert_eq!(member.bytes, length as u64);
        }
        assert!(!path.exists(), "it has no name until it is whole");
        archive.finish().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Command::new("tar").args(["-xf"]).arg(&path).arg("-C").arg(dir.path()).output().unwrap();
        assert!(read.status.success() && read.stderr.is_empty(), "{read:?}");
        for (name, length) in contents {
            assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), vec![b'x'; length], "{name}");
        }
        let mut archive = Archive::begin(&dir.path().join("b.tar"), 0).unwrap();
        assert!(archive.add(&"x".repeat(100), |_| Ok(())).is_err());
        archive.discard().unwrap();
        assert!(std::fs::read_dir(dir.path()).unwrap().all(|entry| entry.unwrap().file_name() != "b.tar.new"));
    }
}
