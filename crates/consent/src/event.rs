//! What can happen to a box.

use super::{CaptureSettings, Fault, Reason};

/// Everything the machine reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time passed. Fed at the latest at [`super::Machine::deadline`].
    Tick,
    /// The record button went down, debounced.
    ButtonDown,
    /// The record button was polled as down, and since when is not known: it stops as a press does, and starts nothing.
    ButtonFoundDown,
    /// The record button went up, debounced.
    ButtonUp,
    /// Just before [`Event::ButtonUp`]: by the kernel's timestamps the button was down for at least this long. A guard
    /// that was busy learns of both edges at once, and would take a long press for a short one.
    ButtonHeldFor(core::time::Duration),
    /// The mute button went down, debounced.
    MuteButtonDown,
    /// Remote asks staff to start.
    RemoteRequest,
    /// Somebody at the box asks staff to press for a probe.
    ProbeRequest,
    /// Remote asks staff to confirm that the box is to be unbound.
    UnbindRequest,
    /// The platform's service ended: what is captured ends now, and nothing starts until another shop claims the box.
    EndService,
    /// Remote stops.
    RemoteStop,
    /// Remote mutes.
    RemoteMute,
    /// Remote undoes its own mute.
    RemoteUnmute,
    /// A materially new policy is in force and not yet acknowledged.
    PolicyChanged,
    /// Remote wants to change who sees or hears people: nothing starts until staff agree, or until that is withdrawn. A
    /// session that is on goes on as staff started it.
    AgreementNeeded,
    /// What staff were to agree to is withdrawn.
    AgreementWithdrawn,
    /// Consent ends for a reason that is found outside the machine.
    Revoke(Reason),
    /// Capture reported the state of its stream or its settings.
    CaptureReported(CaptureReport),
    /// The capture process was seen to be gone.
    CaptureExited(CaptureExit),
    /// A part without which there is no capture does not work.
    FaultDetected(Fault),
    /// That part was tested again and works.
    FaultCleared(Fault),
}

/// What capture reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureReport {
    /// The ingest server has the stream.
    Live,
    /// The connection to the ingest server was lost; capture goes on and reconnects.
    Reconnecting,
    /// The settings in force.
    Applied(CaptureSettings),
}

/// How the capture process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureExit {
    /// It exited after its lease was closed, or was killed because it did not.
    Stopped,
    /// It exited by itself, after its probe was finished.
    ProbeFinished,
    /// It exited by itself, after it reported a failure (no camera, ingest refused the key, ...).
    Failed,
    /// It exited by itself, without a report.
    Died,
    /// It could not be started.
    NeverStarted,
}
