//! Tests of several rooms together, with real encoders and servers.

mod compositor;
mod day_on_air;
pub(in crate::capture) mod element_bench;
mod rendition;
mod servers;
