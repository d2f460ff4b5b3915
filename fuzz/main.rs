//! tallybox's fuzz targets under libFuzzer: the one that `TALLYBOX_FUZZ_TARGET` names. `fuzz/run` calls it.
#![no_main]
// libFuzzer has `main`.
#![allow(clippy::disallowed_methods)]

mod coverage;
mod memory;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tallybox::fuzzing::{TARGETS, Target};

/// What a target may hold beside what depends on its input, in bytes.
const MAX_BASE: usize = 16 * 1024 * 1024;
/// What it may hold for each byte of input. JSON's numbers become values of 32 bytes, and lists of them double.
const MAX_PER_BYTE: usize = 512;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("TALLYBOX_FUZZ_TARGET").unwrap_or_default();
    if let Some(target) = TARGETS.iter().find(|target| target.name == name) {
        return target;
    }
    for Target { name, dictionary, .. } in TARGETS {
        println!("{name} {dictionary}");
    }
    std::process::exit(i32::from(!name.is_empty()) * 64)
});

fuzz_target!(init: coverage::print(&TARGET), |data: &[u8]| {
    let peak = memory::peak_of(|| (TARGET.run)(data));
    assert!(peak <= MAX_BASE + MAX_PER_BYTE * data.len(), "{peak} bytes of memory for {} bytes", data.len());
});
