//! The pages in docs/benchmarks show what their data gives.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

#[test]
fn the_tables_are_what_the_results_give() {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/tables");
    let output = Command::new(tables).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
