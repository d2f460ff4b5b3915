//! Door 2: the guard's socket. Few verbs, and none that starts a capture.

use serde::{Deserialize, Serialize};

use super::{LedgerEntry, ProbeReport, Status, text};

/// One call to the guard; answered by a [`FromGuard::Response`] with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ToGuard {
    /// The caller's number for this call.
    pub call: u64,
    /// What is wanted.
    pub request: Request,
}

/// What may be asked of the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// One [`FromGuard::Status`], then the answer.
    Status {},
    /// A [`FromGuard::Status`] now and at each change; and ledger entries in order, old and new, if they are wanted.
    Subscribe {
        /// Whether ledger entries are wanted.
        entries: bool,
        /// The last entry that the caller has. Where it counts in another ledger, or there is none, entries begin with
        /// the last `unbound`, else with the first that is kept. What stands before the last `unbound` belongs to a
        /// binding that is over, and is never handed out.
        after: Option<LedgerCursor>,
    },
    /// Ask staff to press. Never starts anything.
    RequestStart {},
    /// Ask staff to press, so that camera, microphone and encoder are tried for some seconds and nothing leaves the
    /// box; answered with [`Response::Probed`] when capture is gone again. Taken from root and the guard's own user
    /// only.
    Probe {},
    /// End the session; answered when the capture process is gone and the ledger says so.
    Stop {},
    /// Remote mutes; answered when capture has confirmed that it sends silence.
    Mute {},
    /// Remote takes back its own mute.
    Unmute {},
    /// Let the lamp show which box this is, for some seconds; refused while capture may exist.
    Identify {},
    /// A command from outside was refused by the agent: write it down.
    Refused {
        /// The verb as it came; cut at 64 bytes.
        #[serde(deserialize_with = "text::name")]
        verb: String,
        /// Why; cut at 200 bytes.
        #[serde(deserialize_with = "text::why")]
        why: String,
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

/// A place in a ledger, which is named: after a damaged one was moved away, numbers begin anew.
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
    /// Take back remote's own mute.
    Unmute,
    /// Show which box this is.
    Identify,
    /// What works here.
    Diagnose,
}

impl Verb {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::RequestStart, Self::Stop, Self::Mute, Self::Unmute, Self::Identify, Self::Diagnose];

    /// The verb as it stands in the topic.
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

/// What the guard says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromGuard {
    /// What the box is doing now.
    Status(Box<Status>),
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
    /// It is done, and the ledger does not have it yet: its disk does not answer, or fails.
    Unwritten,
    /// It is done, and this was found.
    Probed(ProbeReport),
    /// It was judged and is not done; nothing changed.
    #[serde(rename = "refused")]
    Rejected(String),
    /// It was not even judged, for a reason that passes (the guard ends, or has too much to do): ask again.
    #[serde(rename = "not-now")]
    Unavailable(String),
}
