//! The operator's web console in a real browser, against mosquitto over WebSocket.
#![allow(clippy::unwrap_used, clippy::panic, clippy::duration_suboptimal_units, clippy::must_use_candidate, dead_code)]

#[path = "../demo/axe.rs"]
mod axe;
#[path = "../demo/browser.rs"]
mod browser;
mod commands;
mod fleet;
mod hostile;
mod incidents;
#[path = "../appliance/ingest.rs"]
mod ingest;
mod look;
mod outages;
mod receipts;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod trusted;
mod wall;
mod words;
