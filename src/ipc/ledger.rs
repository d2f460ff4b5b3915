//! What the consent ledger writes down. Allow-listed: an entry cannot hold anything that has no field here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, Fault, Purpose};
use crate::clock::ClockReading;

/// One entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LedgerEntry {
    /// Counts from 1 without a gap.
    pub seq: u64,
    /// The time it is ordered by, UTC: the clock's where that can be believed. It goes back only where the clock was
    /// wrong before.
    pub at: Timestamp,
    /// What the clock said, right or wrong. This and the next three are missing in entries of before they were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
    /// Whether the kernel said that the clock was synchronised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronised: Option<bool>,
    /// Which boot of the machine it was: 16 hex digits that tell one boot from the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Time since that boot, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monotonic_ms: Option<u64>,
    /// What happened.
    pub fact: StoredFact,
    /// SHA-256 of the entry before, in hex; 64 zeros before the first.
    pub prev: String,
    /// SHA-256 over all of the above, in hex; docs/ledger.md has the bytes.
    pub hash: String,
}

impl LedgerEntry {
    /// What the clocks said when it was written.
    pub fn reading(&self) -> Option<ClockReading> {
        let (utc, synchronised) = (self.clock?, self.synchronised?);
        Some(ClockReading { utc, synchronised, boot: self.boot.as_deref()?.into(), monotonic_ms: self.monotonic_ms? })
    }
}

/// What stands in the ledger: a fact, or what another version of this software wrote and this one does not know.
///
/// After an upgrade that was rolled back a guard meets entries of the newer version. They stay as they are, to the
/// letter (their hash stands over it), and are handed on. None of them changes what this version does: whoever adds a
/// fact that restricts recording writes [`Fact::Locked`] beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoredFact {
    /// A fact.
    Known(Fact),
    /// Something else.
    Unknown(serde_json::Map<String, serde_json::Value>),
}

/// What can happen to a box, as far as anybody has to account for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Fact {
    /// The guard came up.
    GuardStarted {
        /// Its version.
        software: String,
        /// The policy in force.
        policy_version: String,
    },
    /// Which box speaks, when that is new to this ledger: its key was made, or made anew after it was unbound.
    Identified {
        /// SHA-256 of the public key, in hex.
        fingerprint: String,
    },
    /// The configuration in force, when it is another one than before.
    Configured {
        /// SHA-256 over its files, in hex.
        hash: String,
        /// Where streams go.
        ingest_host: String,
        /// Where telemetry and these entries go.
        broker_host: Option<String>,
    },
    /// The guard was told to end.
    GuardStopped {},
    /// Staff pressed: capture may start. Durable before it does.
    SessionStarted {
        /// The session's number.
        session: u64,
        /// Whether the microphone may be opened.
        sound: bool,
        /// The policy under which.
        policy_version: String,
    },
    /// The ingest server took the stream.
    OnAir {
        /// The session's number.
        session: u64,
    },
    /// The ingest server went away.
    OffAir {
        /// The session's number.
        session: u64,
        /// What the last attempt said.
        reason: String,
    },
    /// An encoder did not do its work any more; another one went on in its place.
    EncoderFallback {
        /// The session's number.
        session: u64,
        /// The element that was given up.
        from: String,
        /// The one that went on.
        to: String,
        /// What was wrong.
        why: String,
    },
    /// The capture process is gone.
    SessionStopped {
        /// The session's number.
        session: u64,
        /// Why it ended.
        reason: String,
        /// What capture said last, if it could not go on.
        message: Option<String>,
    },
    /// A session was found open at boot: the guard had died or power had failed; capture ended with it.
    #[serde(rename = "session-cut")]
    SessionInterrupted {
        /// The session's number.
        session: u64,
    },
    /// Sound was switched off, as capture confirmed, or is about to be switched on.
    Muted {
        /// The session's number.
        session: u64,
        /// Whether silence is sent.
        muted: bool,
        /// Who did it.
        by: Actor,
    },
    /// Staff were asked to press.
    Requested {
        /// What for.
        purpose: Purpose,
    },
    /// That ended without a press.
    RequestEnded {
        /// Why.
        reason: String,
    },
    /// Staff locked the box.
    Locked {},
    /// Staff unlocked it.
    Unlocked {},
    /// A materially new policy is in force; recording waits for staff.
    PolicyPending {
        /// The new version.
        policy_version: String,
    },
    /// Staff acknowledged it; or it was in force when the box was installed.
    PolicyAcknowledged {
        /// The version.
        policy_version: String,
    },
    /// A part that consent stands on failed.
    #[serde(rename = "broke")]
    FaultDetected {
        /// Which.
        part: Fault,
    },
    /// It was tried again and works.
    #[serde(rename = "mended")]
    FaultCleared {
        /// Which.
        part: Fault,
    },
    /// Unsent footage was destroyed.
    FootageDestroyed {
        /// How many files there were.
        files: u64,
    },
    /// Keys, credentials, footage and shop binding were destroyed.
    Unbound {
        /// How many files there were.
        files: u64,
    },
    /// A command from outside was refused.
    CommandRefused {
        /// The verb as it came.
        verb: String,
        /// Why.
        why: String,
    },
    /// More refused commands than are worth a line each.
    CommandsRefused {
        /// How many since the last such entry.
        count: u64,
    },
    /// Somebody who may not connected to the guard's socket, or sent what no agent sends.
    #[serde(rename = "door-refused")]
    ConnectionRefused {
        /// User id of the peer.
        uid: u32,
        /// Why.
        why: String,
    },
    /// The wall clock was set: at once, or while the box was off, backwards.
    ClockStepped {
        /// What it would have said.
        from: Timestamp,
        /// What it said instead.
        to: Timestamp,
    },
    /// Entries that had been kept for their time were removed. The hash of the last of them is where the chain goes on.
    Pruned {
        /// Number of the first.
        first: u64,
        /// Number of the last.
        last: u64,
        /// Time of the first.
        from: Timestamp,
        /// Time of the last.
        until: Timestamp,
    },
    /// The disk failed for so long that there was no room for what waited: so many entries are missing here.
    EntriesLost {
        /// How many.
        count: u64,
    },
    /// More of one kind than are worth an entry each.
    EntriesLeftOut {
        /// The kind.
        of: String,
        /// How many since the last such entry.
        count: u64,
    },
    /// Staff pressed for a `doctor --probe`: devices may open, and nothing leaves the box. Durable before they do.
    Probed {
        /// The session's number.
        session: u64,
        /// Whether the microphone may be opened.
        sound: bool,
        /// The policy under which.
        policy_version: String,
    },
}
