//! Cameras, microphones and media files: opened, supervised, and replaced by a fallback while they are lost.

mod camera;
mod camera_mode;
pub(crate) mod camera_process;
mod clock_sync;
mod device_error;
mod jpeg_filter;
mod media_file;
mod microphone;
mod session_camera;
mod slate;
mod source;
mod supervisor;
mod switch;
mod transform;

pub(crate) use camera_process::run_camera;
pub(crate) use device_error::device_error;
pub(crate) use media_file::MediaFile;
pub(crate) use microphone::{describe_microphone, resolve_microphone};
pub(crate) use session_camera::{SessionCamera, resolve_camera};
pub(crate) use source::SourceSpec;
pub(crate) use supervisor::{DeviceContext, DeviceSupervisor};
pub(crate) use switch::InputSwitch;
pub(crate) use transform::add_normalizer;

#[cfg(test)]
mod tests;
