//! The phases that `status` and MQTT name.

/// What the box is doing, as the MQTT `state` and `status` show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing; a press starts.
    Idle,
    /// Remote asked; a press starts.
    Requested,
    /// Capture was started; the ingest server has not accepted the stream yet.
    Connecting,
    /// The ingest server has the stream.
    Live,
    /// The connection to the ingest server was lost; capture goes on.
    Reconnecting,
    /// Consent has ended; the capture process is not yet verified to be gone.
    Stopping,
    /// Privacy lock: nothing starts until a hold of 2 s.
    Locked,
    /// A new policy: nothing starts until a hold of 2 s acknowledges it.
    Policy,
    /// Lamp, button, ledger or supply voltage has a fault, or the box may have been tampered with: nothing starts.
    Fault,
}

impl Phase {
    /// All phases, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Idle,
        Self::Requested,
        Self::Connecting,
        Self::Live,
        Self::Reconnecting,
        Self::Stopping,
        Self::Locked,
        Self::Policy,
        Self::Fault,
    ];

    /// The name in `state` and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Requested => "requested",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Reconnecting => "reconnecting",
            Self::Stopping => "stopping",
            Self::Locked => "locked",
            Self::Policy => "policy",
            Self::Fault => "fault",
        }
    }

    /// Whether a capture process may exist.
    pub const fn may_capture(self) -> bool {
        match self {
            Self::Connecting | Self::Live | Self::Reconnecting | Self::Stopping => true,
            Self::Idle | Self::Requested | Self::Locked | Self::Policy | Self::Fault => false,
        }
    }
}
