//! What the limits of a unit ask of a process's memory, which has keys, and in capture pictures and sound. The kernel
//! alone does not keep to them: a collector of core dumps behind a pipe gets one in spite of `LimitCORE=0`, and without
//! the memory controller, which Raspberry Pi OS switches off, `MemorySwapMax=0` means nothing.

use rustix::mm::MlockAllFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit};

/// Keeps this process's memory from disks and from other processes, before it reads a secret.
///
/// - Where the hard limit of a core dump is 0 (`LimitCORE=0`), nobody gets one. The kernel then also keeps other
///   processes of the same user out of this one's memory, files and environment.
/// - Where no limit is on locked memory (`LimitMEMLOCK=infinity`), nothing that is in use comes to swap. Memory that is
///   not used yet takes no room by that.
pub(crate) fn apply() {
    let no_dump = Rlimit { current: Some(0), maximum: Some(0) };
    if getrlimit(Resource::Core) == no_dump
        && let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
    {
        eprintln!("tallybox: this process may leave a core dump: {error}");
    }
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if getrlimit(Resource::Memlock).current.is_none()
        && let Err(error) = rustix::mm::mlockall(all)
    {
        eprintln!("tallybox: memory of this process may come to swap: {error}");
    }
}
