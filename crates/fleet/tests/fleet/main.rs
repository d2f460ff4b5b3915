//! The fleet tool as operators run it, over a real broker, with simulated boxes that judge with the box's own code.
//! One program for all of them: most of their time is waiting, and they wait side by side. The longest one comes first
//! in the alphabet, which is the order of the tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod broker_restart;
mod commands;
#[path = "../../../../tests/support/dates.rs"]
mod dates;
mod events;
mod monitor;
#[path = "../../../../tests/support/ports.rs"]
mod ports;
mod signed;

mod support;
mod waves;
