//! An open camera or microphone: a small pipeline of its own, on the session's clock. Opening has a thread of its own,
//! and so has closing, because a driver may hang in either. A camera whose library may crash has a process instead
//! ([`super::camera_process`]).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::camera::{Camera, add_camera};
use super::camera_process::{CameraProcess, camera_command};
use super::device_error::device_error;
use super::microphone::{add_microphone, describe_microphone};
use super::session_camera::SessionCamera;
use super::switch::InputSwitch;
use crate::capture::error::CaptureError;
use crate::capture::gst::{Timebase, accept_padded_lines, close_detached, configure_live_sink, pop_error, set_null};
use crate::capture::guard_link::Lease;
use crate::config::Audio;
use crate::ipc::CaptureDevice;
use crate::worker;

/// What to open. An `auto` source is resolved already, once for the session.
#[derive(Clone, Debug)]
pub(crate) enum SourceSpec {
    Camera(SessionCamera),
    Microphone(Audio),
}

impl SourceSpec {
    /// The configured device, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Camera(camera) => format!("the camera {}", camera.describe()),
            Self::Microphone(audio) => format!("the microphone {}", describe_microphone(audio)),
        }
    }

    /// Whether to try to open it. True wherever only opening can tell, because no node in the file system does.
    pub(super) fn may_exist(&self) -> bool {
        match self {
            Self::Camera(camera) => camera.may_exist(),
            Self::Microphone(_) => true,
        }
    }

    /// Whether its library may crash, so that each opening has a process of its own.
    pub(super) fn needs_process(&self) -> bool {
        match self {
            Self::Camera(camera) => camera.needs_process(),
            Self::Microphone(_) => false,
        }
    }

    /// The first error on the bus of its pipeline.
    fn take_error(&self, bus: &gst::Bus) -> Option<CaptureError> {
        let mut ended = false;
        let posted = pop_error(bus, |message| ended |= message.type_() == gst::MessageType::Eos);
        let name = match self {
            Self::Camera(camera) => camera.describe(),
            Self::Microphone(audio) => describe_microphone(audio),
        };
        match posted {
            Some(posted) => Some(device_error(&posted, &name, &name)),
            None => ended.then(|| CaptureError::source(format!("{} came to its end", self.describe()))),
        }
    }
}

/// An open device. Its owner has to close it.
#[derive(Debug)]
pub(super) enum Source {
    Pipeline(DevicePipeline),
    Process(CameraProcess),
}

impl Source {
    /// Its first error that was not taken yet.
    pub(super) fn take_error(&self) -> Option<CaptureError> {
        match self {
            Self::Pipeline(device) => device.take_error(),
            Self::Process(process) => process.take_error(),
        }
    }

    /// Whether it ended in a way that says nothing about the device: to open it again is worth while.
    pub(super) fn has_crashed(&self) -> bool {
        match self {
            Self::Pipeline(_) => false,
            Self::Process(process) => process.has_crashed(),
        }
    }

    /// The camera's mode in words, when it is new; `None` for a microphone, and for a camera that has no modes.
    pub(super) fn take_mode(&mut self) -> Option<String> {
        match self {
            Self::Pipeline(device) => device.mode.take(),
            Self::Process(process) => process.take_mode(),
        }
    }

    /// Closes it. The receiver gets a message, or loses its sender, once it is closed.
    pub(super) fn close(self) -> Receiver<()> {
        match self {
            Self::Pipeline(device) => close_detached(device.pipeline),
            Self::Process(process) => process.close(),
        }
    }

    /// Its pipeline, for tests that break it.
    #[cfg(test)]
    pub(super) fn pipeline(&self) -> &gst::Pipeline {
        match self {
            Self::Pipeline(device) => &device.pipeline,
            Self::Process(_) => panic!("its pipeline is in another process"),
        }
    }
}

/// A device that is open in this process.
#[derive(Debug)]
pub(super) struct DevicePipeline {
    spec: SourceSpec,
    pipeline: gst::Pipeline,
    bus: gst::Bus,
    camera: Option<Camera>,
    mode: Option<String>,
}

impl DevicePipeline {
    fn take_error(&self) -> Option<CaptureError> {
        self.spec.take_error(&self.bus)
    }

    /// Opens the device and starts it.
    fn start(&mut self) -> Result<(), CaptureError> {
        if let (SourceSpec::Camera(session_camera), Some(camera)) = (&self.spec, &self.camera) {
            self.mode = camera.select_mode(session_camera, &self.bus)?;
        }
        self.pipeline.set_state(gst::State::Playing).map(|_| ()).map_err(|_| {
            let unknown = || CaptureError::source(format!("{} does not start", self.spec.describe()));
            self.take_error().unwrap_or_else(unknown)
        })
    }

    fn build(spec: &SourceSpec, switch: &Arc<InputSwitch>, timebase: &Timebase) -> Result<Self, CaptureError> {
        let name = match spec {
            SourceSpec::Camera(_) => "camera",
            SourceSpec::Microphone(_) => "microphone",
        };
        let pipeline = gst::Pipeline::with_name(name);
        let bus = pipeline.bus().ok_or_else(|| CaptureError::internal("a pipeline without a bus"))?;
        let now = timebase.running_time();
        let (last, camera) = match spec {
            SourceSpec::Camera(camera) => {
                let camera = add_camera(&pipeline, camera, now)?;
                (camera.output.clone(), Some(camera))
            }
            SourceSpec::Microphone(audio) => (add_microphone(&pipeline, audio, now)?, None),
        };
        let sink = capture_sink(name, switch.clone())?;
        pipeline.add(&sink)?;
        last.link(&sink)?;
        timebase.apply_to(&pipeline);
        Ok(Self { spec: spec.clone(), pipeline, bus, camera, mode: None })
    }
}

/// The end of a device's pipeline. It pushes each sample into `switch` at once.
fn capture_sink(name: &str, switch: Arc<InputSwitch>) -> Result<gst_app::AppSink, CaptureError> {
    let sink = gst_app::AppSink::builder().name(format!("{name}-out")).max_buffers(4).build();
    configure_live_sink(&sink);
    if switch.device() == CaptureDevice::Camera {
        accept_padded_lines(sink.upcast_ref())?;
    }
    let generation = switch.next_generation();
    let push = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        switch.push_sample(generation, &sample);
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(push).build());
    Ok(sink)
}

/// Opens `spec` while `lease` is valid, in a thread that nobody waits for; its samples go into `switch`. The receiver
/// gets the open device, or the error.
pub(super) fn open(
    spec: &SourceSpec,
    switch: &Arc<InputSwitch>,
    timebase: &Timebase,
    lease: &Arc<Lease>,
) -> Result<Receiver<Result<Source, CaptureError>>, CaptureError> {
    let (done, opened) = channel();
    if let SourceSpec::Camera(camera) = spec
        && camera.needs_process()
    {
        let process = CameraProcess::start(camera_command(), camera, switch, timebase, lease)?;
        let _ = done.send(Ok(Source::Process(process)));
        return Ok(opened);
    }
    let mut device = DevicePipeline::build(spec, switch, timebase)?;
    let lease = lease.clone();
    let work = move || {
        let require_consent =
            || lease.is_valid().then_some(()).ok_or_else(|| CaptureError::source("consent has ended"));
        // Checked again afterwards, because a driver may take any time.
        let started = require_consent().and_then(|()| device.start()).and_then(|()| require_consent());
        let result = match started {
            Ok(()) => Ok(Source::Pipeline(device)),
            Err(error) => {
                set_null(&device.pipeline);
                Err(error)
            }
        };
        // Without a receiver the session is over, and the device is closed here.
        if let Err(unsent) = done.send(result)
            && let Ok(Source::Pipeline(device)) = unsent.0
        {
            set_null(&device.pipeline);
        }
    };
    worker::detached("open", work)?;
    Ok(opened)
}
