//! What can happen to a box.

use super::{CaptureSettings, Reason};

/// Everything the machine reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time passed. Fed at least every 50 ms while something is pending, so that deadlines are met.
    Tick,
    /// The record button went down, debounced.
    ButtonDown,
    /// The record button was found to be down, and since when is not known: it stops as a press does, and starts
    /// nothing.
    ButtonFoundDown,
    /// The record button went up, debounced.
    ButtonUp,
    /// Just before [`Event::ButtonUp`]: by the kernel's clock the button was down for at least this long. A guard that
    /// was busy hears of both edges at once, and would take a long press for a short one.
    ButtonHeldFor(core::time::Duration),
    /// The mute button went down, debounced.
    MuteButtonDown,
    /// Remote asks staff to start.
    RemoteRequest,
    /// Somebody at the box asks staff to press for a probe.
    ProbeRequest,
    /// Remote stops.
    RemoteStop,
    /// Remote mutes.
    RemoteMute,
    /// Remote takes back its own mute.
    RemoteUnmute,
    /// A materially new policy is in force and not yet acknowledged.
    PolicyChanged,
    /// Consent ends for a reason that is found outside the machine.
    Revoke(Reason),
    /// Capture tells how its stream is doing.
    CaptureReported(CaptureReport),
    /// The capture process was seen to be gone.
    CaptureExited(CaptureExit),
    /// A part that consent stands on does not work.
    FaultDetected(Fault),
    /// That part was tried again and works.
    FaultCleared(Fault),
}

/// How the stream does, in capture's own words, and what is in force there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureReport {
    /// The ingest server has the stream.
    Live,
    /// The ingest server went away; capture goes on and tries to reach it.
    Reconnecting,
    /// What capture has in force of what it was told.
    Applied(CaptureSettings),
}

/// How the capture process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureExit {
    /// It went when it was told to, or was killed because it did not.
    Stopped,
    /// It went by itself, having done what a probe has to do.
    ProbeFinished,
    /// It went by itself, having said that it could not go on (no camera, ingest refused the key, ...).
    Failed,
    /// It went by itself without a word.
    Died,
    /// It never came into being.
    NeverStarted,
}

/// A part without which there is no capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The lamp cannot be driven, or its sense pin reads otherwise.
    Lamp,
    /// The button cannot be read, or is stuck. Nothing is known of the finger then, until the button is seen up.
    Button,
    /// The ledger cannot be written.
    Ledger,
    /// The supply voltage is too low to be trusted.
    Power,
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Lamp, Self::Button, Self::Ledger, Self::Power];

    pub(super) const fn bit(self) -> u8 {
        match self {
            Self::Lamp => 1,
            Self::Button => 2,
            Self::Ledger => 4,
            Self::Power => 8,
        }
    }
}
