//! Tables and plots in docs/benchmarks are what the data in docs/benchmarks/results gives.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// A script of benches compares what it would make with what is there.
fn check(script: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(script);
    let output = Command::new(script).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_tables_are_what_the_results_give() {
    check("tables");
}

#[test]
fn the_plots_are_what_the_results_give() {
    check("plot");
}
