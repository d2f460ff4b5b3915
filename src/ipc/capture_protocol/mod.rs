//! The capture socket: guard and capture. The grant is a lease, which the guard renews; closing the socket ends it, and
//! no message can restore it.
//!
//! Each renewal carries the settings that capture has to apply as complete state, so that a lost message cannot
//! mislead; capture answers with those in force.

#[cfg(feature = "box")]
mod capture_end;
#[cfg(feature = "box")]
mod guard_end;
#[cfg(test)]
mod tests;

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CaptureSettings, Purpose, SetIngest, SetVideo, Values, text};
#[cfg(feature = "box")]
pub(crate) use capture_end::CaptureEnd;
#[cfg(feature = "box")]
pub(crate) use guard_end::{GuardEnd, Wanted};

/// How often the guard renews the lease.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(1);
/// A capture whose lease was not renewed for this long ends itself (docs/consent.md).
pub const LEASE_DURATION: Duration = Duration::from_secs(2);

/// What commands set for sessions to come, until the guard restarts. It may have a stream's key in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SessionValues {
    /// `set-video`
    pub video: SetVideo,
    /// `set-ingest`
    pub ingest: Option<Box<SetIngest>>,
}

/// All that can change while capture runs, as complete state: the last one received counts, and receiving it twice
/// changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LeaseState {
    /// Counts the changes of the sound in a session, from 0: a confirmation names the revision that it is about.
    pub revision: u64,
    /// Whether silence is sent instead of sound.
    pub muted: bool,
    /// The picture's highest bitrate in kbit/s: the user's cap. What the path to the server takes may be less.
    pub bitrate_kbps: u32,
}

impl LeaseState {
    /// What of it is a matter of consent.
    pub const fn settings(self) -> CaptureSettings {
        CaptureSettings { revision: self.revision, muted: self.muted }
    }
}

/// What capture has applied of a [`LeaseState`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StateInForce {
    /// The revision that this is about.
    pub revision: u64,
    /// Muted: nothing recorded from now on leaves the box.
    pub muted: bool,
    /// The cap that the encoder keeps to, in kbit/s.
    pub bitrate_kbps: u32,
    /// Why that is not the cap that was asked for, where it never will be.
    #[serde(default, deserialize_with = "text::maybe_reason")]
    pub bitrate_refused: Option<String>,
}

impl StateInForce {
    /// What of it is a matter of consent.
    pub const fn settings(&self) -> CaptureSettings {
        CaptureSettings { revision: self.revision, muted: self.muted }
    }
}

impl From<LeaseState> for StateInForce {
    /// All of it.
    fn from(LeaseState { revision, muted, bitrate_kbps }: LeaseState) -> Self {
        Self { revision, muted, bitrate_kbps, bitrate_refused: None }
    }
}

/// Guard to capture. Closing the socket ends capture at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToCapture {
    /// First message: the session, and whether the microphone may be opened in it.
    Start {
        /// The session's number.
        session: u64,
        /// Whether the microphone may be opened.
        sound: bool,
        /// On air, or a probe, of which nothing leaves the box.
        purpose: Purpose,
        /// Hash of the guard's configuration. Under any other configuration capture opens no device.
        configuration: String,
        /// What of that configuration the platform wants, below capture's own files.
        values: Values,
        /// What commands set over all that.
        commands: SessionValues,
        /// The settings from the beginning.
        wanted: LeaseState,
    },
    /// Extends the lease to [`LEASE_DURATION`] from now.
    Renew {
        /// The settings from now on.
        wanted: LeaseState,
    },
}

impl ToCapture {
    /// The same message with the present settings.
    #[must_use]
    pub fn with(self, now: LeaseState) -> Self {
        match self {
            Self::Start { session, sound, purpose, configuration, values, commands, wanted: _ } => {
                Self::Start { session, sound, purpose, configuration, values, commands, wanted: now }
            }
            Self::Renew { wanted: _ } => Self::Renew { wanted: now },
        }
    }
}

/// Capture to guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromCapture {
    /// First message, before any device is opened: the process whose end the guard has to verify.
    Hello {
        /// Process id.
        pid: u32,
    },
    /// What is in force, in answer to each start and renewal, and whenever that changes.
    #[serde(rename = "in-force")]
    Applied(StateInForce),
    /// The encoder that was chosen.
    Encoder {
        /// The GStreamer element's name.
        #[serde(deserialize_with = "text::name")]
        name: String,
        /// Why this one and not a better one.
        #[serde(deserialize_with = "text::reason")]
        why: String,
    },
    /// The camera was opened, again or for the first time.
    Camera {
        /// The camera's mode: format, size and rate, and which camera it is where `auto` found it.
        #[serde(deserialize_with = "text::reason")]
        mode: String,
    },
    /// An encoder failed, and another one replaced it.
    EncoderFallback {
        /// The GStreamer element that failed.
        #[serde(deserialize_with = "text::name")]
        from: String,
        /// The element that replaced it.
        #[serde(deserialize_with = "text::name")]
        to: String,
        /// How it failed.
        #[serde(deserialize_with = "text::reason")]
        why: String,
    },
    /// The ingest server has the stream.
    Live {},
    /// The connection to the ingest server was lost; capture reconnects.
    Reconnecting {
        /// The error of the last attempt.
        #[serde(deserialize_with = "text::reason")]
        reason: String,
    },
    /// A connection was not made: the configuration does not allow it.
    DestinationRefused {
        /// The host, or the address that a server named.
        #[serde(deserialize_with = "text::name")]
        host: String,
        /// Why.
        #[serde(deserialize_with = "text::reason")]
        why: String,
    },
    /// A device delivers nothing any more; a slate or silence replaces it.
    #[serde(rename = "lost")]
    DeviceLost {
        /// Camera or microphone.
        device: CaptureDevice,
        /// The cause, as far as it is known.
        #[serde(deserialize_with = "text::reason")]
        why: String,
    },
    /// The device delivers again.
    #[serde(rename = "back")]
    DeviceRecovered {
        /// Camera or microphone.
        device: CaptureDevice,
    },
    /// Statistics of the stream, each second.
    Stats(StreamStats),
    /// Statistics of the second destination, each second and at each change.
    #[serde(rename = "second")]
    Secondary(SecondaryStats),
    /// Last message of a probe: its result.
    #[serde(rename = "probed")]
    ProbeFinished(ProbeReport),
    /// Last message of a capture that cannot go on.
    Failed {
        /// What failed.
        kind: FailureKind,
        /// What failed and what to do about it.
        #[serde(deserialize_with = "text::message")]
        message: String,
    },
}

/// Statistics of the second destination. The session does not depend on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecondaryStats {
    /// Whether its server has the stream.
    pub on_air: bool,
    /// The error of the last attempt, while the server does not have the stream.
    #[serde(default, deserialize_with = "text::maybe_reason")]
    pub reason: Option<String>,
    /// Video and sound sent to it, in kbit/s, over the last second.
    pub bitrate_kbps: u32,
    /// Encoded frames dropped since the session began, as the connection was too slow.
    pub dropped_frames: u64,
    /// Round-trip time in milliseconds, where the protocol reports it.
    pub round_trip_ms: Option<u32>,
    /// Reconnections since the session began.
    pub reconnects: u32,
    /// Encoded media queued on the box, in milliseconds.
    pub queue_ms: u32,
}

/// Result of a probe: figures about the media, and no media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProbeReport {
    /// Encoded frames per second.
    #[serde(deserialize_with = "text::finite")]
    pub fps: f32,
    /// Keyframes among them.
    pub keyframes: u32,
    /// Video and sound together in kbit/s.
    pub bitrate_kbps: u32,
    /// Whether encoded sound arrived; `None`: the microphone was not opened.
    pub sound: Option<bool>,
    /// Pictures of the configured size that the encoder makes in a second at most; `None`: it could not be measured.
    #[serde(default, deserialize_with = "text::maybe_finite")]
    pub encoder_fps: Option<f32>,
}

/// A device that needs consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureDevice {
    /// The video source.
    Camera,
    /// The audio source.
    Microphone,
}

/// What ended a capture that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// A device at the start: absent, busy, or with an unusable format.
    Source,
    /// The camera was lost for longer than `device-lost-limit`.
    CameraLost,
    /// The microphone was lost for longer than `device-lost-limit`.
    MicrophoneLost,
    /// No encoder works.
    Encoder,
    /// The ingest host is not one of `allowed-ingest-hosts`.
    IngestNotAllowed,
    /// The way to the ingest server is a metered link, and `metered-links` refuses those.
    MeteredLink,
    /// The configuration cannot be used.
    Config,
    /// A fault of tallybox itself.
    Internal,
}

/// Which kind of link packets leave by. Never which network: no name, no address.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// A cable.
    Ethernet,
    /// Wireless LAN.
    Wifi,
    /// A modem, or a phone that shares its connection.
    Mobile,
    /// Anything else, or unknown.
    Other,
}

impl LinkKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernet",
            Self::Wifi => "wifi",
            Self::Mobile => "mobile",
            Self::Other => "other",
        }
    }
}

/// Statistics of the stream: the part of telemetry that comes from capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StreamStats {
    /// Encoded frames per second sent to the server, over the last second.
    #[serde(deserialize_with = "text::finite")]
    pub fps: f32,
    /// Video and sound sent to the server, in kbit/s, over the last second.
    pub bitrate_kbps: u32,
    /// Encoded frames dropped since the session began, as the connection was too slow.
    pub dropped_frames: u64,
    /// Round-trip time to the server in milliseconds, where the protocol reports it (SRT) or the kernel does
    /// (`TCP_INFO`).
    pub round_trip_ms: Option<u32>,
    /// Reconnections since the session began.
    pub reconnects: u32,
    /// Target bitrate of the video encoder, in kbit/s.
    pub target_kbps: u32,
    /// Height of the encoded picture, in pixels.
    pub height: u32,
    /// Whether bitrate, frame rate or size are below those configured, because the network path is too slow.
    pub reduced: bool,
    /// Encoded media queued on the box, in milliseconds.
    pub queue_ms: u32,
    /// Level of the sound that is sent, RMS over the last second, in dBFS; `None`: no sound is sent.
    #[serde(default, deserialize_with = "text::maybe_finite")]
    pub level_db: Option<f32>,
    /// The kind of link that carries the stream, or that is refused; `None`: there is no connection, or the server is
    /// this machine.
    #[serde(default)]
    pub link_kind: Option<LinkKind>,
    /// Whether that link counts as metered.
    #[serde(default)]
    pub link_metered: bool,
}
