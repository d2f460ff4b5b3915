//! The table: what each load did to the box.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What was measured under one load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) row: String,
    /// From the touch until capture's process was gone: the slowest without load, and the slowest under it.
    pub(crate) idle: Duration,
    pub(crate) loaded: Duration,
    /// Touches that took longer than they may, and were tried again: the machine's doing, or the box's.
    pub(crate) late: Vec<Duration>,
    /// How long it may take.
    pub(crate) limit: Duration,
    /// Peaks of resident memory under load, in KiB, and how much that is over what the role had before.
    pub(crate) guard_kib: Peak,
    pub(crate) agent_kib: Peak,
    /// From the end of the load until a new press was on air.
    pub(crate) recovered: Duration,
    /// How much load there was.
    pub(crate) amount: String,
}

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    pub(crate) before: u64,
    pub(crate) most: u64,
}

impl Peak {
    pub(crate) fn growth(self) -> u64 {
        self.most.saturating_sub(self.before)
    }
}

impl std::fmt::Display for Peak {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |kib: u64| kib as f64 / 1024.0;
        write!(formatter, "{:.1} (+{:.1})", mib(self.most), mib(self.growth()))
    }
}

static ROWS: Mutex<Vec<Figures>> = Mutex::new(Vec::new());

/// Adds a row, and prints the table with all rows so far: the last one that is printed is whole.
pub(crate) fn add(figures: Figures) {
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    rows.push(figures);
    println!("\n| load | touch to dark, idle | under load | limit | guard, MiB | agent, MiB | recovered | amount |");
    println!("|---|---|---|---|---|---|---|---|");
    for row in rows.iter() {
        println!(
            "| {} | {} ms | {} ms{} | {} ms | {} | {} | {:.1} s | {} |",
            row.row,
            row.idle.as_millis(),
            row.loaded.as_millis(),
            late(&row.late),
            row.limit.as_millis(),
            row.guard_kib,
            row.agent_kib,
            row.recovered.as_secs_f64(),
            row.amount
        );
    }
}

fn late(touches: &[Duration]) -> String {
    let late: Vec<_> = touches.iter().map(|took| took.as_millis().to_string()).collect();
    if late.is_empty() { String::new() } else { format!(", late before: {} ms", late.join(", ")) }
}

/// Says that this machine cannot show something: that is no pass.
pub(crate) fn not_judged(row: &str, why: &str) {
    println!("\nnot judged: {row}: {why}");
}
