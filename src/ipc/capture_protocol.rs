//! Door 1: guard to capture. The grant is a lease; there is no message that gives back what closing the socket takes.
//!
//! What capture shall do is complete state in each renewal, and not a message that could be lost; capture answers each
//! with what it has in force.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CaptureSettings, Purpose, text};

/// How often the guard renews the lease.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(1);
/// A capture whose lease was not renewed for this long ends itself (docs/consent.md).
pub const LEASE_DURATION: Duration = Duration::from_secs(2);

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
        /// What it is for; nothing of a probe leaves the box.
        purpose: Purpose,
        /// Hash of the configuration that the guard knows, and staff with it: under another one nothing is opened.
        configuration: String,
        /// What capture shall do from the beginning.
        wanted: CaptureSettings,
    },
    /// The lease goes on for [`LEASE_DURATION`] from now.
    Renew {
        /// What capture shall do from now on, whatever it was told before.
        wanted: CaptureSettings,
    },
}

impl ToCapture {
    /// The same, with what is wanted by now.
    #[must_use]
    pub fn with(self, now: CaptureSettings) -> Self {
        match self {
            Self::Start { session, sound, purpose, configuration, wanted: _ } => {
                Self::Start { session, sound, purpose, configuration, wanted: now }
            }
            Self::Renew { wanted: _ } => Self::Renew { wanted: now },
        }
    }
}

/// Capture to guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromCapture {
    /// First message, before any device is opened: which process this is, so that its end can be verified.
    Hello {
        /// Process id.
        pid: u32,
    },
    /// What is in force here now, in answer to each start and renewal. Muted: nothing that is recorded after it leaves.
    #[serde(rename = "in-force")]
    Applied(CaptureSettings),
    /// Which encoder was chosen, and why.
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
        /// The mode that it runs in: what it sends, size and rate.
        #[serde(deserialize_with = "text::reason")]
        mode: String,
    },
    /// An encoder did not do its work any more; another one goes on in its place.
    EncoderFallback {
        /// The GStreamer element that was given up.
        #[serde(deserialize_with = "text::name")]
        from: String,
        /// The one that goes on.
        #[serde(deserialize_with = "text::name")]
        to: String,
        /// What was wrong.
        #[serde(deserialize_with = "text::reason")]
        why: String,
    },
    /// The ingest server has the stream.
    Live {},
    /// The ingest server is out of reach; capture goes on.
    Reconnecting {
        /// What the last attempt said.
        #[serde(deserialize_with = "text::reason")]
        reason: String,
    },
    /// Camera or microphone gives nothing any more; a slate or silence goes out in its place.
    #[serde(rename = "lost")]
    DeviceLost {
        /// Which of the two.
        device: CaptureDevice,
        /// What is known about why.
        #[serde(deserialize_with = "text::reason")]
        why: String,
    },
    /// It is there again, and so is its picture or sound.
    #[serde(rename = "back")]
    DeviceRecovered {
        /// Which of the two.
        device: CaptureDevice,
    },
    /// How the stream does, each second.
    Stats(StreamStats),
    /// How the second destination does, each second and at each change.
    #[serde(rename = "second")]
    Secondary(SecondaryStats),
    /// Last words of a probe: what camera, microphone and encoder gave.
    #[serde(rename = "probed")]
    ProbeFinished(ProbeReport),
    /// Last words: capture cannot go on and ends.
    Failed {
        /// What sort of trouble.
        kind: FailureKind,
        /// What is wrong and what to do about it.
        #[serde(deserialize_with = "text::message")]
        message: String,
    },
}

/// How the second destination does. The session does not depend on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecondaryStats {
    /// Its server has the stream.
    pub on_air: bool,
    /// Why not, if not.
    #[serde(default, deserialize_with = "text::maybe_reason")]
    pub reason: Option<String>,
    /// Video and sound together that left for it, in kbit/s, over the last second.
    pub bitrate_kbps: u32,
    /// Encoded frames that were dropped because it did not take them, since the session began.
    pub dropped_frames: u64,
    /// Round-trip time to it in milliseconds, where the protocol tells.
    pub round_trip_ms: Option<u32>,
    /// How often it had to be reached again since the session began.
    pub reconnects: u32,
    /// How much encoded media waits on the box to be sent to it, in milliseconds.
    pub queue_ms: u32,
}

/// What a probe found: figures about the media, and nothing of the media themselves.
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
    /// Whether encoded sound came; `None`: the microphone was not opened.
    pub sound: Option<bool>,
}

/// One of the two that consent is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureDevice {
    /// What sees.
    Camera,
    /// What hears.
    Microphone,
}

/// What sort of trouble ended a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Camera or microphone: absent, busy, wrong format.
    Source,
    /// The camera was away for longer than `device-lost-limit`.
    CameraLost,
    /// The microphone was.
    MicrophoneLost,
    /// No encoder works.
    Encoder,
    /// The ingest server refused the stream for good (wrong key, wrong name in its certificate).
    Ingest,
    /// The ingest host is not one of `allowed-ingest-hosts`.
    IngestNotAllowed,
    /// The configuration cannot be used.
    Config,
    /// A fault of tallybox itself.
    Internal,
}

/// How the stream does; the allow-listed part of telemetry that comes from capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StreamStats {
    /// Encoded frames per second that left for the server, over the last second.
    #[serde(deserialize_with = "text::finite")]
    pub fps: f32,
    /// Video and sound together that left for the server, in kbit/s, over the last second.
    pub bitrate_kbps: u32,
    /// Encoded frames that were dropped because the server did not take them, since the session began.
    pub dropped_frames: u64,
    /// Round-trip time to the server in milliseconds, where the protocol tells (SRT, or the kernel's TCP figures).
    pub round_trip_ms: Option<u32>,
    /// How often the server had to be reached again since the session began.
    pub reconnects: u32,
    /// What the encoder is asked for at present, picture alone, in kbit/s.
    pub target_kbps: u32,
    /// Height of the picture that the encoder is asked for at present, in pixels.
    pub height: u32,
    /// Whether bitrate, frame rate or size are below what was configured, because the way to the server takes no more.
    pub reduced: bool,
    /// How much encoded media waits on the box to be sent, in milliseconds.
    pub queue_ms: u32,
    /// Loudness of the sound that is sent, RMS over the last second, in dB relative to full scale; `None`: no sound is
    /// sent.
    #[serde(default, deserialize_with = "text::maybe_finite")]
    pub level_db: Option<f32>,
}
