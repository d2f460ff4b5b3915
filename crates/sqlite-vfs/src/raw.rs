//! SQLite's interface of a file system, in terms of [`Disk`] and [`DiskFile`]. What the machine's own one does is done
//! here: a folder is synced with the first sync of a journal in it, and a short read is filled up with zeros.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rusqlite::ffi;

use crate::locks::{self, FileLocks};
use crate::{Disk, DiskFile};

/// Longest path, in bytes.
const MAX_PATH: c_int = 512;

/// What is behind a `sqlite3_file` of ours.
struct Open {
    file: Box<dyn DiskFile>,
    locks: Arc<FileLocks>,
    /// Who it is, among those that have the file open.
    owner: u64,
    /// With the next sync the folder is synced too.
    sync_dir: bool,
}

#[repr(C)]
struct RawFile {
    base: ffi::sqlite3_file,
    open: *mut Open,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Makes `disk` a file system of SQLite's, for the life of the process. Connections name it when they are opened.
///
/// # Errors
/// SQLite's code.
pub fn register(name: &'static CStr, disk: Box<dyn Disk>) -> Result<(), c_int> {
    let app_data: *mut Box<dyn Disk> = Box::into_raw(Box::new(disk));
    let size = size_of::<RawFile>().try_into().unwrap_or(c_int::MAX);
    let vfs = Box::into_raw(Box::new(ffi::sqlite3_vfs {
        iVersion: 1,
        szOsFile: size,
        mxPathname: MAX_PATH,
        pNext: null_mut(),
        zName: name.as_ptr(),
        pAppData: app_data.cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_path),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: None,
        xCurrentTimeInt64: None,
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: all that it points to lives as long as the process.
    match unsafe { ffi::sqlite3_vfs_register(vfs, 0) } {
        ffi::SQLITE_OK => Ok(()),
        code => Err(code),
    }
}

/// SQLite's code for an error, in general or of one operation.
fn code(error: &io::Error, of_operation: c_int) -> c_int {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ffi::SQLITE_FULL,
        _ => of_operation,
    }
}

fn done(result: io::Result<()>, of_operation: c_int) -> c_int {
    result.map_or_else(|error| code(&error, of_operation), |()| ffi::SQLITE_OK)
}

/// # Safety
/// `file` is one that [`open`] has opened, and nothing else uses it meanwhile: SQLite calls with one file from one
/// thread at a time.
unsafe fn opened<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Open {
    // SAFETY: `open` has put a live box there, which only `close` takes away.
    unsafe { &mut *(*file.cast::<RawFile>()).open }
}

/// # Safety
/// `vfs` is the one that [`register`] has made.
unsafe fn disk<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a dyn Disk {
    // SAFETY: `register` has put a box there, which is never taken away.
    unsafe { &**(*vfs).pAppData.cast::<Box<dyn Disk>>() }
}

/// # Safety
/// `name` is a text with an end, which lives as long as the result is used.
unsafe fn path<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: as above.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let raw = file.cast::<RawFile>();
    // SAFETY: SQLite gives room of the size that `register` has told; without methods it does not call `close`.
    unsafe { raw.write(RawFile { base: ffi::sqlite3_file { pMethods: std::ptr::null() }, open: null_mut() }) };
    // A temporary file, which this disk has not.
    if name.is_null() {
        return ffi::SQLITE_CANTOPEN;
    }
    let is_made = flags & ffi::SQLITE_OPEN_CREATE != 0;
    // SAFETY: SQLite gives its own arguments.
    let opened = unsafe { disk(vfs).open(path(name), is_made) };
    let Ok(file) = opened else { return ffi::SQLITE_CANTOPEN };
    let locks = locks::of(file.id());
    let is_journal =
        flags & (ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL) != 0;
    let owner = NEXT.fetch_add(1, Ordering::Relaxed);
    let open = Box::into_raw(Box::new(Open { file, locks, owner, sync_dir: is_made && is_journal }));
    // SAFETY: as above; `out_flags` may be missing.
    unsafe {
        raw.write(RawFile { base: ffi::sqlite3_file { pMethods: &raw const METHODS }, open });
        if let Some(out) = out_flags.as_mut() {
            *out = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `open` has put the box there, and SQLite does not use the file any more.
    let open = unsafe { Box::from_raw((*file.cast::<RawFile>()).open) };
    open.locks.release(open.owner);
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, amount: c_int, at: i64) -> c_int {
    // SAFETY: SQLite gives a file of ours, and room for so many bytes.
    let (open, into) =
        unsafe { (opened(file), slice::from_raw_parts_mut(into.cast::<u8>(), usize::try_from(amount).unwrap_or(0))) };
    match open.file.read_at(into, u64::try_from(at).unwrap_or(0)) {
        Ok(length) if length == into.len() => ffi::SQLITE_OK,
        Ok(length) => {
            into[length..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(error) => code(&error, ffi::SQLITE_IOERR_READ),
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, at: i64) -> c_int {
    // SAFETY: SQLite gives a file of ours, and so many bytes.
    let (open, bytes) =
        unsafe { (opened(file), slice::from_raw_parts(from.cast::<u8>(), usize::try_from(amount).unwrap_or(0))) };
    done(open.file.write_at(bytes, u64::try_from(at).unwrap_or(0)), ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: SQLite gives a file of ours.
    let open = unsafe { opened(file) };
    done(open.file.truncate(u64::try_from(size).unwrap_or(0)), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite gives a file of ours.
    let open = unsafe { opened(file) };
    let result = done(open.file.sync(), ffi::SQLITE_IOERR_FSYNC);
    if result != ffi::SQLITE_OK || !open.sync_dir {
        return result;
    }
    open.sync_dir = false;
    done(open.file.sync_dir(), ffi::SQLITE_IOERR_DIR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: SQLite gives a file of ours, and room for the number.
    let (open, size) = unsafe { (opened(file), &mut *size) };
    match open.file.len() {
        Ok(length) => {
            *size = i64::try_from(length).unwrap_or(i64::MAX);
            ffi::SQLITE_OK
        }
        Err(error) => code(&error, ffi::SQLITE_IOERR_FSTAT),
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite gives a file of ours.
    let open = unsafe { opened(file) };
    if open.locks.lock(open.owner, level) { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite gives a file of ours.
    let open = unsafe { opened(file) };
    open.locks.unlock(open.owner, level);
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite gives a file of ours, and room for the answer.
    unsafe { *out = c_int::from(opened(file).locks.is_reserved()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_file: *mut ffi::sqlite3_file, _what: c_int, _with: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    4096
}

/// As on the machine's own file system: a write that is cut off leaves the bytes beside it alone.
unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    index: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite gives a file of ours, and room for the address.
    let (open, out) = unsafe { (opened(file), &mut *out) };
    let (index, size) = (usize::try_from(index).unwrap_or(0), usize::try_from(size).unwrap_or(0));
    *out = open.locks.region(open.owner, index, size, extend != 0).map_or(null_mut(), <*mut u64>::cast);
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: SQLite gives a file of ours.
    let open = unsafe { opened(file) };
    let first = usize::try_from(offset).unwrap_or(0);
    let slots = first..first + usize::try_from(count).unwrap_or(0);
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        open.locks.unlock_slots(open.owner, slots);
        return ffi::SQLITE_OK;
    }
    let alone = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    if open.locks.lock_slots(open.owner, slots, alone) { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn shm_barrier(_file: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: SQLite gives a file of ours.
    let open = unsafe { opened(file) };
    open.locks.unmap(open.owner);
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: SQLite gives its own arguments.
    let deleted = unsafe { disk(vfs).delete(path(name), sync_dir != 0) };
    match deleted {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) if error.kind() == io::ErrorKind::NotFound => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(error) => code(&error, ffi::SQLITE_IOERR_DELETE),
    }
}

unsafe extern "C" fn access(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _flags: c_int, out: *mut c_int) -> c_int {
    // SAFETY: SQLite gives its own arguments, and room for the answer.
    unsafe { *out = c_int::from(disk(vfs).exists(path(name))) };
    ffi::SQLITE_OK
}

/// Paths are whole already.
unsafe extern "C" fn full_path(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a text with an end, and so much room.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if name.len() > usize::try_from(room).unwrap_or(0) {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(name.as_ptr(), out.cast::<u8>(), name.len());
    }
    ffi::SQLITE_OK
}

/// None: a simulation is the same each time. SQLite asks its default file system for its own.
unsafe extern "C" fn randomness(_vfs: *mut ffi::sqlite3_vfs, _amount: c_int, _out: *mut c_char) -> c_int {
    0
}

/// A simulation does not wait: whoever waits for a lock sees at once that it does not come.
unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

/// A day in 2026, as a Julian date: the ledger does not ask SQLite for the time.
unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite gives room for the number.
    unsafe { *out = 2_461_375.0 };
    ffi::SQLITE_OK
}
