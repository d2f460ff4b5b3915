//! `tallybox ledger`: read, prove or hand out the consent ledger. Reads the file itself: it works without a guard.

mod prove;
mod verify;

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use jiff::civil::Date;
use tlog::{CompactRange, leaf_hash};

use crate::clock::ClockReading;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{LedgerEntry, StoredFact};
use crate::ledger::{ExportError, Ledger, LedgerError, export_beginning};

pub(crate) use verify::file as verify;

/// Entries that are read at once.
const PAGE: u32 = 500;

/// What to do with the ledger.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Action {
    /// Print the entries, one a line: number, time (with `?` where the clock was not synchronised), fact, and what the
    /// clocks said.
    Show {
        /// From the first entry of this day or time on: 2026-11-29, or 2026-11-29T10:00:00Z (UTC).
        #[arg(long, value_name = "DATE", value_parser = since)]
        since: Option<Timestamp>,
    },
    /// Follow the hash chain; names the first bad entry and ends with 65 if there is one.
    Verify(Box<verify::Args>),
    /// Prove that a session's beginning and end are in the ledger: files of C2SP's form, which anybody can check with
    /// the box's key.
    Prove(prove::Args),
    /// Print the newest checkpoint that the box signed.
    Checkpoint {
        /// Print a proof too that it only grew since this older checkpoint: what C2SP's witnesses are sent.
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
    },
    /// Print the entries as JSON, one a line, with their hashes. Where it does not begin with the first entry, a line
    /// with the Merkle tree of those before comes first.
    Export {
        /// From the first entry of this day or time on: 2026-11-29, or 2026-11-29T10:00:00Z (UTC).
        #[arg(long, value_name = "DATE", value_parser = since)]
        since: Option<Timestamp>,
    },
}

/// A day, from its beginning in UTC, or a time.
fn since(text: &str) -> Result<Timestamp, String> {
    let day = text.parse::<Date>().is_ok_and(|day| day.to_string() == text);
    let time = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    time.parse().map_err(|_| "write 2026-11-29, or 2026-11-29T10:00:00Z".to_owned())
}

impl From<LedgerError> for Exit {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Invalid { .. } | LedgerError::NotSigned { .. } | LedgerError::Checkpoint { .. } => {
                Self::data(error.to_string())
            }
            LedgerError::Store(_) => Self::io(error.to_string()),
        }
    }
}

impl From<ExportError> for Exit {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Invalid { .. } | ExportError::Empty | ExportError::Checkpoint(_) => {
                Self::data(error.to_string())
            }
            ExportError::Read(_) => Self::io(error.to_string()),
        }
    }
}

/// Does it.
pub(crate) fn run(config: &Config, action: &Action) -> Result<(), Exit> {
    let path = config.ledger();
    if !path.exists() {
        let path = path.display();
        return Err(Exit::unavailable(format!(
            "there is no ledger at {path}; the guard makes it when it first starts"
        )));
    }
    let ledger = Ledger::open_read_only(&path)?;
    match action {
        Action::Verify(args) => verify::own(config, &path, &ledger, args),
        Action::Prove(args) => prove::run(&ledger, args),
        Action::Checkpoint { since } => prove::checkpoint(&ledger, since.as_deref()),
        Action::Show { since } => each(&ledger, *since, |_| None, describe),
        Action::Export { since } => each(&ledger, *since, |tree| Some(export_beginning(tree)), LedgerEntry::line),
    }
}

/// Prints all, or those from the first one of `since` on: without a gap, also where a clock went back behind it.
/// `before` is what is said first about the tree of those that are left out.
fn each(
    ledger: &Ledger,
    since: Option<Timestamp>,
    before: impl Fn(&CompactRange) -> Option<String>,
    line: impl Fn(&LedgerEntry) -> String,
) -> Result<(), Exit> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut tree = ledger.pruned()?;
    let (mut after, mut begun) = (0, false);
    loop {
        let page = ledger.entries_after(after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for entry in &page {
            if !begun && since.is_some_and(|since| entry.at < since) {
                if let Some(tree) = &mut tree {
                    tree.append(leaf_hash(entry.line().as_bytes()));
                }
                continue;
            }
            let is_first = !std::mem::replace(&mut begun, true);
            let left_out = tree.as_ref().filter(|tree| is_first && tree.size() > 0 && tree.size() + 1 == entry.seq);
            for text in left_out.and_then(&before).into_iter().chain([line(entry)]) {
                writeln!(out, "{text}").map_err(|_| Exit::io(""))?;
            }
        }
    }
    out.flush().map_err(|_| Exit::io(""))
}

fn describe(entry: &LedgerEntry) -> String {
    let (seq, at, fact) = (entry.seq, entry.at.to_string(), words(&entry.fact));
    let Some(ClockReading { utc, synchronised, boot, monotonic_ms }) = entry.reading() else {
        return format!("{seq:>6}  {at:.19}Z  {fact}");
    };
    let kept = if synchronised { "" } else { "?" };
    // The clock's own reading where it is not the time that orders the entry.
    let clock = if utc == entry.at { String::new() } else { format!("  clock={:.19}Z", utc.to_string()) };
    let (seconds, ms) = (monotonic_ms / 1000, monotonic_ms % 1000);
    format!("{seq:>6}  {at:.19}Z{kept:1}  {fact}{clock}  boot={boot:.4} up={seconds}.{ms:03}s")
}

/// The fact as `kind key=value ...`, whatever its kind is.
fn words(fact: &StoredFact) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(fact) else { return String::new() };
    let kind = fields.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    fields
        .iter()
        .filter(|(key, value)| *key != "kind" && !value.is_null())
        .fold(kind, |text, (key, value)| format!("{text} {key}={value}"))
}
