//! `tallybox ledger`: read, prove or hand out the consent ledger. Reads the file itself: it works without a guard.

use std::io::Write;

use clap::Subcommand;

use crate::clock::Reading;
use crate::config::Config;
use crate::exit::Exit;
use crate::guard::ledger::{Ledger, LedgerError};
use crate::ipc::{Entry, Recorded};

/// What to do with the ledger.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Action {
    /// Print the entries, one a line: number, time (with `?` where the clock was not synchronised), fact, and what the
    /// clocks said.
    Show,
    /// Follow the hash chain; names the first bad entry and ends with 65 if there is one.
    Verify,
    /// Print the entries as JSON, one a line, with their hashes.
    Export,
}

impl From<LedgerError> for Exit {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Bad { .. } => Self::data(error.to_string()),
            LedgerError::Store(_) => Self::io(error.to_string()),
        }
    }
}

/// Does it.
pub(crate) fn run(config: &Config, action: Action) -> Result<(), Exit> {
    let path = config.ledger();
    if !path.exists() {
        let path = path.display();
        return Err(Exit::unavailable(format!(
            "there is no ledger at {path}; the guard makes it when it first starts"
        )));
    }
    let ledger = Ledger::open_to_read(&path)?;
    match action {
        Action::Verify => {
            let (last, hash, kept) = ledger.prove()?;
            println!("{}: {kept} entries up to number {last} verify; last hash {hash}", path.display());
            Ok(())
        }
        Action::Show => each(&ledger, |entry| Ok(describe(entry))),
        Action::Export => each(&ledger, serde_json::to_string),
    }
}

fn each(ledger: &Ledger, line: impl Fn(&Entry) -> serde_json::Result<String>) -> Result<(), Exit> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut after = 0;
    loop {
        let page = ledger.entries_after(after, 500)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for entry in &page {
            let line = line(entry).map_err(|error| Exit::software(error.to_string()))?;
            writeln!(out, "{line}").map_err(|_| Exit::io(""))?;
        }
    }
    out.flush().map_err(|_| Exit::io(""))
}

fn describe(entry: &Entry) -> String {
    let (seq, at, fact) = (entry.seq, entry.at.to_string(), words(&entry.fact));
    let Some(Reading { utc, synchronised, boot, monotonic_ms }) = entry.reading() else {
        return format!("{seq:>6}  {at:.19}Z  {fact}");
    };
    let kept = if synchronised { "" } else { "?" };
    // The clock's own reading where it is not the time that orders the entry.
    let clock = if utc == entry.at { String::new() } else { format!("  clock={:.19}Z", utc.to_string()) };
    let (seconds, ms) = (monotonic_ms / 1000, monotonic_ms % 1000);
    format!("{seq:>6}  {at:.19}Z{kept:1}  {fact}{clock}  boot={boot:.4} up={seconds}.{ms:03}s")
}

/// The fact as `kind key=value ...`, whatever its kind is.
fn words(fact: &Recorded) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(fact) else { return String::new() };
    let kind = fields.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    fields
        .iter()
        .filter(|(key, value)| *key != "kind" && !value.is_null())
        .fold(kind, |text, (key, value)| format!("{text} {key}={value}"))
}
