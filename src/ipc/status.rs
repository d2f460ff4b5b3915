//! The status of the box: `status --json`, and more than the MQTT `state`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    BoxIdentity, Fault, KeyAtRest, LampPattern, OpenIncident, Phase, PolicyDocument, SecondaryStats, StreamStats,
    VERSION_STRING, Verb,
};

/// Progress of the ledger's verification. A short ledger is verified before it is used, a long one from its last
/// resume point on and the rest in the background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerCheck {
    /// Not finished, or not possible.
    #[default]
    Running,
    /// All entries verify.
    Good,
    /// An entry does not verify: nothing starts.
    Bad,
}

/// How it stands with updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateState {
    /// The box takes no updates.
    #[default]
    Off,
    /// There is nothing to do: no release is known, or its version is installed.
    Current,
    /// A version is offered, and is not for this box, or not by itself.
    Offered,
    /// The box waits: for its turn, for the end of a session, for its clock.
    Waiting,
    /// The agent downloads the package.
    Downloading,
    /// The package is there. It is installed when notice and window allow it, and no session is on.
    Ready,
    /// It is being installed.
    Installing,
    /// The version failed here, and is not tried again by itself.
    Failed,
}

/// Updates, in the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct UpdateStatus {
    /// How it stands.
    pub state: UpdateState,
    /// The version that the release in force offers.
    pub version: Option<String>,
    /// That release's serial.
    pub serial: Option<u64>,
    /// Whether it mends a weakness.
    pub security: bool,
    /// Nothing happens before this, as far as that is known, UTC.
    pub until: Option<Timestamp>,
    /// Why the state is what it is, for a person.
    pub why: Option<String>,
    /// Over how many seconds the release in force wants boxes to spread their reconnects.
    pub reconnect_spread_s: Option<u32>,
}

/// The picture at its best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VideoSettings {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// The highest bitrate, in kbit/s.
    pub bitrate_kbps: u32,
}

/// Footage on the box that could not be delivered, encrypted to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FootageStatus {
    /// How many files there are.
    pub files: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

/// A command that takes its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CommandProgress {
    /// Its id.
    pub id: String,
    /// Its verb.
    pub verb: Verb,
    /// What it waits for.
    pub progress: String,
}

/// A snapshot. Its field names are stable: `status --json` prints it.
// Each is an answer of its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Status {
    /// What the box is doing.
    pub phase: Phase,
    /// The session whose capture may exist.
    pub session: Option<u64>,
    /// When this phase began, UTC.
    pub since: Timestamp,
    /// Why the box is in this phase, or, in `idle`, why the last session or request ended: see [`super::reasons`].
    pub reason: Option<String>,
    /// The same as a sentence for a person.
    pub message: Option<String>,
    /// Whether the stream is without sound.
    pub muted: bool,
    /// The policy in force.
    pub policy_version: String,
    /// Version of the guard.
    pub software: String,
    /// Drawn at random when the guard started, in hex: signed commands name it. Commands for another one are void.
    pub epoch: String,
    /// Seconds of the guard's own clock since then, when this was sent: deadlines of signed commands count them.
    pub uptime_s: u64,
    /// Whether the box trusts a key: then every verb but `stop` and `mute` has to be signed. Without one it takes no
    /// signature, and refuses the verbs that need one.
    #[serde(default)]
    pub signed_commands: bool,
    /// What the lamp shows.
    pub lamp: LampPattern,
    /// Parts that have a fault.
    pub faults: Vec<Fault>,
    /// The encoder in use and why it was chosen.
    pub encoder: Option<String>,
    /// The camera's mode: format, size, rate, and which camera it is where the box found it. `None`: nothing is
    /// captured, or it is no V4L2 camera.
    pub camera: Option<String>,
    /// Statistics of the stream. `None`: nothing is captured, or capture has reported nothing for 5 s.
    pub stream: Option<StreamStats>,
    /// Statistics of the second destination. `None`: there is none, or nothing is captured.
    pub second: Option<SecondaryStats>,
    /// Process id of capture, while one exists.
    pub capture_pid: Option<u32>,
    /// The panel's backend.
    pub panel: String,
    /// Whether the box was unbound and not claimed since: it captures nothing, and does not connect to a platform.
    pub unbound: bool,
    /// The ledger's id: the hash of its very first entry, in hex. `None`: no ledger works.
    pub ledger: Option<String>,
    /// How far its entries are verified.
    pub ledger_check: LedgerCheck,
    /// The box's key. `None`: it cannot be used; the guard's log says why.
    pub identity: Option<BoxIdentity>,
    /// How its private half lies on the disk. `None`: there is none, or it cannot be used.
    #[serde(default)]
    pub identity_at_rest: Option<KeyAtRest>,
    /// Software updates.
    pub update: UpdateStatus,
    /// The picture of the session that is on, or of the next one. Its bitrate is the cap that capture keeps to.
    #[serde(default)]
    pub video: Option<VideoSettings>,
    /// Where the session's stream goes, or the next one's: without keys.
    #[serde(default)]
    pub ingest: Vec<String>,
    /// What the longest of the commands that are being carried out waits for.
    #[serde(default)]
    pub command: Option<CommandProgress>,
    /// Each start needs a guardian's hold: `[consent] minors-mode`.
    #[serde(default)]
    pub minors_mode: bool,
    /// The policy in force, where the platform signed it. `None`: it is the configuration's.
    #[serde(default)]
    pub policy: Option<PolicyDocument>,
    /// The receipt of the last erasure or unbinding that the ledger has: a signed note.
    #[serde(default)]
    pub receipt: Option<String>,
    /// The newest checkpoint of the ledger that the box signed: a signed note. `None`: there is none yet, or the ledger
    /// has no Merkle tree, as its beginning was pruned by a version without.
    #[serde(default)]
    pub checkpoint: Option<String>,
    /// Incidents that are not over, or that nobody has seen yet.
    #[serde(default)]
    pub incidents: Vec<OpenIncident>,
    /// Footage that could not be delivered. `None`: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footage: Option<FootageStatus>,
    /// What of the configuration is the platform's.
    pub desired: DesiredStatus,
}

/// What of the configuration in force is not from the box's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DesiredStatus {
    /// The version in force. `None`: there is none.
    pub version: Option<u64>,
    /// Its keys that are in force.
    pub taken: Vec<String>,
    /// A version that waits for the end of the session, for staff or for the disk.
    pub waiting: Option<u64>,
}

impl Status {
    /// The status of a box on which nothing happens and of which nothing else is known.
    pub fn idle(since: Timestamp, policy_version: &str) -> Self {
        Self {
            phase: Phase::Idle,
            session: None,
            since,
            reason: None,
            message: None,
            muted: false,
            policy_version: policy_version.to_owned(),
            software: VERSION_STRING.to_owned(),
            epoch: String::new(),
            uptime_s: 0,
            signed_commands: false,
            lamp: LampPattern::Dark,
            faults: Vec::new(),
            encoder: None,
            camera: None,
            stream: None,
            second: None,
            capture_pid: None,
            panel: "none".to_owned(),
            unbound: false,
            ledger: None,
            ledger_check: LedgerCheck::Running,
            identity: None,
            identity_at_rest: None,
            update: UpdateStatus::default(),
            video: None,
            ingest: Vec::new(),
            command: None,
            minors_mode: false,
            policy: None,
            receipt: None,
            checkpoint: None,
            incidents: Vec::new(),
            footage: None,
            desired: DesiredStatus::default(),
        }
    }
}
