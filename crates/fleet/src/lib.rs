//! `tallybox-fleet`: what an operator does with many boxes, over any MQTT 5 broker. It has no verb that starts a
//! capture, as no message has.

mod cli;
mod command;
mod connection;
mod events;
mod files;
mod fleet;
mod key;
mod list;
mod metrics;
mod options;
mod output;
mod policy;
mod set;
mod sim;
mod target;
mod update;
mod verify;
mod view;
mod watch;

pub use cli::{command, main};
