//! A camera whose library may crash runs in a process of its own: a child of capture, which gives raw pictures over a
//! pipe (docs/decisions/0040-libcamera-in-its-own-process.md).
//!
//! ```text
//! capture: request ─► standard input ─┐    child: libcamerasrc ! … ! video-caps ! camera-out
//!          switch ◄── records, a pipe ◄────────── standard output
//! ```
//! Capture kills and reaps the child before it starts the next one. The kernel kills it when capture's thread for it
//! ends, however capture ends.

mod child;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod parent;
mod protocol;
mod slot;
#[cfg(test)]
mod tests;

pub(crate) use child::run as run_camera;
pub(super) use parent::{CameraProcess, camera_command};
pub(super) use slot::ProcessSlot;
