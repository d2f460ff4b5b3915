//! tallybox: firmware for a shop-floor streaming box. Nobody is captured without a press of its button, and its lamp
//! never lies. See `docs/architecture.md` for how the modules stand together.

pub mod consent;

#[cfg(feature = "appliance")]
pub mod clock;
#[cfg(feature = "appliance")]
pub mod config;
#[cfg(feature = "appliance")]
pub mod ipc;
