//! One guard at a time: its folders, its lock, its socket, and the capture that a guard before it may have left.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::capture_process::{CaptureUnits, OrphanedCapture, PidFile};
use crate::config::Config;
use crate::exit::Exit;

/// Held as long as its guard lives: the kernel releases it with the process.
#[derive(Debug)]
pub(super) struct InstanceLock {
    _file: File,
}

/// Makes the folders, takes the lock, ends an orphaned capture and binds the control socket.
pub(super) fn begin(config: &Config) -> Result<(InstanceLock, UnixListener), Exit> {
    make_dir(&config.device.runtime_dir, 0o750)?;
    make_dir(&config.device.data_dir, 0o700)?;
    let path = lock_path(config);
    let file = File::create(&path).map_err(|error| cannot_make(&path, &error, ""))?;
    let lock = lock(config, file)?;
    let pid_file = PidFile::new(&config.device.runtime_dir);
    if let Some(capture) = find_orphan(&pid_file)? {
        terminate_orphan(&pid_file, &capture)?;
    }
    if let Some(units) = CaptureUnits::of_this_guard() {
        empty(&units)?;
    }
    Ok((lock, bind(config)?))
}

/// Whether a guard runs on this configuration. Does not make the file: whoever made it could lock others out.
pub(super) fn is_running(config: &Config) -> bool {
    File::open(lock_path(config)).is_ok_and(|file| file.try_lock_shared().is_err())
}

/// The lock, where a guard has run before. Two guards would both react to the button.
pub(super) fn lock_existing(config: &Config) -> Result<Option<InstanceLock>, Exit> {
    File::open(lock_path(config)).ok().map(|file| lock(config, file)).transpose()
}

/// A capture that outlived its guard.
pub(super) fn find_orphan(pid_file: &PidFile) -> Result<Option<OrphanedCapture>, Exit> {
    pid_file
        .find_orphan()
        .map_err(|error| Exit::io(format!("whether a capture is left cannot be known, so the lamp stays lit: {error}")))
}

/// Returns once it is gone.
pub(super) fn terminate_orphan(pid_file: &PidFile, capture: &OrphanedCapture) -> Result<(), Exit> {
    tracing::warn!("a capture has outlived its guard");
    capture.terminate().map_err(|error| Exit::unavailable(format!("{error}; the lamp stays lit: restart the box")))?;
    pid_file.remove();
    Ok(())
}

/// Returns once capture's units have no processes, whatever the pid file says: a capture that was taken over may have
/// left some.
pub(super) fn empty(units: &CaptureUnits) -> Result<(), Exit> {
    let lit = "so the lamp stays lit: restart the box";
    match units.empty() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Exit::unavailable(format!("what capture left behind does not end, {lit}"))),
        Err(error) => Err(Exit::io(format!("whether capture left processes behind cannot be known, {lit}: {error}"))),
    }
}

fn lock_path(config: &Config) -> PathBuf {
    config.device.runtime_dir.join("guard.lock")
}

fn lock(config: &Config, file: File) -> Result<InstanceLock, Exit> {
    match file.try_lock() {
        Ok(()) => Ok(InstanceLock { _file: file }),
        Err(error) => Err(Exit::unavailable(format!("another guard runs on {}: {error}", lock_path(config).display()))),
    }
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Exit> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
        .map_err(|error| cannot_make(path, &error, "; set [device] data-dir and runtime-dir"))
}

fn bind(config: &Config) -> Result<UnixListener, Exit> {
    let path = config.guard_socket();
    // Whatever is there belonged to a guard that is gone: we hold the lock.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).and_then(|listener| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
        Ok(listener)
    });
    listener.map_err(|error| cannot_make(&path, &error, ""))
}

fn cannot_make(path: &Path, error: &std::io::Error, advice: &str) -> Exit {
    Exit::io(format!("{} cannot be made: {error}{advice}", path.display()))
}
