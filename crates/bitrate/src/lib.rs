//! Decides what the encoder is asked for: measurements of the way to the server in, a rendition out. Pure: no I/O, no
//! clock.
//!
//! Two questions are asked every [`UPDATE_INTERVAL`]: how long does a byte wait between encoder and server (queue,
//! socket, network), and how many bytes does the server really take? While something waits the second is the link's
//! capacity.
//! - More is made than arrives, and it waits: the target falls below what arrives, so that the queue drains, and goes
//!   back to just under it when it is empty (`rate`).
//! - Nothing waits: the target rises, fast where nothing is known against it, by careful probes near the rate that was
//!   too much the last time. A probe that fails goes back at once and the next one comes later.
//! - Loss alone changes nothing: SRT and TCP repair it, and where they cannot, bytes wait.
//! - Too few bits per pixel for the picture: fewer frames, then a smaller picture (`ladder`).

mod controller;
mod estimator;
mod history;
mod ladder;
mod limits;
mod measurement;
mod rate;
mod rendition;
#[cfg(test)]
mod simulation;
mod srt_rtt;
#[cfg(test)]
mod tests;

pub use controller::{Controller, UPDATE_INTERVAL};
pub use limits::{Limits, srt_start_kbps};
pub use measurement::Measurement;
pub use rendition::Rendition;
