//! The control socket: what the agent and local commands may ask of the guard. No verb starts a capture.

use serde::{Deserialize, Serialize};

use super::{
    CredentialsReport, LedgerEntry, NetworkReport, ProbeReport, Rejection, ReplyCode, ReportedConfig, SetVideo,
    SignedPayload, Status, Verb, text,
};

/// One call to the guard; answered by a [`FromGuard::Response`] with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ToGuard {
    /// The caller's number for this call.
    pub call: u64,
    /// The request itself.
    pub request: Request,
}

/// What may be asked of the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// One [`FromGuard::Status`], then the answer.
    Status {},
    /// A [`FromGuard::Status`] now and at each change, and ledger entries in order, old and new, on request.
    Subscribe {
        /// Whether to send ledger entries.
        entries: bool,
        /// The last entry that the caller has. Without one, or with one of another ledger, entries begin at the last
        /// `unbound`, else at the first that is kept. Entries before the last `unbound` belong to a former binding and
        /// are never sent.
        after: Option<LedgerCursor>,
    },
    /// Ask staff to press. Never starts anything.
    RequestStart {},
    /// Ask staff to press for a probe: camera, microphone and encoder run for some seconds, and nothing leaves the box.
    /// Answered with [`Response::Probed`] once capture is gone. Accepted only from root and the guard's own user.
    Probe {},
    /// End the session; answered once the capture process is gone and the ledger has the entry.
    Stop {},
    /// Remote mutes; answered once capture has confirmed it.
    Mute {},
    /// Remote undoes its own mute.
    Unmute {},
    /// Let the lamp show which box this is, for some seconds; rejected while capture may exist.
    Identify {},
    /// Change the picture until the guard ends.
    SetVideo(SetVideo),
    /// A signed command of the platform, as it came. The guard judges it: the agent is not trusted with that.
    Command {
        /// The verb of the topic; cut at 64 bytes.
        #[serde(deserialize_with = "text::name")]
        verb: String,
        /// The note.
        payload: SignedPayload,
    },
    /// A signed policy of the platform, as it is retained. The guard judges it.
    Policy {
        /// The note.
        note: SignedPayload,
    },
    /// The agent refused a command of the platform: for the ledger.
    Refused {
        /// The verb as it came; cut at 64 bytes.
        #[serde(deserialize_with = "text::name")]
        verb: String,
        /// Why; cut at 200 bytes.
        #[serde(deserialize_with = "text::why")]
        why: String,
    },
    /// A change of the agent's connections: for the ledger.
    Network(NetworkReport),
    /// The release index of the box's channel, as it came: a signed note. Done once it is kept, or was known already.
    Release {
        /// The note's exact text.
        note: String,
    },
    /// The agent has the package of the release with this serial in its folder, or says why it has not.
    UpdateFetched {
        /// The release's serial.
        serial: u64,
        /// What keeps it; cut at 200 bytes. `None`: it is there, and has the size and digest that it should have.
        #[serde(deserialize_with = "text::optional_why")]
        error: Option<String>,
    },
    /// Take this version as soon as no session is on, whatever the wave and the window say. Accepted only from root and
    /// the guard's own user; operators have the command `update`.
    UpdateNow {
        /// The version, as the release in force has it.
        #[serde(deserialize_with = "text::name")]
        version: String,
    },
    /// Put updates off. Accepted only from root and the guard's own user.
    UpdatePostpone {
        /// For how many hours: 1 to 168; 0 takes it back.
        hours: u32,
    },
    /// How an update ended, for the ledger. Accepted only from root. Done once it is written; the same outcome again is
    /// done at once.
    UpdateEnded(UpdateOutcome),
    /// The helper that runs as root deleted what it could of the credentials under `/etc`. Refused where nobody waits
    /// for it.
    CredentialsErased(CredentialsReport),
    /// A copy of everything that the box holds about the shop is handed out: for the ledger.
    PrivacyExported {},
    /// A desired configuration that the platform sent: a signed note. Answered once it is judged; what became of it
    /// comes as [`FromGuard::Reported`].
    Desired {
        /// The note, as it came.
        note: String,
    },
    /// The simulated panel's record button goes down or up. Refused by real panels.
    Button {
        /// Whether it goes down.
        down: bool,
    },
    /// The simulated panel's mute button goes down or up. Refused by real panels.
    MuteButton {
        /// Whether it goes down.
        down: bool,
    },
}

/// How an update ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct UpdateOutcome {
    /// The attempt, as the guard named it.
    #[serde(deserialize_with = "text::name")]
    pub attempt: String,
    /// The version that it was to bring.
    #[serde(deserialize_with = "text::name")]
    pub version: String,
    /// Why it failed; cut at 200 bytes. `None`: the box runs that version, and is well.
    #[serde(deserialize_with = "text::optional_why")]
    pub error: Option<String>,
    /// Whether the version was not to blame, and deserves another try: the power failed, a session began, a disk was
    /// full.
    pub again: bool,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever may connect.
    Anyone,
    /// The agent only as long as no key is trusted: then it has to bring a signed command.
    Unsigned,
    /// Root and the guard's own user.
    Local,
}

impl Request {
    /// Who may ask this.
    pub const fn access(&self) -> Access {
        match self {
            Self::Status {}
            | Self::Subscribe { .. }
            | Self::Stop {}
            | Self::Mute {}
            | Self::Command { .. }
            | Self::Policy { .. }
            | Self::Refused { .. }
            | Self::Network(_)
            | Self::Desired { .. }
            | Self::Release { .. }
            | Self::UpdateFetched { .. } => Access::Anyone,
            Self::RequestStart {}
            | Self::Unmute {}
            | Self::Identify {}
            | Self::SetVideo(_)
            | Self::Button { .. }
            | Self::MuteButton { .. } => Access::Unsigned,
            Self::Probe {}
            | Self::UpdateNow { .. }
            | Self::UpdatePostpone { .. }
            | Self::UpdateEnded(_)
            | Self::CredentialsErased(_)
            | Self::PrivacyExported {} => Access::Local,
        }
    }

    /// Why a caller may not ask this; `None`: it may. `is_local`: it is root, or the guard's own user. `has_trust`: the
    /// box trusts a key, so that whoever is not local needs a signature.
    pub fn denial(&self, is_local: bool, has_trust: bool) -> Option<Rejection> {
        let (code, why) = match self.access() {
            Access::Local if !is_local => (ReplyCode::NotAllowed, "this is for root or the guard's own user to ask"),
            Access::Unsigned if !is_local && has_trust => {
                (ReplyCode::Unsigned, "this box trusts keys: it has to be a signed command")
            }
            Access::Anyone | Access::Local | Access::Unsigned => return None,
        };
        Some(Rejection::new(code, why))
    }

    /// What it is called in the ledger when it is refused.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Status {} => "status",
            Self::Subscribe { .. } => "subscribe",
            Self::RequestStart {} => Verb::RequestStart.as_str(),
            Self::Probe {} => "probe",
            Self::Stop {} => Verb::Stop.as_str(),
            Self::Mute {} => Verb::Mute.as_str(),
            Self::Unmute {} => Verb::Unmute.as_str(),
            Self::Identify {} => Verb::Identify.as_str(),
            Self::SetVideo(_) => Verb::SetVideo.as_str(),
            Self::Command { .. } => "command",
            Self::Policy { .. } => "policy",
            Self::Refused { .. } => "refused",
            Self::Network(_) => "network",
            Self::Desired { .. } => "config/desired",
            Self::Release { .. } => "release",
            Self::UpdateFetched { .. } => "update-fetched",
            Self::UpdateNow { .. } => "update-now",
            Self::UpdatePostpone { .. } => "update-postpone",
            Self::UpdateEnded(_) => "update-ended",
            Self::CredentialsErased(_) => "credentials-erased",
            Self::PrivacyExported {} => "privacy-exported",
            Self::Button { .. } => "button",
            Self::MuteButton { .. } => "mute-button",
        }
    }
}

/// A position in a ledger. The ledger is named, as a new one that replaces a damaged one counts from 1 again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LedgerCursor {
    /// The ledger's id, as [`Status::ledger`] and [`FromGuard::Ledger`] have it.
    pub ledger: String,
    /// The entry's number.
    pub seq: u64,
}

/// A message of the guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromGuard {
    /// What the box is doing now.
    Status(Box<Status>),
    /// What became of the platform's desired configuration: now, and at each change.
    Reported(Box<ReportedConfig>),
    /// Which ledger the entries that follow are of: before the first one, and again if that changes.
    Ledger {
        /// The ledger's id: the hash of the very first entry that it had, in hex.
        id: String,
    },
    /// One entry of the ledger.
    Entry(Box<LedgerEntry>),
    /// The end of a call.
    #[serde(rename = "answer")]
    Response {
        /// The caller's number.
        call: u64,
        /// How it went.
        #[serde(rename = "answer")]
        response: Response,
    },
}

/// How a call went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Response {
    /// It is done.
    Done,
    /// It is done, and not yet in the ledger: its disk does not answer, or fails.
    Unwritten,
    /// The probe is done.
    Probed(ProbeReport),
    /// It is erased or unbound, and in the ledger. The receipt, unless the box's key could not sign one.
    Erased(Option<String>),
    /// An update that a command asked for was handed to the updater. How it ends is in the ledger, under this attempt.
    Installing {
        /// The guard's name for the attempt.
        attempt: String,
    },
    /// It was rejected, and nothing changed: why.
    #[serde(rename = "refused")]
    Rejected(Rejection),
    /// It was not considered, for a reason that passes (the guard is ending, or too many calls): worth another try.
    #[serde(rename = "not-now")]
    Unavailable(Rejection),
}

impl Response {
    /// The box's state, or what was asked, does not allow it.
    pub fn refused(why: impl Into<String>) -> Self {
        Self::Rejected(Rejection::new(ReplyCode::Refused, why))
    }

    /// Nobody could judge it now.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable(Rejection::new(ReplyCode::Unavailable, why))
    }
}
