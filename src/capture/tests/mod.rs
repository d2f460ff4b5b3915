//! Tests of several rooms together, with real encoders and servers.

mod audio;
mod compositor;
mod day_on_air;
mod frame_rate;
mod rendition;
