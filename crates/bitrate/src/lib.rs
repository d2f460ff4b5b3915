//! The bitrate controller: decides what to request of the encoder, from measurements of the path to the server. Pure:
//! no I/O, no clock.
//!
//! Every [`UPDATE_INTERVAL`] it estimates two things: how long a byte is delayed between encoder and server (queue,
//! socket, network), and how many bytes the server receives. While a queue exists, the latter is the link's capacity.
//! - More is produced than delivered, and a queue grows: the target falls below the delivery rate, so that the queue
//!   drains, and returns to just below it when the queue is empty (`rate`).
//! - There is no queue: the target rises, fast where nothing speaks against it, and by careful probes near the rate
//!   that was too much the last time. A probe that fails is undone at once, and the next one comes later.
//! - Loss alone changes nothing: SRT and TCP repair it, and where they cannot, bytes queue.
//! - There are too few bits per pixel: fewer frames, then a smaller picture (`ladder`).
//! - Pictures wait in front of the encoder: the same, as the box itself does not keep up (`overload`).

mod controller;
mod estimator;
mod history;
mod ladder;
mod limits;
mod measurement;
mod overload;
mod rate;
mod rendition;
#[cfg(test)]
mod simulation;
mod srt_rtt;
#[cfg(test)]
mod tests;
mod tuning;

pub use controller::{Controller, UPDATE_INTERVAL};
pub use limits::{Limits, srt_start_kbps};
pub use measurement::{Measurement, TransportStats};
pub use overload::EncoderLoad;
pub use rendition::Rendition;
