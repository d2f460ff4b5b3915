//! What the consent ledger records. An allow-list: an entry cannot hold anything that has no field here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, Connector, Erasure, ErasureReason, Fault, FootageEnd, Incident, PolicyReason, Purpose};

/// What can happen to a box and has to be accounted for.
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// The box's key, when it is new to this ledger: made at the first start, or after the box was unbound.
    Identified {
        /// SHA-256 of the public key, in hex.
        fingerprint: String,
    },
    /// The configuration in force, when it differs from the one before.
    Configured {
        /// SHA-256 over its files, in hex.
        hash: String,
        /// Where streams go.
        ingest_host: String,
        /// Where telemetry and these entries go.
        broker_host: Option<String>,
    },
    /// The guard ended on request.
    GuardStopped {},
    /// Staff pressed: capture may start. Durable before it does.
    SessionStarted {
        /// Number of the session.
        session: u64,
        /// Whether the microphone may be opened.
        sound: bool,
        /// The policy in force.
        policy_version: String,
        /// Whether a guardian's hold followed the press: minors' mode.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        guardian: bool,
    },
    /// The ingest server accepted the stream.
    OnAir {
        /// Number of the session.
        session: u64,
    },
    /// The connection to the ingest server was lost.
    OffAir {
        /// Number of the session.
        session: u64,
        /// The error of the last attempt.
        reason: String,
    },
    /// An encoder failed, and another one replaced it.
    EncoderFallback {
        /// Number of the session.
        session: u64,
        /// The GStreamer element that failed.
        from: String,
        /// The element that replaced it.
        to: String,
        /// How it failed.
        why: String,
    },
    /// The capture process is gone.
    SessionStopped {
        /// Number of the session.
        session: u64,
        /// Why it ended.
        reason: String,
        /// Capture's failure, if it could not go on.
        message: Option<String>,
    },
    /// A session without an end was found at the start: the guard had died or power had failed, and capture ended with
    /// it.
    #[serde(rename = "session-cut")]
    SessionInterrupted {
        /// Number of the session.
        session: u64,
    },
    /// The session was muted, as capture confirmed, or is about to be unmuted.
    Muted {
        /// Number of the session.
        session: u64,
        /// Whether silence is sent.
        muted: bool,
        /// Who muted or unmuted.
        #[cfg_attr(test, schemars(schema_with = "crate::wire::words::<Actor>"))]
        by: Actor,
    },
    /// Staff were asked to press.
    Requested {
        /// On air, or a probe.
        #[cfg_attr(test, schemars(schema_with = "crate::wire::words::<Purpose>"))]
        purpose: Purpose,
    },
    /// A request ended without a press.
    RequestEnded {
        /// The reason.
        reason: String,
    },
    /// Staff locked the box.
    Locked {},
    /// Staff unlocked it.
    Unlocked {},
    /// A materially new policy is in force; recording waits for staff.
    PolicyPending {
        /// The version to be acknowledged.
        policy_version: String,
    },
    /// Staff acknowledged the policy, or it was in force when the box was installed.
    PolicyAcknowledged {
        /// The version that was acknowledged.
        policy_version: String,
    },
    /// A signed note ends the platform's service: what was captured has ended. Durable before anything is deleted.
    EndOfServiceReceived {
        /// SHA-256 of the note's text, in hex: the same note ends nothing again.
        digest: String,
        /// The keys that signed it.
        keys: Vec<String>,
        /// Whom people may ask from now on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        contacts: Vec<String>,
        /// Within how many days they are answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer_days: Option<u32>,
    },
    /// Keys, credentials, footage and shop binding were destroyed, as the platform's service ended.
    ServiceEnded {
        /// How many files there were.
        files: u64,
        /// The receipt (`tallybox/receipt/v1`), signed with the key that is destroyed. `None`: that key could not be
        /// used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<String>,
    },
    /// A part without which there is no capture failed.
    #[serde(rename = "broke")]
    FaultDetected {
        /// The part.
        #[cfg_attr(test, schemars(schema_with = "crate::wire::words::<Fault>"))]
        part: Fault,
    },
    /// The part was tested again and works.
    #[serde(rename = "mended")]
    FaultCleared {
        /// The part.
        #[cfg_attr(test, schemars(schema_with = "crate::wire::words::<Fault>"))]
        part: Fault,
    },
    /// Unsent footage was destroyed.
    FootageDestroyed {
        /// How many files there were.
        files: u64,
        /// Why. `None`: the entry is of an older version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<FootageEnd>,
        /// Of which session. `None`: of all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
    },
    /// Keys, credentials, footage and shop binding were destroyed.
    Unbound {
        /// How many files there were.
        files: u64,
        /// The receipt (`tallybox/receipt/v1`), signed with the key that is destroyed. `None`: that key could not be
        /// used, or the entry is of an older version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<String>,
    },
    /// Staff were asked to confirm that the box is to be unbound.
    UnbindRequested {},
    /// An erasure is about to begin: durable before anything is deleted, so that a power cut half-way is made up for.
    ErasureStarted {
        /// What is erased.
        what: Erasure,
        /// Why somebody asked for it, if they said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<ErasureReason>,
    },
    /// The platform had unsent footage and what commands had set destroyed.
    Erased {
        /// How many files there were.
        files: u64,
        /// The receipt (`tallybox/receipt/v1`), signed with the box's key. `None`: that key could not be used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<String>,
    },
    /// Footage that could not be delivered is kept for `[privacy] footage-retention`, encrypted to the operator.
    FootageKept {
        /// The session that it is of.
        session: u64,
        /// How many files there are.
        files: u64,
        /// Their length in bytes.
        bytes: u64,
    },
    /// A copy of everything that the box holds about the shop was handed out.
    PrivacyExported {},
    /// The platform set where the next sessions' streams go, until the guard restarts.
    IngestSet {
        /// The server's host.
        ingest_host: String,
        /// Whether staff were asked, and agreed by a hold.
        agreed: bool,
    },
    /// Staff were asked for something, and did not agree: the same is not asked again until something changes.
    AgreementRefused {
        /// What they were asked.
        asked: String,
        /// Hashes of the questions.
        questions: Vec<String>,
    },
    /// A signed policy is in force.
    PolicyUpdated {
        /// Its version.
        policy_version: String,
        /// Whether the platform calls the change material.
        material: bool,
        /// Whether staff have to acknowledge it before anything is recorded.
        waits_for_staff: bool,
        /// What changes materially, as the note says or the box found.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<PolicyReason>,
        /// The keys that signed it. Empty: the entry is of an older version.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<String>,
    },
    /// A signed command was accepted: before it takes effect.
    Commanded {
        /// The verb.
        verb: String,
        /// Names of the keys that signed it.
        key: String,
        /// The operator's id for it.
        id: String,
    },
    /// A command from outside was refused.
    CommandRefused {
        /// The verb as it came.
        verb: String,
        /// The reason.
        why: String,
    },
    /// More refused commands than are recorded one by one.
    CommandsRefused {
        /// How many since the last such entry.
        count: u64,
    },
    /// A user without permission connected to the control socket, or a peer violated its protocol.
    #[serde(rename = "door-refused")]
    ConnectionRefused {
        /// The peer's user id.
        uid: u32,
        /// The reason.
        why: String,
    },
    /// The broker hears the box, and the box hears commands.
    BrokerConnected {},
    /// The connection to the broker was lost, or could not be made.
    BrokerLost {
        /// Why, with what to do about it.
        reason: String,
    },
    /// The broker did not let the box in.
    BrokerRefused {
        /// What it said, with what to do about it.
        reason: String,
    },
    /// A connection to another machine was not made, as the configuration does not allow it; or was made, and reported.
    DestinationRefused {
        /// Who wanted it.
        by: Connector,
        /// The host, or the address where no name was given.
        host: String,
        /// Why.
        why: String,
    },
    /// Something happened to the box itself that has to be looked at.
    IncidentDetected {
        /// Which.
        incident: Incident,
        /// What happened, in particular.
        what: String,
        /// What it can mean for people.
        impact: String,
        /// What the box did.
        done: String,
        /// What to do now.
        advice: String,
    },
    /// Its cause is gone, or somebody has seen it.
    IncidentCleared {
        /// Which.
        incident: Incident,
    },
    /// The wall clock was stepped, or went back while the box was off.
    ClockStepped {
        /// The time without the step.
        #[cfg_attr(test, schemars(schema_with = "crate::wire::time"))]
        from: Timestamp,
        /// The time after the step.
        #[cfg_attr(test, schemars(schema_with = "crate::wire::time"))]
        to: Timestamp,
    },
    /// Entries past their retention were removed. The chain continues from the hash of the last of them.
    Pruned {
        /// Number of the first.
        first: u64,
        /// Number of the last.
        last: u64,
        /// Time of the first.
        #[cfg_attr(test, schemars(schema_with = "crate::wire::time"))]
        from: Timestamp,
        /// Time of the last.
        #[cfg_attr(test, schemars(schema_with = "crate::wire::time"))]
        until: Timestamp,
        /// The box's signed checkpoint of exactly the entries up to the last of them. Missing where its key could not
        /// sign, and in entries of older versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkpoint: Option<String>,
    },
    /// The disk failed for so long that there was no room for pending entries.
    EntriesLost {
        /// How many entries are missing here.
        count: u64,
    },
    /// More facts of one kind than are recorded one by one.
    EntriesLeftOut {
        /// The kind, as in `kind`.
        of: String,
        /// How many since the last such entry.
        count: u64,
    },
    /// Staff pressed for a `doctor --probe`: devices may open, and nothing leaves the box. Durable before they do.
    Probed {
        /// Number of the session.
        session: u64,
        /// Whether the microphone may be opened.
        sound: bool,
        /// The policy under which.
        policy_version: String,
    },
    /// A release index came into force: it is newer than the one before, and enough trusted keys signed it.
    UpdateOffered {
        /// The version that it offers.
        version: String,
        /// The index's serial.
        serial: u64,
        /// Whether it mends a weakness.
        security: bool,
        /// The keys that signed it.
        keys: Vec<String>,
        /// Its channel. `None`: the entry is of an older version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
    },
    /// Updates were put off at the box.
    UpdatePostponed {
        /// Until when.
        #[cfg_attr(test, schemars(schema_with = "crate::wire::time"))]
        until: Timestamp,
    },
    /// An update was downloaded, and will be installed when the box is free.
    UpdateAnnounced {
        /// The version.
        version: String,
        /// Not before this.
        #[cfg_attr(test, schemars(schema_with = "crate::wire::time"))]
        until: Timestamp,
    },
    /// The updater was given an update to install. Durable before it was.
    UpdateStarted {
        /// The version to be installed.
        version: String,
        /// The version that is installed.
        former: String,
        /// The digest of what the release delivers.
        digest: String,
        /// Names this attempt: 16 random hex digits.
        attempt: String,
    },
    /// The box runs the new version, and is well.
    UpdateSucceeded {
        /// The version.
        version: String,
        /// The attempt.
        attempt: String,
    },
    /// The box has the version that it had before.
    UpdateFailed {
        /// The version that was not installed.
        version: String,
        /// The attempt.
        attempt: String,
        /// Why.
        why: String,
        /// Whether the version is tried again by itself.
        again: bool,
    },
    /// The platform's desired configuration arrived: no older one counts from now on. Durable before it takes effect.
    DesiredReceived {
        /// Its version.
        version: u64,
        /// SHA-256 of its text, in hex.
        digest: String,
        /// The keys that signed it.
        keys: Vec<String>,
    },
    /// It changes who sees or hears people, and waits for staff.
    DesiredPending {
        /// Its version.
        version: u64,
        /// What staff are asked about.
        changes: String,
    },
    /// Staff agreed to it, by a hold.
    DesiredAgreed {
        /// Its version.
        version: u64,
    },
    /// It is in force. Durable before it is.
    DesiredApplied {
        /// Its version.
        version: u64,
        /// SHA-256 over files and desired values, in hex.
        hash: String,
        /// Where streams go.
        ingest_host: String,
        /// What of it was taken.
        taken: Vec<String>,
    },
    /// It is not in force any more: its file is damaged, or its key is not trusted any more.
    DesiredDropped {
        /// Its version.
        version: u64,
        /// The reason.
        why: String,
        /// Whether staff are asked before anything is recorded without it.
        asks: bool,
    },
}
