//! `tallybox-fleet`: what an operator does with many boxes, over any MQTT 5 broker. It has no verb that starts a
//! capture, as no message has.

mod cli;
mod files;
mod options;
mod sim;

pub use cli::{command, main};
