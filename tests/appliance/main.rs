//! The appliance as it is used: real processes, a real broker, real ingest servers.

mod broker;
mod chaos;
mod cli;
mod doors;
mod guard;
mod ingest;
mod media;
mod mqtt;
#[path = "../support/mod.rs"]
mod support;
mod sync;
