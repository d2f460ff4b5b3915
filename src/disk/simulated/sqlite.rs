//! SQLite on the disk of the thread that opens a database.

use std::ffi::CStr;
use std::io;
use std::path::Path;
use std::sync::Once;

use rustix::io::Errno;

use super::open::{Mode, OpenFile};
use super::{SimulatedDisk, installed};

const NAME: &CStr = c"tallybox-simulated";

/// The name under which SQLite knows the simulated disks.
pub(in crate::disk) fn vfs() -> &'static CStr {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        if let Err(code) = sqlite_vfs::register(NAME, Box::new(OfThread)) {
            tracing::error!("SQLite takes no simulated disk: {code}");
        }
    });
    NAME
}

/// The disk of whichever thread asks.
struct OfThread;

fn disk() -> io::Result<SimulatedDisk> {
    installed().ok_or_else(|| io::Error::other("this thread has no simulated disk"))
}

impl sqlite_vfs::Disk for OfThread {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn sqlite_vfs::DiskFile>> {
        let disk = disk()?;
        let opened = match disk.open(path, Mode::Existing) {
            Err(Errno::NOENT) if create => disk.open(path, Mode::New(0o644)),
            opened => opened,
        };
        let dir = disk.open_dir(path.parent().unwrap_or(Path::new("/")))?;
        Ok(Box::new(Database { file: opened?, dir }))
    }

    fn delete(&self, path: &Path, sync_dir: bool) -> io::Result<()> {
        let disk = disk()?;
        disk.remove_file(path)?;
        if sync_dir {
            disk.open_dir(path.parent().unwrap_or(Path::new("/")))?.sync()?;
        }
        Ok(())
    }

    /// As SQLite asks it of the machine: an empty file is none.
    fn exists(&self, path: &Path) -> bool {
        disk().is_ok_and(|disk| disk.metadata(path).is_ok_and(|found| found.len > 0))
    }
}

struct Database {
    file: OpenFile,
    dir: super::OpenDir,
}

impl sqlite_vfs::DiskFile for Database {
    fn id(&self) -> (u64, u64) {
        self.file.metadata().map_or((0, 0), |found| found.id)
    }

    fn read_at(&mut self, into: &mut [u8], at: u64) -> io::Result<usize> {
        Ok(self.file.read_at(into, at)?)
    }

    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        Ok(self.file.write_at(bytes, at)?)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        Ok(self.file.set_len(len)?)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(self.file.sync()?)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        Ok(self.dir.sync()?)
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(self.file.len()?)
    }
}
