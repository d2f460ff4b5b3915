//! The package, taken out of the agent's hands: what is judged is a copy that only root can write, and what is judged
//! is what is installed.

use std::io::{self, Read};
use std::path::Path;
use std::process::Command;

use rollout::{Release, Sha256Hex};
use sha2::{Digest, Sha256};

use super::Machine;
use super::home::{Ending, Home};
use crate::atomic_file::BY_UMASK;
use crate::disk::{self, File};
use crate::installed_package::InstalledPackage;

/// What stays free on the disk, in bytes.
const SPARE_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes per read.
const CHUNK: usize = 64 * 1024;

/// Copies the agent's file to the updater's folder, and checks that it is the package that `release` names, for the box
/// on which another one is `installed`.
///
/// # Errors
/// How the attempt ends.
pub(super) fn take(
    from: &Path,
    file: &rollout::File,
    (release, installed): (&Release, &InstalledPackage),
    home: &Home,
    machine: &dyn Machine,
) -> Result<(), Ending> {
    let local = |error: io::Error| Ending::Again(format!("the package cannot be copied: {error}"));
    let source = open(from).map_err(|error| Ending::Again(format!("the package is not there: {error}")))?;
    check_room(home, file.size)?;
    let package = home.package();
    let copy = File::create(&package, BY_UMASK).map_err(local)?;
    if copy_hashed(source, &copy, file.size).map_err(local)?.as_ref() != Some(&file.sha256) {
        // Nothing of it is kept: the agent may have been taken over.
        let _ = disk::remove_file(&package);
        let _ = disk::remove_file(from);
        return Err(Ending::Again("the package is another one than the release names: it was thrown away".to_owned()));
    }
    copy.sync_all().map_err(local)?;
    check_fields(&package, (release, installed), home, machine)
}

/// The file itself, not what a link at its place leads to, and nothing that makes the reader wait.
fn open(path: &Path) -> io::Result<File> {
    let file = File::open_untrusted(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    Ok(file)
}

/// Copies, and returns the digest of what was copied; `None` where it has another size.
fn copy_hashed(mut from: File, to: &File, size: u64) -> io::Result<Option<Sha256Hex>> {
    let (mut copied, mut hash, mut chunk) = (0_u64, Sha256::new(), vec![0; CHUNK]);
    while copied <= size {
        let length = from.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        to.write_all(&chunk[..length])?;
        hash.update(&chunk[..length]);
        copied += length as u64;
    }
    Ok((copied == size).then(|| Sha256Hex::from_digest(&hash.finalize())))
}

/// Whether the package says of itself what the release says, and whether there is room to install it.
fn check_fields(
    package: &Path,
    (release, installed): (&Release, &InstalledPackage),
    home: &Home,
    machine: &dyn Machine,
) -> Result<(), Ending> {
    let fields = ["Package", "Version", "Architecture", "Installed-Size"];
    let failed = |why: &str| Ending::Failed(format!("the package cannot be read: {why}"));
    let mut ask = Command::new("dpkg-deb");
    ask.arg("-f").arg(package).args(fields);
    let asked = machine.output(ask).map_err(|error| failed(&error.to_string()))?;
    if !asked.status.success() {
        return Err(failed(&String::from_utf8_lossy(&asked.stderr)));
    }
    let text = String::from_utf8_lossy(&asked.stdout).into_owned();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let is_ours = field("Package") == Some("tallybox")
        && field("Version").and_then(|text| text.parse().ok()).as_ref() == Some(&release.version)
        && field("Architecture") == Some(installed.architecture.as_str());
    if !is_ours {
        return Err(Ending::Failed(
            "the package is not the version, or not for the machine, that it should be".to_owned(),
        ));
    }
    // The one that is installed is packed anew without compression beside its files; the new one is unpacked beside it.
    let kib: u64 = field("Installed-Size").and_then(|text| text.parse().ok()).unwrap_or(0);
    check_room(home, kib.saturating_mul(1024 * 3) + disk::metadata(package).map_or(0, |file| file.len))
}

/// Whether so many bytes can be written beside what stays free.
fn check_room(home: &Home, bytes: u64) -> Result<(), Ending> {
    let package = home.package();
    let dir = package.parent().unwrap_or(Path::new("/"));
    let free = disk::free_bytes(dir).map_err(|error| Ending::Again(format!("{}: {error}", dir.display())))?;
    let needed = bytes.saturating_add(SPARE_BYTES);
    if free >= needed {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    Err(Ending::Again(format!("the disk is full: {} MiB are free, {} MiB are needed", mib(free), mib(needed))))
}
