//! Cameras, microphones and media files: what is opened, watched, and stood in for.

pub(crate) mod camera;
pub(crate) mod camera_mode;
pub(crate) mod clock_sync;
pub(crate) mod device_error;
pub(crate) mod media_file;
pub(crate) mod microphone;
pub(crate) mod slate;
pub(crate) mod source;
pub(crate) mod supervisor;
pub(crate) mod switch;
pub(crate) mod transform;
