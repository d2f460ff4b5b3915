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
use crate::capture::gst::{set_null, spawn};
use crate::capture::guard_link::Lease;
use crate::capture::input::camera;
use crate::capture::input::device_error::device_error;
use crate::capture::input::switch::InputSwitch;
use crate::config::{Audio, Video, VideoSource};
use crate::ipc::CaptureDevice;

/// What is opened, with `auto` decided once for the session.
#[derive(Clone, Debug)]
pub(crate) enum SourceSpec {
    Camera(Video),
    Microphone(Audio),
}

impl SourceSpec {
    /// What the configuration names, for messages.
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Camera(video) => format!("the camera {}", camera::described(video)),
            Self::Microphone(audio) => {
                format!("the microphone {}", crate::capture::input::microphone::described(audio))
            }
        }
    }

    /// Whether it is worth trying to open. Where no name in the file system tells, opening itself does.
    pub(crate) fn may_be_there(&self) -> bool {
        match self {
            Self::Camera(video) => video.source != VideoSource::V4l2 || video.device.exists(),
            Self::Microphone(_) => true,
        }
    }

    /// An error of its pipeline, in words.
    fn failure(&self, bus: &gst::Bus) -> Option<CaptureError> {
        let mut ended = false;
        let posted = pop_error(bus, |message| ended |= message.type_() == gst::MessageType::Eos);
        let name = match self {
            Self::Camera(video) => camera::described(video),
            Self::Microphone(audio) => crate::capture::input::microphone::described(audio),
        };
        match posted {
            Some(posted) => Some(device_error(&posted, &name, &name)),
            None => ended.then(|| CaptureError::source(format!("{} came to its end", self.described()))),
        }
    }
}

/// A device that is open. Whoever has it closes it with [`close`].
#[derive(Debug)]
pub(crate) struct Source {
    origin: SourceSpec,
    pub(crate) pipeline: gst::Pipeline,
    bus: gst::Bus,
    camera: Option<camera::Camera>,
    /// The mode that the camera was opened with, in words; `None`: it has none to tell, or is a microphone.
    pub(crate) mode: Option<String>,
}

impl Source {
    /// What went wrong with it, if something did.
    pub(crate) fn trouble(&self) -> Option<CaptureError> {
        self.origin.failure(&self.bus)
    }

    /// Opens the device and has it run.
    fn start(&mut self) -> Result<(), CaptureError> {
        if let (SourceSpec::Camera(video), Some(camera)) = (&self.origin, &self.camera) {
            self.mode = camera.settle(video)?;
        }
        self.pipeline.set_state(gst::State::Playing).map(|_| ()).map_err(|_| {
            let unknown = || CaptureError::source(format!("{} does not start", self.origin.described()));
            self.trouble().unwrap_or_else(unknown)
        })
    }

    fn build(origin: &SourceSpec, lane: &Arc<InputSwitch>, time: &Timebase) -> Result<Self, CaptureError> {
        let name = match origin {
            SourceSpec::Camera(_) => "camera",
            SourceSpec::Microphone(_) => "microphone",
        };
        let pipeline = gst::Pipeline::with_name(name);
        let bus = pipeline.bus().ok_or_else(|| CaptureError::internal("a pipeline without a bus"))?;
        let now = time.running_time();
        let (last, camera) = match origin {
            SourceSpec::Camera(video) => {
                let camera = camera::add_camera(&pipeline, video, now)?;
                (camera.last.clone(), Some(camera))
            }
            SourceSpec::Microphone(audio) => {
                (crate::capture::input::microphone::add_microphone(&pipeline, audio, now)?, None)
            }
        };
        let out = out(name, lane.clone())?;
        pipeline.add(&out)?;
        last.link(&out)?;
        time.apply_to(&pipeline);
        Ok(Self { origin: origin.clone(), pipeline, bus, camera, mode: None })
    }
}

/// The end of a device's pipeline: hands over what comes, at once.
fn out(name: &str, lane: Arc<InputSwitch>) -> Result<gst_app::AppSink, CaptureError> {
    let out = gst_app::AppSink::builder().name(format!("{name}-out")).max_buffers(4).build();
    configure_live_sink(&out);
    let pad = out.static_pad("sink").ok_or_else(|| CaptureError::internal("an appsink without a pad"))?;
    if lane.device() == CaptureDevice::Camera {
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
    let opening = lane.expect();
    let take = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        lane.take(opening, &sample);
        Ok(gst::FlowSuccess::Ok)
    };
    out.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(take).build());
    Ok(out)
}

/// Opens `origin` while `lease` is open; what it gives goes into `lane`. Told when done; not waited for.
pub(crate) fn open(
    origin: &SourceSpec,
    lane: &Arc<InputSwitch>,
    time: &Timebase,
    lease: &Arc<Lease>,
) -> Result<Receiver<Result<Source, CaptureError>>, CaptureError> {
    let mut source = Source::build(origin, lane, time)?;
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
    spawn("open", work)?;
    Ok(opened)
}
