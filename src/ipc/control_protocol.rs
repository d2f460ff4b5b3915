//! The control socket: what the agent and local commands may ask of the guard. No verb starts a capture.

use serde::{Deserialize, Serialize};

use super::{LedgerEntry, ProbeReport, ReportedConfig, Status, text};

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
    /// The agent refused a command of the platform: for the ledger.
    Refused {
        /// The verb as it came; cut at 64 bytes.
        #[serde(deserialize_with = "text::name")]
        verb: String,
        /// Why; cut at 200 bytes.
        #[serde(deserialize_with = "text::why")]
        why: String,
    },
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

/// A position in a ledger. The ledger is named, as a new one that replaces a damaged one counts from 1 again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LedgerCursor {
    /// The ledger's id, as [`Status::ledger`] and [`FromGuard::Ledger`] have it.
    pub ledger: String,
    /// The entry's number.
    pub seq: u64,
}

/// The verbs that the platform may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Show which box this is.
    Identify,
    /// Report the state of the box.
    Diagnose,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 6] =
        [Self::RequestStart, Self::Stop, Self::Mute, Self::Unmute, Self::Identify, Self::Diagnose];

    /// The verb as in the MQTT topic.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestStart => "request-start",
            Self::Stop => "stop",
            Self::Mute => "mute",
            Self::Unmute => "unmute",
            Self::Identify => "identify",
            Self::Diagnose => "diagnose",
        }
    }
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
    /// It was rejected, and nothing changed: why.
    #[serde(rename = "refused")]
    Rejected(String),
    /// It was not considered, for a reason that passes (the guard is ending, or too many calls): worth another try.
    #[serde(rename = "not-now")]
    Unavailable(String),
}
