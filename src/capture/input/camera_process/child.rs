//! The process of a camera: its pictures in the configured size go to standard output, until standard input ends.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use gst::prelude::*;
use gst_video::VideoFrameExt as _;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};

use super::super::camera::{Camera, add_camera};
use super::super::device_error::device_error;
use super::super::session_camera::SessionCamera;
use super::protocol::{PictureFormat, Request, failure_record, format_record, picture_header};
use crate::capture::error::CaptureError;
use crate::capture::gst::{Timebase, accept_padded_lines, configure_live_sink, pop_error, set_null};
use crate::capture::media::raw_video_caps;
use crate::exit::Exit;
use crate::worker;

/// How often errors are looked for while no picture comes.
const CHECK_INTERVAL: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// Pictures that wait while capture is busy. Older ones are dropped.
const MAX_WAITING: u32 = 2;

/// Runs until capture, the process `parent`, closes standard input or ends.
pub(crate) fn run(parent: u32) -> Result<(), Exit> {
    let usage = || Exit::usage("a camera's process is started by capture; to start a session, press the button");
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // It may have ended before that.
    let parent = i32::try_from(parent).ok().and_then(Pid::from_raw);
    if parent.is_none() || getppid() != parent {
        return Err(usage());
    }
    close_inherited();
    let broken = |error: std::io::Error| Exit::software(format!("capture's pipe cannot be used: {error}"));
    let output = std::io::stdout().as_fd().try_clone_to_owned().map_err(broken)?;
    // What a library prints is no picture.
    rustix::stdio::dup2_stdout(std::io::stderr()).map_err(|error| broken(error.into()))?;
    crate::log::init("capture");
    let request = Request::read(std::io::stdin().lock()).map_err(|_| usage())?;
    worker::detached("capture-gone", exit_with_capture).map_err(|error| Exit::software(error.to_string()))?;
    let mut output = File::from(output);
    let Err(error) = stream(&request, &mut output) else { return Ok(()) };
    output.write_all(&failure_record(&error.message)).map_err(broken)
}

/// Closes what capture has open but for the three standard ones: not every library keeps its own from a child.
fn close_inherited() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // The one that lists them is closed already.
        let _ = nix::unistd::close(number);
    }
}

/// Ends this process when capture closes its end, whatever hangs in it.
fn exit_with_capture() {
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    let _ = kill_process(getpid(), Signal::KILL);
}

/// Writes pictures until an error, which is returned. `Ok`: capture reads no more.
fn stream(request: &Request, output: &mut File) -> Result<(), CaptureError> {
    gst::init().map_err(|error| CaptureError::internal(format!("GStreamer does not start: {error}")))?;
    let camera = SessionCamera::new(request.video());
    let timebase = Timebase::from_base(request.base());
    let pipeline = gst::Pipeline::with_name("camera");
    let bus = pipeline.bus().ok_or_else(|| CaptureError::internal("a pipeline without a bus"))?;
    let added = add_camera(&pipeline, &camera, timebase.running_time())?;
    let sink = gst_app::AppSink::builder().name("camera-out").max_buffers(MAX_WAITING).drop(true).build();
    configure_live_sink(&sink);
    accept_padded_lines(sink.upcast_ref())?;
    pipeline.add(&sink)?;
    added.output.link(&sink)?;
    timebase.apply_to(&pipeline);
    let name = camera.describe();
    let failure = || pop_error(&bus, |_| ()).map(|posted| device_error(&posted, &name, &name));
    let started = pipeline.set_state(gst::State::Playing);
    let result = match (started, failure()) {
        (Err(_), posted) => {
            Err(posted.unwrap_or_else(|| CaptureError::source(format!("the camera {name} does not start"))))
        }
        (Ok(_), Some(error)) => Err(error),
        (Ok(_), None) => Writer::new(request, output)?.run(&sink, &added, failure),
    };
    if result.is_ok() {
        set_null(&pipeline);
    }
    result
}

/// Writes pictures in the form that capture asked for.
struct Writer<'a> {
    output: &'a mut File,
    info: gst_video::VideoInfo,
    /// For a picture whose lines are padded.
    packed: Option<gst::Buffer>,
    has_format: bool,
}

impl<'a> Writer<'a> {
    fn new(request: &Request, output: &'a mut File) -> Result<Self, CaptureError> {
        let info = gst_video::VideoInfo::from_caps(&raw_video_caps(&request.video()))?;
        let packed = Some(gst::Buffer::with_size(info.size())?);
        Ok(Self { output, info, packed, has_format: false })
    }

    fn run(
        &mut self,
        sink: &gst_app::AppSink,
        camera: &Camera,
        failure: impl Fn() -> Option<CaptureError>,
    ) -> Result<(), CaptureError> {
        loop {
            if let Some(error) = failure() {
                return Err(error);
            }
            match sink.try_pull_sample(CHECK_INTERVAL) {
                // Capture is gone where it cannot be written.
                Some(sample) if self.write(&sample, camera)?.is_err() => return Ok(()),
                None if sink.is_eos() => return Err(CaptureError::source("the camera came to its end")),
                Some(_) | None => {}
            }
        }
    }

    /// Writes the picture of `sample`. The inner error is the pipe's.
    fn write(&mut self, sample: &gst::Sample, camera: &Camera) -> Result<std::io::Result<()>, CaptureError> {
        let (Some(buffer), Some(caps)) = (sample.buffer(), sample.caps()) else { return Ok(Ok(())) };
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let Some(at) = segment.and_then(|segment| segment.to_running_time(buffer.pts()?)) else { return Ok(Ok(())) };
        let given = gst_video::VideoInfo::from_caps(caps)?;
        if (given.width(), given.height()) != (self.info.width(), self.info.height()) {
            return Err(CaptureError::internal("the camera's picture has another size than asked for"));
        }
        if !self.has_format {
            self.has_format = true;
            let rate = Some(given.fps()).filter(|rate| rate.numer() > 0);
            let format = PictureFormat {
                rate: rate.map(|rate| (rate.numer(), rate.denom())),
                colorimetry: caps.structure(0).and_then(|structure| structure.get("colorimetry").ok()),
                mode: camera.current_mode(),
            };
            if let Err(error) = self.output.write_all(&format_record(&format)) {
                return Ok(Err(error));
            }
        }
        let picture = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &given)?;
        let size = self.info.size();
        let is_packed = picture.plane_stride() == self.info.stride() && picture.plane_offset() == self.info.offset();
        if is_packed && buffer.size() >= size {
            let map = buffer.map_readable()?;
            return Ok(self.send(at, &map[..size]));
        }
        let packed = self.packed.take().ok_or_else(|| CaptureError::internal("no memory for a picture"))?;
        let to = gst_video::VideoFrame::from_buffer_writable(packed, &self.info);
        let mut to = to.map_err(|_| CaptureError::internal("memory that cannot be written"))?;
        picture.copy(&mut to.as_mut_video_frame_ref())?;
        let packed = to.into_buffer();
        let sent = self.send(at, &packed.map_readable()?[..size]);
        self.packed = Some(packed);
        Ok(sent)
    }

    fn send(&mut self, at: gst::ClockTime, picture: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(picture.len()).map_err(std::io::Error::other)?;
        self.output.write_all(&picture_header(length, at))?;
        self.output.write_all(picture)
    }
}
