//! Cameras as the kernel describes them in sysfs, without opening one: which video nodes are cameras, by which names
//! they are found again, which modes a USB camera has, and which of its modes is taken.
//!
//! Capture chooses with the same functions, from what an open camera says of itself, so that `doctor` tells beforehand
//! what a press will do.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod mode;
mod nodes;
mod uvc;
#[cfg(test)]
pub(crate) mod webcams;

pub(crate) use mode::{CameraFormat, CameraRequest, Mode, NoUsableMode, Selection, select};
pub(crate) use nodes::{CameraNode, auto_candidates, cameras, has_csi_receiver, node_of};
pub(crate) use uvc::{Offer, listed};
