//! What a simulation did, at its end.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;

use serde::Serialize;
use tallybox::exit::Exit;

use super::boxes::SimBox;
use super::proxy::Counters;

/// The summary. Its fields are stable: docs/fleet.md has them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Summary {
    boxes: usize,
    seconds: f64,
    /// Ledger entries that were written: as many different events have to arrive.
    entries: u64,
    /// Entries that a box dropped because its agent was behind by too many.
    entries_lost: u64,
    resident_kib: u64,
    resident_kib_per_box: f64,
    network: Option<Network>,
}

/// What passed the proxy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Network {
    connections: u64,
    failed_connections: u64,
    /// Connections in the busiest second.
    peak_connections_per_s: u32,
    bytes_from_boxes: u64,
    bytes_to_boxes: u64,
    /// Connections in each second since the start.
    connections_by_second: Vec<u32>,
}

/// One box's ledger.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct LedgerLine<'a> {
    #[serde(rename = "box")]
    id: &'a str,
    ledger: &'a str,
    entries: u64,
    hash: &'a str,
    verifier_key: &'a str,
}

/// Memory of this process that is in use, in KiB.
pub(super) fn resident_kib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident: u64 = pages.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    resident * u64::try_from(rustix::param::page_size()).unwrap_or(4096) / 1024
}

pub(super) fn print(
    json: bool,
    boxes: &[SimBox],
    seconds: f64,
    resident_kib: u64,
    counters: Option<&Counters>,
) -> Result<(), Exit> {
    let sum = |count: &dyn Fn(&SimBox) -> u64| boxes.iter().map(count).sum::<u64>();
    let count = u32::try_from(boxes.len()).unwrap_or(u32::MAX).max(1);
    #[allow(clippy::cast_precision_loss)] // KiB of one process
    let summary = Summary {
        boxes: boxes.len(),
        seconds: (seconds * 10.0).round() / 10.0,
        entries: sum(&|sim| sim.ledger.borrow().last().map_or(0, |(seq, _)| seq)),
        entries_lost: sum(&|sim| sim.ledger.borrow().lost()),
        resident_kib,
        resident_kib_per_box: (resident_kib as f64 / f64::from(count) * 10.0).round() / 10.0,
        network: counters.map(network),
    };
    let failed = |_| Exit::io("");
    let mut out = std::io::stdout().lock();
    if json {
        let text = serde_json::to_string(&summary).map_err(|error| Exit::software(error.to_string()))?;
        return writeln!(out, "{text}").map_err(failed);
    }
    let Summary { boxes, seconds, entries, resident_kib_per_box, .. } = summary;
    writeln!(
        out,
        "{boxes} boxes, {seconds} s, {entries} ledger entries, {resident_kib_per_box} KiB of memory for each box"
    )
    .map_err(failed)?;
    let Some(Network { connections, peak_connections_per_s, bytes_from_boxes, bytes_to_boxes, .. }) = summary.network
    else {
        return Ok(());
    };
    writeln!(
        out,
        "{connections} connections, {peak_connections_per_s} in the busiest second, {bytes_from_boxes} bytes from boxes, \
         {bytes_to_boxes} to them"
    )
    .map_err(failed)
}

fn network(counters: &Counters) -> Network {
    let seconds = counters.seconds();
    Network {
        connections: counters.connections.load(Ordering::Relaxed),
        failed_connections: counters.failed.load(Ordering::Relaxed),
        peak_connections_per_s: seconds.iter().copied().max().unwrap_or(0),
        bytes_from_boxes: counters.from_boxes.load(Ordering::Relaxed),
        bytes_to_boxes: counters.to_boxes.load(Ordering::Relaxed),
        connections_by_second: seconds,
    }
}

/// A line of JSON for each box, for whoever compares what arrived.
pub(super) fn write_ledgers(file: &Path, boxes: &[SimBox]) -> Result<(), Exit> {
    let mut text = String::new();
    for sim in boxes {
        let ledger = sim.ledger.borrow();
        let (entries, hash) = ledger.last().unwrap_or_default();
        let (ledger, verifier_key) = (ledger.id().unwrap_or_default(), sim.verifier_key.as_str());
        let line = LedgerLine { id: &sim.id, ledger, entries, hash, verifier_key };
        text += &serde_json::to_string(&line).map_err(|error| Exit::software(error.to_string()))?;
        text.push('\n');
    }
    std::fs::write(file, text).map_err(|error| Exit::io(format!("{}: {error}", file.display())))
}
