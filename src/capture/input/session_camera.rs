//! The camera of a session: the configured one, or the one that `[video] device = "auto"` finds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::camera_process::ProcessSlot;
use crate::camera::{auto_candidates, has_csi_receiver};
use crate::capture::error::CaptureError;
use crate::capture::media::WantedRate;
use crate::config::{Video, VideoSource};

/// The configured source, with `auto` resolved to one that is there.
pub(crate) fn resolve_camera(video: &Video) -> VideoSource {
    match video.source {
        VideoSource::Auto if has_csi_receiver(Path::new("/")) => VideoSource::Libcamera,
        VideoSource::Auto => VideoSource::V4l2,
        chosen @ (VideoSource::Libcamera | VideoSource::V4l2 | VideoSource::File | VideoSource::Test) => chosen,
    }
}

/// The configured camera, for messages.
fn describe_camera(video: &Video) -> String {
    match resolve_camera(video) {
        VideoSource::Libcamera => "on the CSI connector (libcamera)".to_owned(),
        VideoSource::Test => "(test picture)".to_owned(),
        VideoSource::V4l2 | VideoSource::File | VideoSource::Auto => video.device.display().to_string(),
    }
}

/// The camera of a session. Its clones share what `auto` found, so that the session stays with that camera: it is
/// opened again by the same name, whatever else is plugged in meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct SessionCamera {
    video: Video,
    taken: Arc<OnceLock<PathBuf>>,
    wanted: WantedRate,
    process_slot: ProcessSlot,
}

/// A device that may be the session's camera.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) device: PathBuf,
    /// Whether it is known to be a camera; otherwise only opening it tells.
    pub(super) is_certain: bool,
}

impl SessionCamera {
    /// `video.source` is resolved already.
    pub(crate) fn new(video: Video) -> Self {
        Self { video, taken: Arc::default(), wanted: WantedRate::default(), process_slot: ProcessSlot::default() }
    }

    /// How many of its pictures are wanted at present.
    pub(crate) fn wanted_rate(&self) -> &WantedRate {
        &self.wanted
    }

    pub(super) fn video(&self) -> &Video {
        &self.video
    }

    /// Whether its library may crash, so that it needs a process of its own.
    pub(super) fn needs_process(&self) -> bool {
        self.video.source == VideoSource::Libcamera
    }

    /// The place for that process.
    pub(super) fn process_slot(&self) -> &ProcessSlot {
        &self.process_slot
    }

    /// Whether it is for the session to find a camera.
    pub(super) fn is_auto(&self) -> bool {
        self.video.source == VideoSource::V4l2 && self.video.has_auto_device()
    }

    /// The devices to open, until one of them is a camera.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        if !self.is_auto() {
            return vec![Candidate { device: self.video.device.clone(), is_certain: true }];
        }
        match self.taken.get() {
            Some(device) => vec![Candidate { device: device.clone(), is_certain: true }],
            None => auto_candidates(Path::new("/"))
                .iter()
                .map(|camera| Candidate { device: camera.port_name(), is_certain: camera.is_certain() })
                .collect(),
        }
    }

    /// Stays with `device` from now on.
    pub(super) fn take(&self, device: &Path) {
        if self.is_auto() && self.taken.set(device.to_owned()).is_ok() {
            tracing::info!("[video] device = \"auto\" is the camera {}", device.display());
        }
    }

    /// The device that `auto` found; `None` where a device is configured, and before one is found.
    pub(super) fn found(&self) -> Option<&Path> {
        self.taken.get().map(PathBuf::as_path)
    }

    /// The camera, for messages.
    pub(crate) fn describe(&self) -> String {
        self.found().map_or_else(|| describe_camera(&self.video), |device| device.display().to_string())
    }

    /// Whether to try to open it. True wherever only opening can tell, because no node in the file system does.
    pub(super) fn may_exist(&self) -> bool {
        self.video.source != VideoSource::V4l2 || self.candidates().iter().any(|candidate| candidate.device.exists())
    }

    /// # Errors
    /// There is nothing to open.
    pub(super) fn require(&self) -> Result<(), CaptureError> {
        match (self.video.source, self.is_auto()) {
            (VideoSource::V4l2, true) if !self.may_exist() => Err(no_camera()),
            (VideoSource::V4l2, false) => require_device(&self.video.device),
            (
                VideoSource::V4l2 | VideoSource::Libcamera | VideoSource::File | VideoSource::Test | VideoSource::Auto,
                _,
            ) => Ok(()),
        }
    }
}

/// `auto` finds nothing.
pub(super) fn no_camera() -> CaptureError {
    let message = "there is no camera ([video] device = \"auto\"): plug one in, or set [video] device; tallybox doctor \
                   lists what is there";
    CaptureError::source(message)
}

fn require_device(device: &Path) -> Result<(), CaptureError> {
    if device.exists() {
        return Ok(());
    }
    let device = device.display();
    Err(CaptureError::source(format!(
        "there is no camera at {device}: plug it in, or set [video] device; v4l2-ctl --list-devices lists what is there"
    )))
}
