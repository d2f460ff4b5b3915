//! Why a session or request ended, or why nothing starts; and in which phase each of that may be said.

use super::{Fault, Phase};

/// Why a session ended, a request was dropped, or nothing starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Staff touched the button.
    Press,
    /// Remote said stop.
    Remote,
    /// `max-session` was reached.
    MaxSession,
    /// A new policy has to be acknowledged first.
    Policy,
    /// Staff have to agree to a change of who sees or hears them.
    Agreement,
    /// Staff locked the box.
    Lock,
    /// Lamp, button, ledger or supply voltage has a fault.
    Fault(Fault),
    /// The ingest server is not one of `allowed-ingest-hosts`.
    IngestNotAllowed,
    /// The way to the ingest server is a metered link, and the configuration refuses those.
    MeteredLink,
    /// The ingest server was out of reach for longer than `reconnect-window`.
    ReconnectWindow,
    /// The camera was lost for longer than `device-lost-limit`.
    CameraLost,
    /// The microphone was lost for longer than `device-lost-limit`.
    MicrophoneLost,
    /// Staff unbound the box, or the platform did.
    Unbind,
    /// The platform's service ended, as a signed note says.
    EndOfService,
    /// The platform had the box erased.
    Erase,
    /// The guard is being shut down.
    Shutdown,
    /// A probe was finished.
    Probed,
    /// Capture reported that it could not go on.
    CaptureFailed,
    /// The capture process died.
    CaptureDied,
    /// Capture did not confirm in time that it sends silence.
    MuteUnconfirmed,
    /// Capture could not be started.
    NeverStarted,
    /// Nobody pressed within `request-timeout`.
    RequestTimeout,
    /// Staff declined to unbind the box, or a guardian's hold was too short or too long.
    Declined,
    /// Minors' mode: a guardian has to hold the button before the session starts.
    Guardian,
}

impl Reason {
    /// All reasons, and each fault.
    pub const ALL: [Self; 28] = [
        Self::Press,
        Self::Remote,
        Self::MaxSession,
        Self::Policy,
        Self::Agreement,
        Self::Lock,
        Self::Fault(Fault::Lamp),
        Self::Fault(Fault::Button),
        Self::Fault(Fault::Ledger),
        Self::Fault(Fault::Power),
        Self::Fault(Fault::Tamper),
        Self::IngestNotAllowed,
        Self::MeteredLink,
        Self::ReconnectWindow,
        Self::CameraLost,
        Self::MicrophoneLost,
        Self::Unbind,
        Self::EndOfService,
        Self::Erase,
        Self::Shutdown,
        Self::Probed,
        Self::CaptureFailed,
        Self::CaptureDied,
        Self::MuteUnconfirmed,
        Self::NeverStarted,
        Self::RequestTimeout,
        Self::Declined,
        Self::Guardian,
    ];

    /// Whether the machine can have this reason in `phase`. The reasons of a session that goes on are not the
    /// machine's.
    pub const fn is_valid_in(self, phase: Phase) -> bool {
        match phase {
            Phase::Idle => !matches!(self, Self::Unbind | Self::EndOfService | Self::Guardian),
            // A request to start needs no reason but itself.
            Phase::Requested => matches!(self, Self::Unbind | Self::Guardian),
            Phase::Connecting | Phase::Live | Phase::Reconnecting => false,
            Phase::Stopping => self.ends_sessions(),
            Phase::Locked => matches!(self, Self::Lock | Self::Unbind | Self::EndOfService),
            Phase::Policy => matches!(self, Self::Policy | Self::Agreement),
            Phase::Fault => matches!(self, Self::Fault(_)),
        }
    }

    /// Whether consent ends for this reason. The others say how capture, or a request, ended by itself.
    const fn ends_sessions(self) -> bool {
        match self {
            Self::Press
            | Self::Remote
            | Self::MaxSession
            | Self::Policy
            | Self::Lock
            | Self::Fault(_)
            | Self::IngestNotAllowed
            | Self::MeteredLink
            | Self::ReconnectWindow
            | Self::CameraLost
            | Self::MicrophoneLost
            | Self::Unbind
            | Self::EndOfService
            | Self::Erase
            | Self::Shutdown
            | Self::MuteUnconfirmed => true,
            Self::Agreement
            | Self::Probed
            | Self::CaptureFailed
            | Self::CaptureDied
            | Self::NeverStarted
            | Self::RequestTimeout
            | Self::Declined
            | Self::Guardian => false,
        }
    }

    /// The name in the ledger, in `state` and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Press => "press",
            Self::Remote => "remote-stop",
            Self::MaxSession => "max-session",
            Self::Policy => "policy-change",
            Self::Agreement => "staff-agreement",
            Self::Lock => "lock",
            Self::Fault(Fault::Lamp) => "lamp-fault",
            Self::Fault(Fault::Button) => "button-fault",
            Self::Fault(Fault::Ledger) => "ledger-fault",
            Self::Fault(Fault::Power) => "low-power",
            Self::Fault(Fault::Tamper) => "tamper",
            Self::IngestNotAllowed => "ingest-not-allowed",
            Self::MeteredLink => "metered-link",
            Self::ReconnectWindow => "reconnect-window",
            Self::CameraLost => "camera-lost",
            Self::MicrophoneLost => "microphone-lost",
            Self::Unbind => "unbind",
            Self::EndOfService => "end-of-service",
            Self::Erase => "erase",
            Self::Shutdown => "shutdown",
            Self::Probed => "probed",
            Self::CaptureFailed => "capture-failed",
            Self::CaptureDied => "capture-died",
            Self::MuteUnconfirmed => "mute-unconfirmed",
            Self::NeverStarted => "never-started",
            Self::RequestTimeout => "request-timeout",
            Self::Declined => "declined",
            Self::Guardian => "guardian-hold",
        }
    }
}
