//! The box under load: floods, slow and hanging peers, a machine that is busy, short of memory or of descriptors. In
//! each case a touch ends capture in time, memory stays bounded, nothing is lost, and all recovers by itself.
//!
//! Each test compares the box with itself: touches without load come first, in the same run. `make load-test` runs the
//! long forms, and ends with a table.
#![allow(clippy::unwrap_used, clippy::panic, clippy::duration_suboptimal_units, clippy::must_use_candidate)]
// The tests of the appliance share their servers with these tests, which use a part of them.
#![allow(dead_code)]
#![allow(clippy::cast_precision_loss)] // figures of a table

#[path = "../appliance/broker.rs"]
mod broker;
#[path = "../appliance/ingest.rs"]
mod ingest;
#[path = "../appliance/odd_broker.rs"]
mod odd_broker;
#[path = "../appliance/played.rs"]
mod played;
#[path = "../support/mod.rs"]
mod support;

mod bench;
mod disks;
mod figures;
mod finger;
mod limits;
mod loads;
mod outbox;
mod rows;
