//! One opening of a camera or a microphone: a small pipeline of its own on the session's clock. It is opened and closed
//! in threads of their own, because a driver may hang in either, and nothing else may hang with it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use crate::capture::error::CaptureError;
use crate::capture::gst::Timebase;
use crate::capture::gst::configure_live_sink;
use crate::capture::gst::pop_error;
use crate::capture::gst::set_null;
use crate::capture::guard_link::Lease;
use crate::capture::input::InputSwitch;
use crate::capture::input::camera::{self, describe_camera};
use crate::capture::input::device_error;
use crate::capture::input::microphone::{add_microphone, describe_microphone};
use crate::config::{Audio, Video, VideoSource};
use crate::ipc::CaptureDevice;
use crate::worker;

/// What is opened, with `auto` decided once for the session.
#[derive(Clone, Debug)]
pub(crate) enum SourceSpec {
    Camera(Video),
    Microphone(Audio),
}

impl SourceSpec {
    /// What the configuration names, for messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Camera(video) => format!("the camera {}", describe_camera(video)),
            Self::Microphone(audio) => {
                format!("the microphone {}", describe_microphone(audio))
            }
        }
    }

    /// Whether it is worth trying to open. Where no name in the file system tells, opening itself does.
    pub(crate) fn may_exist(&self) -> bool {
        match self {
            Self::Camera(video) => video.source != VideoSource::V4l2 || video.device.exists(),
            Self::Microphone(_) => true,
        }
    }

    /// An error of its pipeline, in words.
    fn take_error(&self, bus: &gst::Bus) -> Option<CaptureError> {
        let mut ended = false;
        let posted = pop_error(bus, |message| ended |= message.type_() == gst::MessageType::Eos);
        let name = match self {
            Self::Camera(video) => describe_camera(video),
            Self::Microphone(audio) => describe_microphone(audio),
        };
        match posted {
            Some(posted) => Some(device_error(&posted, &name, &name)),
            None => ended.then(|| CaptureError::source(format!("{} came to its end", self.describe()))),
        }
    }
}

/// A device that is open. Whoever has it closes it with [`close`].
#[derive(Debug)]
pub(crate) struct Source {
    spec: SourceSpec,
    pub(crate) pipeline: gst::Pipeline,
    bus: gst::Bus,
    camera: Option<camera::Camera>,
    /// The mode that the camera was opened with, in words; `None`: it has none to tell, or is a microphone.
    pub(crate) mode: Option<String>,
}

impl Source {
    /// What went wrong with it, if something did.
    pub(crate) fn take_error(&self) -> Option<CaptureError> {
        self.spec.take_error(&self.bus)
    }

    /// Opens the device and has it run.
    fn start(&mut self) -> Result<(), CaptureError> {
        if let (SourceSpec::Camera(video), Some(camera)) = (&self.spec, &self.camera) {
            self.mode = camera.select_mode(video)?;
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
            SourceSpec::Camera(video) => {
                let camera = camera::add_camera(&pipeline, video, now)?;
                (camera.last.clone(), Some(camera))
            }
            SourceSpec::Microphone(audio) => (add_microphone(&pipeline, audio, now)?, None),
        };
        let out = capture_sink(name, switch.clone())?;
        pipeline.add(&out)?;
        last.link(&out)?;
        timebase.apply_to(&pipeline);
        Ok(Self { spec: spec.clone(), pipeline, bus, camera, mode: None })
    }
}

/// The end of a device's pipeline: hands over what comes, at once.
fn capture_sink(name: &str, switch: Arc<InputSwitch>) -> Result<gst_app::AppSink, CaptureError> {
    let out = gst_app::AppSink::builder().name(format!("{name}-out")).max_buffers(4).build();
    configure_live_sink(&out);
    let pad = out.static_pad("sink").ok_or_else(|| CaptureError::internal("an appsink without a pad"))?;
    if switch.device() == CaptureDevice::Camera {
        // Without this a camera whose lines are padded would copy each picture.
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
    out.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(push).build());
    Ok(out)
}

/// Opens `spec` while `lease` is open; what it gives goes into `switch`. Told when done; not waited for.
pub(crate) fn open(
    spec: &SourceSpec,
    switch: &Arc<InputSwitch>,
    timebase: &Timebase,
    lease: &Arc<Lease>,
) -> Result<Receiver<Result<Source, CaptureError>>, CaptureError> {
    let mut source = Source::build(spec, switch, timebase)?;
    let lease = lease.clone();
    let (done, opened) = channel();
    let work = move || {
        // Consent may have ended since it was asked for, or while the driver took its time.
        let may = |what: &str| lease.is_valid().then_some(()).ok_or_else(|| CaptureError::source(what));
        let said = may("consent has ended").and_then(|()| {
            source.start()?;
            may("consent has ended")
        });
        let result = match said {
            Ok(()) => Ok(source),
            Err(failure) => {
                set_null(&source.pipeline);
                Err(failure)
            }
        };
        // Nobody waits for it any more: the session is over.
        if let Err(unheard) = done.send(result)
            && let Ok(source) = unheard.0
        {
            set_null(&source.pipeline);
        }
    };
    worker::detached("open", work)?;
    Ok(opened)
}
