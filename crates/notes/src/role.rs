//! What a key can be trusted with.

use std::fmt;
use std::str::FromStr;

use crate::kind::DocumentType;

/// What a key may sign: a verb's commands, or documents of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Ask staff to press.
    RequestStart,
    /// End a session; needs no signature.
    Stop,
    /// Send silence; needs no signature.
    Mute,
    /// Take back a remote mute.
    Unmute,
    /// Change the picture.
    SetVideo,
    /// Change where streams go.
    SetIngest,
    /// Bring a policy.
    SetPolicy,
    /// Start an update.
    Update,
    /// Let the lamp show which box this is.
    Identify,
    /// Report the box's state.
    Diagnose,
    /// Destroy footage and what the box remembers.
    Erase,
    /// Take the box from its shop.
    Unbind,
    /// Sign desired configurations.
    Desired,
    /// Sign policies.
    Policy,
    /// Sign that the service ends.
    EndOfService,
    /// Sign release indexes.
    Release,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 16] = [
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
        Self::Desired,
        Self::Policy,
        Self::EndOfService,
        Self::Release,
    ];

    /// The role as the configuration has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestStart => "request-start",
            Self::Stop => "stop",
            Self::Mute => "mute",
            Self::Unmute => "unmute",
            Self::SetVideo => "set-video",
            Self::SetIngest => "set-ingest",
            Self::SetPolicy => "set-policy",
            Self::Update => "update",
            Self::Identify => "identify",
            Self::Diagnose => "diagnose",
            Self::Erase => "erase",
            Self::Unbind => "unbind",
            Self::Desired => "desired",
            Self::Policy => "policy",
            Self::EndOfService => "end-of-service",
            Self::Release => "release",
        }
    }

    /// The type of the documents that it signs.
    pub const fn document(self) -> DocumentType {
        match self {
            Self::Desired => DocumentType::Desired,
            Self::Policy => DocumentType::Policy,
            Self::EndOfService => DocumentType::EndOfService,
            Self::Release => DocumentType::Release,
            Self::RequestStart
            | Self::Stop
            | Self::Mute
            | Self::Unmute
            | Self::SetVideo
            | Self::SetIngest
            | Self::SetPolicy
            | Self::Update
            | Self::Identify
            | Self::Diagnose
            | Self::Erase
            | Self::Unbind => DocumentType::Command,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("there is no such role: write one of {all}")
        })
    }
}
