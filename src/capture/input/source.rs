//! An open camera or microphone: a small pipeline of its own, on the session's clock. Opening has a thread of its own,
//! and so has closing, because a driver may hang in either.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use super::camera::{Camera, add_camera};
use super::device_error::device_error;
use super::microphone::{add_microphone, describe_microphone};
use super::session_camera::SessionCamera;
use super::switch::InputSwitch;
use crate::capture::error::CaptureError;
use crate::capture::gst::{Timebase, configure_live_sink, pop_error, set_null};
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

/// An open device. Its owner has to close the pipeline.
#[derive(Debug)]
pub(super) struct Source {
    spec: SourceSpec,
    pub(super) pipeline: gst::Pipeline,
    bus: gst::Bus,
    camera: Option<Camera>,
    /// The camera's mode in words; `None` for a microphone, and for a camera that has no modes.
    pub(super) mode: Option<String>,
}

impl Source {
    /// Its first error that was not taken yet.
    pub(super) fn take_error(&self) -> Option<CaptureError> {
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
    let pad = sink.static_pad("sink").ok_or_else(|| CaptureError::internal("an appsink without a pad"))?;
    if switch.device() == CaptureDevice::Camera {
        // Without this answer GStreamer copies each picture of a camera that pads its lines.
        pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
            match info.query_mut().map(gst::QueryRef::view_mut) {
                Some(gst::QueryViewMut::Allocation(query)) => {
                    query.add_allocation_meta::<gst_video::VideoMeta>(None);
                    gst::PadProbeReturn::Handled
                }
                _ => gst::PadProbeReturn::Ok,
            }
        });
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
    let mut source = Source::build(spec, switch, timebase)?;
    let lease = lease.clone();
    let (done, opened) = channel();
    let work = move || {
        let require_consent =
            || lease.is_valid().then_some(()).ok_or_else(|| CaptureError::source("consent has ended"));
        // Checked again afterwards, because a driver may take any time.
        let started = require_consent().and_then(|()| source.start()).and_then(|()| require_consent());
        let result = match started {
            Ok(()) => Ok(source),
            Err(error) => {
                set_null(&source.pipeline);
                Err(error)
            }
        };
        // Without a receiver the session is over, and the device is closed here.
        if let Err(unsent) = done.send(result)
            && let Ok(source) = unsent.0
        {
            set_null(&source.pipeline);
        }
    };
    worker::detached("open", work)?;
    Ok(opened)
}
