//! The appliance as it is used: real processes, a real broker, real ingest servers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::duration_suboptimal_units, clippy::must_use_candidate)]

mod adaptation;
mod addresses;
mod attacks;
mod binding;
mod broker;
mod broker_refusals;
mod camera;
mod chaos;
mod cli;
mod clocks;
mod doctor;
mod doors;
mod encoder;
mod examples;
mod families;
mod files;
mod guard;
mod handed_out;
mod ingest;
mod lease;
mod ledger;
mod media;
mod mqtt;
mod mqtt_document;
mod notify;
mod odd_broker;
mod outage;
mod played;
mod reasons;
mod refusals;
mod relay;
mod retained;
mod rtmp;
mod setup;
mod soak;
mod srt;
#[path = "../support/mod.rs"]
mod support;
mod sync;
mod take_config;
mod transports;
mod two_boxes;
mod unplug;
mod watch;
mod whip;
