//! Tests of several rooms together, with real encoders and servers.

mod compositor;
mod day_on_air;
mod rendition;
mod servers;
