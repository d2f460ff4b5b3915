//! Pins every string on the wire, on disk and on the command line: each test prints them from the types and tables that
//! the program uses, and compares them with a file in `tests/wire`. A rename in Rust must change none of them.
//!
//! `TALLYBOX_BLESS=1 cargo test --features demo --lib wire` writes the files anew, for a change that is meant.

mod command_line;
mod configuration;
mod platform;
mod schema;
mod source;

use std::path::Path;

pub(crate) use platform::{list_of, maybe_time, paths, time, words};
pub(crate) use schema::{known, listed, schema, written};

use crate::ipc::{Fact, LedgerEntry, Phase, Status, ToCapture, ToGuard, Verb, reasons};
use crate::ipc::{FromCapture, FromGuard};

/// Compares `found` with `tests/wire/<name>.txt`.
#[track_caller]
pub(crate) fn pin(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(name).with_extension("txt");
    if std::env::var_os("TALLYBOX_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let pinned = std::fs::read_to_string(&path).unwrap_or_default();
    let added: Vec<&str> = found.lines().filter(|line| !pinned.lines().any(|known| known == *line)).collect();
    let gone: Vec<&str> = pinned.lines().filter(|line| !found.lines().any(|known| known == *line)).collect();
    assert!(
        found == pinned,
        "{} differs (TALLYBOX_BLESS=1 writes it anew)\nnew: {added:#?}\ngone: {gone:#?}",
        path.display()
    );
}

#[test]
fn messages_of_both_sockets() {
    pin("capture-socket-requests", &schema::<ToCapture>());
    pin("capture-socket-events", &schema::<FromCapture>());
    pin("control-socket-requests", &schema::<ToGuard>());
    pin("control-socket-answers", &schema::<FromGuard>());
}

#[test]
fn status_document() {
    let surroundings = written(&crate::cli::status::Surroundings::default());
    pin("status", &(schema::<Status>() + &surroundings));
}

#[test]
fn ledger_entries() {
    // `LedgerEntry` takes facts of other versions too; those of this one are listed by `Fact`.
    pin("ledger", &(schema::<LedgerEntry>() + &schema::<Fact>()));
}

#[test]
fn platform_documents() {
    let state = crate::agent::state::State::without_guard(jiff::Timestamp::UNIX_EPOCH, "");
    let telemetry = crate::agent::telemetry::Telemetry::default();
    let verbs = Verb::ALL.iter().map(|verb| format!("cmd/{}\n", listed(verb))).collect::<Vec<_>>().concat();
    pin("platform", &format!("{verbs}state\n{}telemetry\n{}", written(&state), written(&telemetry)));
}

#[test]
fn reasons_of_each_phase() {
    let rows = Phase::ALL.into_iter().map(|phase| format!("{}: {}\n", listed(&phase), reasons(phase).join(", ")));
    pin("reasons", &rows.collect::<Vec<_>>().concat());
}

#[test]
fn privacy_report() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tallybox.toml");
    let config = crate::config::Config::load(&shipped).unwrap();
    let report = crate::privacy::report(&config, crate::text::Language::En);
    let rows = report.items.iter().map(|item| format!("{}\n", item.name));
    pin("privacy-report", &(written(&report.items[0]) + &rows.collect::<Vec<_>>().concat()));
}
