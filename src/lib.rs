//! tallybox: firmware for a shop-floor streaming box. Nobody is captured without a press of its button, and its lamp
//! never lies. See `docs/architecture.md` for how the modules stand together.
// Without `box` only the agent uses what the roles share.
#![cfg_attr(not(feature = "box"), allow(dead_code, unused_imports))]

pub mod agent;
mod atomic_file;
#[cfg(feature = "box")]
mod camera;
#[cfg(feature = "box")]
pub mod capture;
mod certificate;
#[cfg(feature = "box")]
pub mod cli;
pub mod clock;
pub mod config;
mod connect;
#[cfg(feature = "demo")]
pub mod demo;
#[cfg(feature = "sim")]
pub mod disk;
#[cfg(not(feature = "sim"))]
mod disk;
#[cfg(feature = "box")]
mod erasure_files;
pub mod exit;
#[cfg(all(feature = "box", any(test, feature = "fuzzing")))]
pub mod fuzzing;
#[cfg(feature = "box")]
pub mod guard;
mod installed_package;
pub mod ipc;
pub mod judges;
pub mod ledger;
pub mod log;
#[cfg(feature = "box")]
mod memory_limits;
#[cfg(feature = "box")]
mod overwrite;
#[cfg(feature = "box")]
pub mod panel;
#[cfg(all(test, feature = "box"))]
#[path = "../tests/support/ports.rs"]
mod ports;
#[cfg(feature = "box")]
pub mod privacy;
pub mod random;
mod revocation;
pub mod runtime;
#[cfg(feature = "box")]
mod sealing;
#[cfg(feature = "sim")]
pub mod sim;
mod sync;
pub mod text;
mod token_bucket;
pub mod transport_warnings;
mod trust;
mod untrusted_file;
mod update_files;
#[cfg(feature = "box")]
mod updater;
#[cfg(test)]
mod wire;
pub mod worker;

/// Lower-case hexadecimal, two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
