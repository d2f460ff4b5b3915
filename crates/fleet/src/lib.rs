//! `tallybox-fleet`: what an operator does with many boxes, over any MQTT 5 broker. It has no verb that starts a
//! capture, as no message has.

mod cli;
mod command;
mod connection;
mod end_of_service;
mod erase;
mod events;
mod files;
mod fleet;
mod key;
mod list;
mod metrics;
mod notice;
mod options;
mod output;
mod policy;
mod receipts;
mod set;
mod sim;
mod target;
mod update;
mod verify;
mod view;
mod watch;

pub use cli::{command, main};
