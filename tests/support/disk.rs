//! The library that stands between a program and its disk.

use std::path::Path;
use std::process::Command;

/// Makes the library of disk.c, which says what it does.
pub fn make_library(library: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/disk.c");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(library).arg(source).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}
