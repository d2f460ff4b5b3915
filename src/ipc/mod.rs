//! What the three roles say to each other: plain serde types, length-prefixed JSON, unknown fields and oversized
//! frames refused. The roles meet here and nowhere else.

mod capture_protocol;
mod connection;
mod control_protocol;
mod identity;
mod ledger;
mod reasons;
mod status;
mod text;

pub use capture_protocol::{
    CaptureDevice, FailureKind, FromCapture, LEASE_DURATION, ProbeReport, RENEW_INTERVAL, SecondaryStats, StreamStats,
    ToCapture,
};
pub use connection::{IpcConnection, IpcError, MAX_FRAME};
pub use control_protocol::{FromGuard, LedgerCursor, Request, Response, ToGuard, Verb};
pub use identity::BoxIdentity;
pub use ledger::{Fact, LedgerEntry, StoredFact};
pub use reasons::{ENCODER_FALLBACK, GUARD_UNREACHABLE, reasons};
pub use status::{LedgerCheck, Status};
pub use text::{MESSAGE, WHY, clean};

pub use consent::{Actor, CaptureSettings, Fault, LampPattern, Phase, Purpose};

/// The guard's socket (door 2) in `runtime-dir`.
pub const GUARD_SOCKET: &str = "guard.sock";
/// The simulated panel's lamp, a file in `runtime-dir` that holds [`LampPattern::as_str`]. Like a lamp on a GPIO line
/// it keeps what it was last told, whoever told it has died since.
pub const SIM_LAMP: &str = "lamp";
/// The consent ledger in `data-dir`.
pub const LEDGER_FILE: &str = "ledger.db";

/// Runs this very program, whatever lies at its path since it was started: guard and agent are of one version, and an
/// upgrade under a running box stops nothing from starting. (Capture's program is looked for at each press, here as by
/// systemd; a guard that does not understand it ends the session.)
pub fn self_command() -> std::process::Command {
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new("/proc/self/exe");
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    command
}

/// Version of this software, as it is told to others.
pub const VERSION_STRING: &str = concat!("tallybox ", env!("CARGO_PKG_VERSION"));
