//! tallybox: firmware for a shop-floor streaming box. Nobody is captured without a press of its button, and its lamp
//! never lies. See `docs/architecture.md` for how the modules stand together.

pub mod consent;

#[cfg(feature = "appliance")]
pub mod agent;
#[cfg(feature = "appliance")]
pub mod capture;
#[cfg(feature = "appliance")]
mod certificate;
#[cfg(feature = "appliance")]
pub mod cli;
#[cfg(feature = "appliance")]
pub mod clock;
#[cfg(feature = "appliance")]
pub mod config;
#[cfg(feature = "appliance")]
mod connect;
#[cfg(feature = "demo")]
pub mod demo;
#[cfg(feature = "appliance")]
pub mod exit;
#[cfg(feature = "appliance")]
mod foreign_file;
#[cfg(feature = "appliance")]
pub mod guard;
#[cfg(feature = "appliance")]
pub mod ipc;
#[cfg(feature = "appliance")]
pub mod log;
#[cfg(feature = "appliance")]
pub mod panel;
#[cfg(feature = "appliance")]
pub mod privacy;
#[cfg(feature = "appliance")]
mod trust;

/// Lower-case hexadecimal, two digits a byte.
#[cfg(feature = "appliance")]
pub(crate) fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
