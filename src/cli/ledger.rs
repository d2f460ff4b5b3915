//! `tallybox ledger`: read, prove or hand out the consent ledger. Reads the file itself: it works without a guard.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::clock::ClockReading;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{LedgerEntry, StoredFact};
use crate::ledger::{ExportError, Ledger, LedgerError, VerifiedExport, verify_export};

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
    Verify {
        /// An export, events as they came over MQTT, or a copy of ledger.db, instead of this box's ledger. Needs no
        /// configuration and no guard; - is the standard input.
        file: Option<PathBuf>,
    },
    /// Print the entries as JSON, one a line, with their hashes.
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
            LedgerError::Invalid { .. } => Self::data(error.to_string()),
            LedgerError::Store(_) => Self::io(error.to_string()),
        }
    }
}

impl From<ExportError> for Exit {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Invalid { .. } | ExportError::Empty => Self::data(error.to_string()),
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
        Action::Verify { .. } => proved(&path, &ledger),
        Action::Show { since } => each(&ledger, *since, |entry| Ok(describe(entry))),
        Action::Export { since } => each(&ledger, *since, serde_json::to_string),
    }
}

/// What a file of SQLite begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Proves a ledger that was handed out.
pub(crate) fn verify(path: &Path) -> Result<(), Exit> {
    let name = path.display();
    let told = |error: Exit| error.about(&name.to_string());
    if path == Path::new("-") {
        return export_proved("standard input", std::io::stdin().lock()).map_err(told);
    }
    let missing = |error: std::io::Error| {
        let kind = error.kind();
        let code: fn(String) -> Exit = if kind == std::io::ErrorKind::NotFound {
            Exit::no_input
        } else if kind == std::io::ErrorKind::PermissionDenied {
            Exit::permission
        } else {
            Exit::io
        };
        code(format!("{name}: {error}"))
    };
    let mut file = std::io::BufReader::new(std::fs::File::open(path).map_err(missing)?);
    if file.fill_buf().map_err(missing)?.starts_with(SQLITE) {
        let ledger = Ledger::open_copy(path).map_err(|error| told(error.into()))?;
        return proved(path, &ledger).map_err(told);
    }
    export_proved(&name.to_string(), file).map_err(told)
}

fn proved(path: &Path, ledger: &Ledger) -> Result<(), Exit> {
    let (last, hash, kept) = ledger.verify()?;
    println!("{}: {kept} entries up to number {last} verify; last hash {hash}", path.display());
    Ok(())
}

fn export_proved(name: &str, lines: impl BufRead) -> Result<(), Exit> {
    let proof = verify_export(lines)?;
    let VerifiedExport { entries, first, before, last, hash } = &proof;
    println!("{name}: {entries} entries, {first} to {last}, verify; last hash {hash}");
    if !proof.is_whole() {
        println!("it begins behind entry {}, whose hash is {before}", first - 1);
    }
    println!("whether entries behind {last} are missing only somebody who knows of later ones can say");
    Ok(())
}

/// Prints all, or those from the first one of `since` on: without a gap, also where a clock went back behind it.
fn each(
    ledger: &Ledger,
    since: Option<Timestamp>,
    line: impl Fn(&LedgerEntry) -> serde_json::Result<String>,
) -> Result<(), Exit> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let (mut after, mut begun) = (0, false);
    loop {
        let page = ledger.entries_after(after, 500)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for entry in &page {
            begun |= since.is_none_or(|since| entry.at >= since);
            if !begun {
                continue;
            }
            let line = line(entry).map_err(|error| Exit::software(error.to_string()))?;
            writeln!(out, "{line}").map_err(|_| Exit::io(""))?;
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
