//! What is collected, for what, who gets it, how long it is kept: made from the types that carry it. A field or fact
//! that is added without an entry here does not compile.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::agent::state::State;
use crate::agent::telemetry::Telemetry;
use crate::config::{Config, Outage, OutageBuffer};
use crate::ipc::{BoxIdentity, Fact, LedgerEntry, ReportedConfig};

/// One datum, disclosed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Datum {
    /// Where it is found: stream, state, telemetry, ledger.
    pub part: &'static str,
    /// What it is called there.
    pub datum: String,
    /// What it is collected for.
    pub purpose: &'static str,
    /// Who gets it.
    pub recipient: String,
    /// How long it is kept on the box.
    pub retention: String,
}

/// A struct's fields with their purposes; the pattern is total, so that a new field does not compile.
macro_rules! fields {
    ($name:ident { $($field:ident: $purpose:literal),+ $(,)? }) => {{
        const _: fn($name) = |$name { $($field: _),+ }| {};
        [$((stringify!($field), $purpose)),+]
    }};
}

/// An enum's variants with their purposes, and `as` what they are called where that is not the variant's name; the
/// match is total.
macro_rules! variants {
    ($name:ident { $($variant:ident $(as $datum:literal)?: $purpose:literal),+ $(,)? }) => {{
        const _: fn(&$name) = |value| match value { $($name::$variant { .. } => {}),+ };
        [$((variants!(@datum $variant $($datum)?), $purpose)),+]
    }};
    (@datum $variant:ident) => { stringify!($variant) };
    (@datum $variant:ident $datum:literal) => { $datum };
}

/// `SessionStarted` and `session_started` as they are written out: `session-started`.
fn written(name: &str) -> String {
    let mut text = String::new();
    for (index, letter) in name.char_indices() {
        match letter {
            '_' => text.push('-'),
            _ if letter.is_ascii_uppercase() => {
                if index > 0 {
                    text.push('-');
                }
                text.push(letter.to_ascii_lowercase());
            }
            _ => text.push(letter),
        }
    }
    text
}

/// How long footage can be on the box.
fn waits(config: &Config) -> String {
    let Outage { buffer, size_mib, .. } = config.ingest.outage;
    let window = config.ingest.reconnect_window;
    let (place, longest) = match buffer {
        OutageBuffer::Memory => ("in memory", window),
        OutageBuffer::Disk => {
            ("on disk, sealed, in a file without a name", window.min(config.privacy.footage_retention))
        }
    };
    format!(
        "not kept on the box: it leaves at once or is dropped within 2 s; while the server is out of reach at most {size_mib} MiB \
         of it wait for at most {} s, {place}, and are gone when the session ends",
        longest.as_secs()
    )
}

/// How long the machine's journal keeps what the roles write: as journald is configured.
fn journal_keeps(root: &Path) -> String {
    let mut files = vec![root.join("etc/systemd/journald.conf")];
    for folder in ["usr/lib/systemd/journald.conf.d", "etc/systemd/journald.conf.d"] {
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        found.sort();
        files.extend(found);
    }
    let mut set = files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).filter_map(|text| {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("MaxRetentionSec="));
        lines.map(|value| value.trim().to_owned()).next_back()
    });
    match set.next_back().filter(|value| !value.is_empty() && value != "0") {
        Some(longest) => format!("at most {longest} (MaxRetentionSec of journald)"),
        None => "as long as it has room: no MaxRetentionSec is set for journald (privacy.md says how)".to_owned(),
    }
}

/// What stands in each entry of the ledger.
fn entry() -> [(&'static str, &'static str); 9] {
    fields!(LedgerEntry {
        seq: "the order of entries",
        at: "when it was",
        clock: "when it was, as the box's clock had it",
        synchronised: "whether that clock could be believed",
        boot: "to tell restarts apart; a new random number at each, which tells no box from another",
        monotonic_ms: "how much time passed in between, whatever the clock says",
        fact: "one of the above",
        prev: "proof that nothing was changed or removed",
        hash: "proof that nothing was changed or removed",
    })
}

fn state() -> [(&'static str, &'static str); 11] {
    fields!(State {
        phase: "to see from afar whether the box is on air",
        session: "to tell one session from the next",
        since: "to see how long that has been so",
        reason: "to tell staff why a session ended",
        muted: "to see whether the sound is off",
        policy_version: "to see under which policy the box records",
        software: "to know which boxes need an update",
        warnings: "to see which boxes are connected in a doubtful way",
        epoch: "so that a command can be signed for this run of the guard; random, new at each start",
        uptime_s: "so that a command can be signed with a deadline",
        signed_commands: "so that operators sign where the box can verify it, and there only",
    })
}

fn reported() -> [(&'static str, &'static str); 5] {
    fields!(ReportedConfig {
        epoch: "to tell one start of the guard from the next",
        for_version: "to see which configuration the box answers",
        keys: "to see what became of each value that the platform wanted; no key and no password",
        code: "to see why a configuration was refused",
        error: "to see why a configuration was refused",
    })
}

fn telemetry() -> [(&'static str, &'static str); 21] {
    fields!(Telemetry {
        uptime_s: "to notice boxes that restart",
        guard_uptime_s: "so that a command can be signed with a deadline",
        temperature_c: "to notice boxes that get too hot",
        throttled: "to notice weak power supplies",
        memory_available_mib: "to notice boxes that run out of memory",
        disk_free_mib: "to notice boxes whose ledger will not fit",
        certificate_expires: "to renew certificates before boxes are shut out",
        fps: "quality of the stream",
        bitrate_kbps: "quality of the stream",
        target_kbps: "quality of the stream",
        height: "quality of the stream",
        reduced: "to notice networks that are too slow for the stream",
        queue_ms: "quality of the network",
        dropped_frames: "quality of the network",
        round_trip_ms: "quality of the network",
        reconnects: "quality of the network",
        second_on_air: "to see from afar whether the second destination has the stream",
        second_bitrate_kbps: "quality of the stream",
        second_dropped_frames: "quality of the network",
        second_reconnects: "quality of the network",
        level_db: "to notice a dead or too quiet microphone: one number a second, from which no word can be told",
    })
}

fn identity() -> [(&'static str, &'static str); 3] {
    fields!(BoxIdentity {
        fingerprint: "to tell this box's key from others; the key itself never leaves the box",
        claim_code: "to claim the box: the same, short enough to be read out",
        verifier_key: "to check the box's receipts: the public half of its key",
    })
}

fn facts() -> [(&'static str, &'static str); 46] {
    variants!(Fact {
        GuardStarted: "security log: restarts",
        GuardStopped: "security log: restarts",
        Identified: "security log: which key speaks for the box; the key is made on it and says nothing about anybody",
        Configured: "security log: that the configuration changed, and which server gets the stream",
        SessionStarted: "proof of consent: who pressed is not known, that somebody did is",
        OnAir: "network log",
        OffAir: "network log",
        EncoderFallback: "quality of the stream: which encoder failed, and how",
        SessionStopped: "proof that recording ended, and why",
        SessionInterrupted as "session-cut": "proof that recording ended with a power cut or crash",
        Muted: "proof of consent to sound",
        Requested: "security log: what the platform asked for",
        RequestEnded: "security log: what the platform asked for",
        Locked: "proof of withdrawal",
        Unlocked: "proof of consent",
        PolicyPending: "proof that recording waited for fresh consent",
        PolicyAcknowledged: "proof of fresh consent",
        FaultDetected as "broke": "security log: faults that ended recording",
        FaultCleared as "mended": "security log: faults that ended recording",
        FootageDestroyed: "proof of deletion",
        Unbound: "proof of deletion",
        UnbindRequested: "security log: what the platform asked for",
        ErasureStarted: "proof of deletion",
        Erased: "proof of deletion",
        IngestSet: "security log: which server gets the stream, and that staff agreed to it",
        PolicyUpdated: "proof of the policy under which the box records",
        Commanded: "security log: what an operator's key asked for, and which key",
        CommandRefused: "security log: commands that were turned away",
        CommandsRefused: "security log: commands that were turned away",
        ConnectionRefused as "door-refused": "security log: local programs that were turned away",
        Probed: "security log: devices opened for a test",
        ClockStepped: "security log: that times before and after do not fit together",
        Pruned: "proof of deletion: which entries were kept for their time and are gone",
        EntriesLost: "security log: that something is missing here",
        EntriesLeftOut: "security log: that something is missing here",
        UpdateOffered: "security log: which software the operator offered, and who signed it",
        UpdatePostponed: "security log: that an update was put off at the box",
        UpdateAnnounced: "notice: that the software is about to change",
        UpdateStarted: "security log: which software the box ran, and since when",
        UpdateSucceeded: "security log: which software the box ran, and since when",
        UpdateFailed: "security log: which software was not installed, and why",
        DesiredReceived: "security log: which key wanted another configuration",
        DesiredPending: "proof that recording waited for fresh consent",
        DesiredAgreed: "proof of fresh consent",
        DesiredApplied: "security log: that the configuration changed, and which server gets the stream",
        DesiredDropped: "security log: that the configuration changed",
    })
}

/// Everything that a box with this configuration collects.
pub fn report(config: &Config) -> Vec<Datum> {
    let broker = config
        .mqtt
        .as_ref()
        .map_or_else(|| "nobody: no broker is configured".to_owned(), |mqtt| format!("the platform, at {}", mqtt.host));
    let ingest = format!("the platform's viewers, at {}", config.ingest.hosts());
    let ledger_days = config.privacy.ledger_retention.as_secs() / 86_400;
    let mut all = Vec::new();
    let mut add = |part, recipient: &str, retention: &str, data: &[(&str, &'static str)]| {
        all.extend(data.iter().map(|(datum, purpose)| Datum {
            part,
            datum: written(datum),
            purpose,
            recipient: recipient.to_owned(),
            retention: retention.to_owned(),
        }));
    };
    let version = config.consent.policy_version.as_str();
    let text = "everybody: the text is the platform's, published under this day (privacy.md)";
    add("policy", text, &format!("in the ledger, for {ledger_days} days"), &[(version, "under which staff agreed")]);
    let stream = [
        ("picture", "the live show that staff started with a press"),
        ("sound", "the same; only after a short press, and never while muted"),
    ];
    add("stream", &ingest, &waits(config), &stream);
    add("state", &broker, "the newest only", &state());
    add("reported", &broker, "the newest only", &reported());
    add("telemetry", &broker, "not kept on the box", &telemetry());
    add("identity", "whoever asks the box itself, with tallybox doctor", "until staff unbind the box", &identity());
    let kept = format!("{ledger_days} days (security and network logs: at least six months)");
    add("ledger", &broker, &kept, &facts());
    add("ledger entry", &broker, &kept, &entry());
    let log = [("log", "to find out why something does not work; no picture, no sound, no secret")];
    let readers = "whoever may read the machine's journal: root, and the groups adm and systemd-journal";
    add("journal", readers, &journal_keeps(Path::new("/")), &log);
    all
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_journal_is_kept_as_journald_is_told() {
        let root = tempfile::tempdir().unwrap();
        let says = || super::journal_keeps(root.path());
        assert!(says().contains("no MaxRetentionSec is set"), "{}", says());
        let folder = root.path().join("etc/systemd/journald.conf.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("../journald.conf"), "[Journal]\n#MaxRetentionSec=1day\nMaxRetentionSec=1year\n")
            .unwrap();
        assert_eq!(says(), "at most 1year (MaxRetentionSec of journald)");
        std::fs::write(folder.join("tallybox.conf"), "[Journal]\nMaxRetentionSec=184day\n").unwrap();
        assert_eq!(says(), "at most 184day (MaxRetentionSec of journald)");
        std::fs::write(folder.join("zz.conf"), "[Journal]\nMaxRetentionSec=0\n").unwrap();
        assert!(says().contains("no MaxRetentionSec is set"), "{}", says());
    }

    #[test]
    fn names_are_those_that_are_written_out() {
        let fact = serde_json::to_value(crate::ipc::Fact::CommandsRefused { count: 1 }).unwrap();
        assert_eq!(fact["kind"], super::written("CommandsRefused"));
        let telemetry = serde_json::to_value(crate::agent::telemetry::Telemetry::default()).unwrap();
        assert!(telemetry.get(super::written("memory_available_mib")).is_some());
    }
}
