//! The verbs of the platform: one table, from which validation, roles, schemas and documents come, and the parameters
//! that each verb has.

use std::fmt;

use notes::Role;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[cfg(test)]
use super::video_bounds::{BITRATE_KBPS, FPS, HEIGHT, WIDTH};
use super::{Erase, MESSAGE, clean};

/// The verbs that the platform may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Ask staff to press.
    RequestStart,
    /// End the session.
    Stop,
    /// Send silence.
    Mute,
    /// Undo remote's own mute.
    Unmute,
    /// Change the picture until the guard ends.
    SetVideo,
    /// Change where the next session goes, until the guard ends.
    SetIngest,
    /// Bring a policy.
    SetPolicy,
    /// Take the update that is offered now.
    Update,
    /// Show which box this is.
    Identify,
    /// Report the state of the box.
    Diagnose,
    /// Destroy footage and what the box remembers.
    Erase,
    /// Take the box from its shop.
    Unbind,
}

/// When a verb has to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Never: it can only make people safer.
    Never,
    /// On a box that trusts a key.
    WithTrust,
    /// On every box.
    Always,
}

/// What is to be known of a verb.
#[derive(Clone, Copy, Debug)]
pub struct VerbRow {
    /// The verb.
    pub verb: Verb,
    /// What a key needs to sign it.
    pub role: Role,
    /// When it has to be signed.
    pub signed: Signed,
    /// What it may wait for, in the words of `progress` in its replies. Empty: it is answered at once.
    pub steps: &'static [&'static str],
    /// What the box does, for documents.
    pub does: &'static str,
    /// What `"ok": true` means.
    pub ok_means: &'static str,
    /// When it is refused.
    pub refused: &'static str,
}

/// What long commands wait for, in the words of their replies.
pub mod steps {
    /// Staff, at the button.
    pub const STAFF: &str = "waiting-for-staff";
    /// The end of a session, and five minutes more.
    pub const SESSION: &str = "waiting-for-session-end";
    /// A clock that is synchronised.
    pub const CLOCK: &str = "waiting-for-clock";
    /// A package.
    pub const DOWNLOAD: &str = "downloading";
    /// The updater; the answer follows when the box is well with the new version, or has its former one.
    pub const INSTALLATION: &str = "installing";
    /// Files being destroyed.
    pub const ERASURE: &str = "erasing";
}

/// One row for each verb, in the order of [`Verb::ALL`].
pub const VERBS: [VerbRow; 12] = [
    VerbRow {
        verb: Verb::RequestStart,
        role: Role::RequestStart,
        signed: Signed::WithTrust,
        steps: &[],
        does: "the lamp asks staff to press, for `request-timeout`",
        ok_means: "the lamp asks",
        refused: "unless the box is idle",
    },
    VerbRow {
        verb: Verb::Stop,
        role: Role::Stop,
        signed: Signed::Never,
        steps: &[],
        does: "ends the session, or the request",
        ok_means: "capture is gone, and the ledger records it",
        refused: "never",
    },
    VerbRow {
        verb: Verb::Mute,
        role: Role::Mute,
        signed: Signed::Never,
        steps: &[],
        does: "sends silence",
        ok_means: "capture confirmed it",
        refused: "while there is no session",
    },
    VerbRow {
        verb: Verb::Unmute,
        role: Role::Unmute,
        signed: Signed::WithTrust,
        steps: &[],
        does: "undoes a remote mute",
        ok_means: "sound may leave again",
        refused: "if staff muted, or there is no sound",
    },
    VerbRow {
        verb: Verb::SetVideo,
        role: Role::SetVideo,
        signed: Signed::WithTrust,
        steps: &[],
        does: "changes bitrate, size or frame rate, until the guard ends; while live the bitrate alone",
        ok_means: "it is in force, or will be in the next session",
        refused: "for size and frame rate while a session is on, and for what the encoder cannot change",
    },
    VerbRow {
        verb: Verb::SetIngest,
        role: Role::SetIngest,
        signed: Signed::Always,
        steps: &[steps::STAFF],
        does: "changes where the next session goes, until the guard ends",
        ok_means: "the next session goes there; staff agreed, where the host is another",
        refused: "while a session is on, for hosts that are not allowed, and what staff refused before",
    },
    VerbRow {
        verb: Verb::SetPolicy,
        role: Role::SetPolicy,
        signed: Signed::Always,
        steps: &[],
        does: "brings a policy, which is a note of its own",
        ok_means: "the policy is in force, or waits for staff",
        refused: "unless its version is higher than the one before",
    },
    VerbRow {
        verb: Verb::Update,
        role: Role::Update,
        signed: Signed::Always,
        steps: &[steps::SESSION, steps::CLOCK, steps::DOWNLOAD, steps::INSTALLATION],
        does: "installs the version in force as soon as no session is on, whatever wave and window say",
        ok_means: "the box is well with that version",
        refused: "unless that version is offered to this box, and while its clock is not set",
    },
    VerbRow {
        verb: Verb::Identify,
        role: Role::Identify,
        signed: Signed::WithTrust,
        steps: &[],
        does: "the lamp shows which box this is",
        ok_means: "the lamp does",
        refused: "while the lamp shows something else",
    },
    VerbRow {
        verb: Verb::Diagnose,
        role: Role::Diagnose,
        signed: Signed::WithTrust,
        steps: &[],
        does: "nothing",
        ok_means: "the result is in `diagnosis`",
        refused: "never",
    },
    VerbRow {
        verb: Verb::Erase,
        role: Role::Erase,
        signed: Signed::Always,
        steps: &[steps::ERASURE],
        does: "ends the session, and destroys unsent footage and what commands had set",
        ok_means: "they are destroyed; the receipt says what",
        refused: "never",
    },
    VerbRow {
        verb: Verb::Unbind,
        role: Role::Unbind,
        signed: Signed::Always,
        steps: &[steps::STAFF],
        does: "takes the box from its shop, once staff confirm it at the button",
        ok_means: "it is unbound; the receipt says what was destroyed",
        refused: "if staff decline, or nobody confirms in time; then until something changes",
    },
];

impl VerbRow {
    /// Whether it may take minutes, and tells its progress meanwhile.
    pub const fn is_long(&self) -> bool {
        !self.steps.is_empty()
    }
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 12] = [
        Self::RequestStart,
        Self::Stop,
        Self::Mute,
        Self::Unmute,
        Self::SetVideo,
        Self::SetIngest,
        Self::SetPolicy,
        Self::Update,
        Self::Identify,
        Self::Diagnose,
        Self::Erase,
        Self::Unbind,
    ];

    /// The verb as in the MQTT topic.
    pub const fn as_str(self) -> &'static str {
        self.row().role.as_str()
    }

    /// Its row in the table.
    pub const fn row(self) -> &'static VerbRow {
        &VERBS[self as usize]
    }

    /// The verb with this name.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == word)
    }
}

/// Parameters of `set-video`; what is left out stays as it is. The configuration's bounds count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetVideo {
    /// Bitrate of the picture in kbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = *BITRATE_KBPS.start(), max = *BITRATE_KBPS.end())))]
    pub bitrate_kbps: Option<u32>,
    /// Width in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = *WIDTH.start(), max = *WIDTH.end())))]
    pub width: Option<u32>,
    /// Height in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = *HEIGHT.start(), max = *HEIGHT.end())))]
    pub height: Option<u32>,
    /// Frames per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(range(min = *FPS.start(), max = *FPS.end())))]
    pub fps: Option<u32>,
}

/// Parameters of `set-ingest`: `[ingest] url` and the keys beside it. They are taken literally, without `${NAME}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetIngest {
    /// The server, and with some protocols the stream's key.
    pub url: String,
    /// RTMP: the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_key: Option<String>,
    /// SRT: what encrypts the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<String>,
    /// SRT: how the server identifies the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streamid: Option<String>,
    /// WHIP: who publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl SetIngest {
    /// This address and nothing beside it.
    pub fn of(url: &str) -> Self {
        Self { url: url.to_owned(), stream_key: None, passphrase: None, streamid: None, token: None }
    }
}

/// Without anything secret: even a URL may hold the key.
impl fmt::Debug for SetIngest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetIngest(…)")
    }
}

/// Parameters of `set-policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetPolicy {
    /// A whole note of type `tallybox/policy/v1`.
    pub note: String,
}

/// Parameters of `update`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Update {
    /// The only version that it may update to; without one it is the one that is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Parameters of all other verbs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// A verb with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// `request-start`
    RequestStart,
    /// `stop`
    Stop,
    /// `mute`
    Mute,
    /// `unmute`
    Unmute,
    /// `set-video`
    SetVideo(SetVideo),
    /// `set-ingest`
    SetIngest(Box<SetIngest>),
    /// `set-policy`
    SetPolicy(SetPolicy),
    /// `update`
    Update(Update),
    /// `identify`
    Identify,
    /// `diagnose`
    Diagnose,
    /// `erase`
    Erase(Erase),
    /// `unbind`
    Unbind,
}

impl Parameters {
    /// The parameters of `verb`, from all fields of a command that are not every command's. `Err`: what is wrong.
    pub fn read(verb: Verb, fields: Map<String, Value>) -> Result<Self, String> {
        fn of<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, String> {
            // Serde's errors repeat a value of a wrong type, which can be secret.
            serde_json::from_value(Value::Object(fields)).map_err(|error| without_values(&error.to_string()))
        }
        let none = |fields, this| of::<NoParameters>(fields).map(|NoParameters {}| this);
        match verb {
            Verb::RequestStart => none(fields, Self::RequestStart),
            Verb::Stop => none(fields, Self::Stop),
            Verb::Mute => none(fields, Self::Mute),
            Verb::Unmute => none(fields, Self::Unmute),
            Verb::SetVideo => of(fields).map(Self::SetVideo),
            Verb::SetIngest => of(fields).map(Box::new).map(Self::SetIngest),
            Verb::SetPolicy => of(fields).map(Self::SetPolicy),
            Verb::Update => of(fields).map(Self::Update),
            Verb::Identify => none(fields, Self::Identify),
            Verb::Diagnose => none(fields, Self::Diagnose),
            Verb::Erase => of(fields).map(Self::Erase),
            Verb::Unbind => none(fields, Self::Unbind),
        }
    }
}

/// An error of serde's up to the value that it repeats, which stands in quotes or back quotes behind its kind. The name
/// of a field may be anything, too.
pub(crate) fn without_values(error: &str) -> String {
    match error.split_once("invalid type: ").or_else(|| error.split_once("invalid value: ")) {
        Some((_, rest)) => {
            let expected = rest.rsplit_once(", expected ").map_or("something else", |(_, expected)| expected);
            format!("a value is of a wrong kind: expected {expected}")
        }
        None => clean(error, MESSAGE),
    }
}

#[cfg(test)]
mod tests;
