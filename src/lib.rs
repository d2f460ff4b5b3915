//! tallybox: firmware for a shop-floor streaming box. Nobody is captured without a press of its button, and its lamp
//! never lies. See `docs/architecture.md` for how the modules stand together.

pub mod consent;
