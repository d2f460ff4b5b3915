//! Messages between the three roles: serde types as length-prefixed JSON. Unknown fields and oversized frames are
//! errors. The roles share nothing else.

mod capture_protocol;
mod command;
mod connection;
mod control_protocol;
mod erasure;
mod identity;
mod incident;
mod ledger;
mod ledger_entry;
mod network;
mod policy;
mod reasons;
mod status;
mod stream;
mod text;
mod twin;
mod values;
mod verbs;
pub mod video_bounds;

pub use capture_protocol::{
    CaptureDevice, FailureKind, FromCapture, LEASE_DURATION, LeaseState, LinkKind, ProbeReport, RENEW_INTERVAL,
    SecondaryStats, SessionValues, StateInForce, StreamStats, ToCapture,
};
#[cfg(feature = "box")]
pub(crate) use capture_protocol::{CaptureEnd, GuardEnd, Wanted};
pub use command::{
    EPOCH_DIGITS, Fields, MAX_ID_BYTES, Rejection, ReplyCode, SignedCommand, SignedPayload, Unreadable, id_wanted,
    is_id, unknown_verb,
};
#[cfg(all(feature = "box", any(test, feature = "fuzzing")))]
pub(crate) use connection::frame_codec;
pub use connection::{IpcConnection, IpcError, MAX_FRAME};
pub use control_protocol::{Access, FromGuard, LedgerCursor, Request, Response, ToGuard, UpdateOutcome};
pub use erasure::{CredentialLeft, CredentialsReport, Erase, Erasure, ErasureReason, FootageEnd, MAX_CREDENTIALS_LEFT};
pub use identity::{BoxIdentity, KeyAtRest};
pub use incident::{Incident, IncidentText, OpenIncident};
pub use ledger::Fact;
pub use ledger_entry::{LedgerEntry, StoredFact};
pub use network::{Connector, NetworkReport};
pub use policy::{EndOfServiceDocument, PolicyDocument, PolicyReason, PolicyText, PolicyTexts};
pub use reasons::{ENCODER_FALLBACK, GUARD_UNREACHABLE, reasons};
pub use status::{
    CommandProgress, DesiredStatus, FootageStatus, LedgerCheck, Status, UpdateState, UpdateStatus, VideoSettings,
};
pub use stream::IpcStream;
pub(crate) use text::is_unseen;
pub use text::{MESSAGE, WHY, clean};
pub use twin::{KeyCode, KeyReport, ReportedConfig};
pub use values::Values;
pub(crate) use verbs::without_values;
pub use verbs::{
    NoParameters, Parameters, SetIngest, SetPolicy, SetVideo, Signed, Update, VERBS, Verb, VerbRow, steps,
};

pub use consent::{Actor, CaptureSettings, Fault, LampPattern, Phase, Purpose};

/// The control socket in `runtime-dir`.
pub const GUARD_SOCKET: &str = "guard.sock";
/// The simulated panel's lamp: a file in `runtime-dir` with the name of a [`LampPattern`]. Like a GPIO line it keeps
/// its last state when the process that set it is gone.
pub const SIM_LAMP: &str = "lamp";
/// The simulated panel's case: a file in `runtime-dir` that is there while the case is open.
pub const SIM_CASE: &str = "case-open";
/// The consent ledger in `data-dir`.
pub const LEDGER_FILE: &str = "ledger.db";

/// A command that runs this same program file, whatever has replaced it at its path since: guard and agent are of one
/// version, and an upgrade under a running box breaks no start. (Capture's program is looked up at each press, here as
/// by systemd; if guard and capture do not understand each other, the session ends.)
pub fn self_command() -> std::process::Command {
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new("/proc/self/exe");
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    command
}

/// Name and version of this software, as reported to others.
pub const VERSION_STRING: &str = concat!("tallybox ", env!("CARGO_PKG_VERSION"));
