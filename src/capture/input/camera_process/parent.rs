//! Capture's side of a camera's process. One thread owns the child: it starts it, reads from it, kills and reaps it.
//! Nothing else of capture waits for it.

use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::super::session_camera::SessionCamera;
use super::super::switch::InputSwitch;
use super::protocol::{PictureFormat, Record, RecordReader, Request, Violation};
use crate::capture::error::CaptureError;
use crate::capture::gst::Timebase;
use crate::capture::guard_link::Lease;
use crate::capture::media::{FrameDecimator, raw_video_caps};
use crate::config::Video;
use crate::ipc::{WHY, clean, self_command};
use crate::sync::LockExt;
use crate::worker;

/// How often the lease is checked while the child is silent, in nanoseconds.
const CHECK_INTERVAL: i64 = 100_000_000;
/// What the pipe holds, in bytes: the most that the kernel gives everybody (`/proc/sys/fs/pipe-max-size`). More of it
/// means fewer changes between the two processes for each picture.
const PIPE_SIZE: usize = 1024 * 1024;
/// Pictures that are in use at once: the encoder keeps some, the slate and the switch one each. With more the encoder
/// hangs, and what comes is skipped.
const MAX_PICTURES: u32 = 16;
/// What of its environment capture hands on: GStreamer's and libcamera's settings, and where the log goes. Nothing of
/// the box's, which may hold secrets (`${NAME}` in the configuration).
const ENVIRONMENT: [&str; 4] = ["GST_", "LIBCAMERA_", "TALLYBOX_LOG", "JOURNAL_STREAM"];

type Picture = gst::buffer::MappedBuffer<gst::buffer::Writable>;

/// A camera's process. Dropping it kills the process.
#[derive(Debug)]
pub(in crate::capture::input) struct CameraProcess {
    state: Arc<Mutex<State>>,
    /// Gets an end when the process was reaped.
    ended: Option<Receiver<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// To kill it by; `None` before it was started, and once it was reaped.
    process: Option<OwnedFd>,
    is_closing: bool,
    has_crashed: bool,
    error: Option<CaptureError>,
    mode: Option<String>,
}

impl State {
    fn kill(&self) {
        if let Some(process) = &self.process
            && let Err(error) = pidfd_send_signal(process, Signal::KILL)
        {
            // Gone already; its thread reaps it.
            tracing::debug!(%error, "the camera's process is not killed");
        }
    }
}

/// How reading from the child ended.
enum End {
    /// It is to be closed, or consent has ended.
    Closing,
    /// It told why it cannot go on.
    Failed(String),
    /// It ended, or closed its output, without a word.
    Silent,
    /// It said what it must not say.
    Violation(Violation),
    Broken(std::io::Error),
}

/// What the child's thread works with.
struct Attendant {
    state: Arc<Mutex<State>>,
    name: String,
    video: Video,
    switch: Arc<InputSwitch>,
    generation: u32,
    timebase: Timebase,
    lease: Arc<Lease>,
}

/// This program in the camera's role. The kernel does not look the program up again: whatever an upgrade has put in
/// its place, both are of one version.
pub(in crate::capture::input) fn camera_command() -> Command {
    let mut command = self_command();
    command.args(["camera", "--parent", &std::process::id().to_string()]).env_clear();
    let own = std::env::vars_os();
    command.envs(
        own.filter(|(name, _)| ENVIRONMENT.iter().any(|kept| name.as_encoded_bytes().starts_with(kept.as_bytes()))),
    );
    command
}

impl CameraProcess {
    /// Starts `command`, whose pictures go into `switch` while `lease` is valid. Its errors come later.
    ///
    /// # Errors
    /// The last process of this camera has not ended.
    pub(in crate::capture::input) fn start(
        command: Command,
        camera: &SessionCamera,
        switch: &Arc<InputSwitch>,
        timebase: &Timebase,
        lease: &Arc<Lease>,
    ) -> Result<Self, CaptureError> {
        let name = format!("the camera {}", camera.describe());
        let occupied = camera.process_slot().occupy();
        let occupied =
            occupied.ok_or_else(|| CaptureError::source(format!("{name}: its last process has not ended")))?;
        let state = Arc::new(Mutex::new(State::default()));
        let attendant = Attendant {
            state: state.clone(),
            name,
            video: camera.video().clone(),
            switch: switch.clone(),
            generation: switch.next_generation(),
            timebase: timebase.clone(),
            lease: lease.clone(),
        };
        let (done, ended) = channel();
        // The kernel ties the child to the thread that starts it (`PR_SET_PDEATHSIG`): this one, which reaps it.
        let work = move || {
            attendant.run(command);
            drop(occupied);
            drop(done);
        };
        worker::detached("camera", work)?;
        Ok(Self { state, ended: Some(ended) })
    }

    /// Why there are no more pictures; once.
    pub(in crate::capture::input) fn take_error(&self) -> Option<CaptureError> {
        self.state.lock_unpoisoned().error.take()
    }

    /// Whether it ended without telling why. Another one may do better.
    pub(in crate::capture::input) fn has_crashed(&self) -> bool {
        self.state.lock_unpoisoned().has_crashed
    }

    /// The camera's mode in words, when it is new.
    pub(in crate::capture::input) fn take_mode(&self) -> Option<String> {
        self.state.lock_unpoisoned().mode.take()
    }

    /// Kills it. The receiver's sender is gone when it was reaped.
    pub(in crate::capture::input) fn close(mut self) -> Receiver<()> {
        self.ended.take().unwrap_or_else(|| channel().1)
    }
}

impl Drop for CameraProcess {
    fn drop(&mut self) {
        let mut state = self.state.lock_unpoisoned();
        state.is_closing = true;
        state.kill();
    }
}

impl Attendant {
    fn run(self, command: Command) {
        let Self { state, name, .. } = &self;
        let mut child = match self.spawn(command) {
            Ok(Some(child)) => child,
            Ok(None) => return,
            Err(error) => {
                let error = CaptureError::internal(format!("{name} has no process: {error}"));
                state.lock_unpoisoned().error = Some(error);
                return;
            }
        };
        let end = child.stdout.take().map_or(End::Silent, |output| self.read(output));
        state.lock_unpoisoned().kill();
        // However it ended, it holds the camera until it is gone.
        let status = child.wait();
        let mut state = state.lock_unpoisoned();
        state.process = None;
        let (what, has_crashed) = match end {
            End::Closing => return,
            End::Failed(why) => (why, false),
            End::Silent => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                (format!("{name} failed: its process ended ({status})"), true)
            }
            End::Violation(violation) => (format!("{name} failed: its process sent {violation}"), true),
            End::Broken(error) => (format!("{name} failed: nothing can be read from its process: {error}"), true),
        };
        state.has_crashed = has_crashed;
        state.error = Some(CaptureError::source(what));
    }

    /// Starts the child while consent holds; `None`: it is not wanted any more.
    fn spawn(&self, mut command: Command) -> std::io::Result<Option<Child>> {
        if !self.lease.is_valid() {
            return Ok(None);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let started = || -> std::io::Result<()> {
            let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            let pid = pid.ok_or_else(|| std::io::Error::other("a process without an id"))?;
            let process = pidfd_open(pid, PidfdFlags::empty())?;
            let mut state = self.state.lock_unpoisoned();
            state.process = Some(process);
            if state.is_closing {
                state.kill();
            }
            drop(state);
            // Below the size of a pipe: it is written at once. A child that is gone already is noticed by reading.
            let request = Request::new(&self.video, self.timebase.base());
            if let Some(input) = &child.stdin {
                let _ = request.write(input);
            }
            Ok(())
        };
        match started() {
            Ok(()) => Ok(Some(child)),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Reads until the child's end, or the session's.
    fn read(&self, mut output: ChildStdout) -> End {
        if let Err(error) = rustix::pipe::fcntl_setpipe_size(&output, PIPE_SIZE) {
            tracing::debug!(%error, "the camera's pipe stays small");
        }
        let mut pictures = match Pictures::new(&self.video) {
            Ok(pictures) => pictures,
            Err(error) => return End::Broken(std::io::Error::other(error.message)),
        };
        let mut reader = RecordReader::<Picture>::new(pictures.size);
        loop {
            if self.state.lock_unpoisoned().is_closing || !self.lease.is_valid() {
                return End::Closing;
            }
            let within = Timespec { tv_sec: 0, tv_nsec: CHECK_INTERVAL };
            match poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&within)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return End::Broken(error.into()),
            }
            let read = match std::io::Read::read(&mut output, reader.space()) {
                Ok(0) => return End::Silent,
                Ok(read) => read,
                Err(error) => return End::Broken(error),
            };
            match reader.advance(read, || pictures.allocate()) {
                Ok(None) => {}
                Ok(Some(Record::Failure(why))) => return End::Failed(why),
                Ok(Some(Record::Format(format))) => self.apply_format(&mut pictures, &format),
                Ok(Some(Record::Picture(at, picture))) => self.push(&mut pictures, at, picture),
                Ok(Some(Record::Skipped)) => tracing::debug!("a picture is skipped: too many are in use"),
                Err(violation) => return End::Violation(violation),
            }
        }
    }

    fn apply_format(&self, pictures: &mut Pictures, format: &PictureFormat) {
        pictures.caps = format.apply_to(raw_video_caps(&self.video), self.video.fps);
        if let Some(mode) = &format.mode {
            let mode = clean(mode, WHY);
            tracing::info!("{} gives {mode}", self.name);
            self.state.lock_unpoisoned().mode = Some(mode);
        }
    }

    fn push(&self, pictures: &mut Pictures, at: gst::ClockTime, picture: Picture) {
        // One from the future would keep away all that come before it.
        let at = at.min(self.timebase.running_time());
        if !pictures.decimator.should_keep(at) {
            return;
        }
        let mut buffer = picture.into_buffer();
        buffer.make_mut().set_pts(at);
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let sample = gst::Sample::builder().buffer(&buffer).caps(&pictures.caps).segment(&segment).build();
        drop(buffer);
        self.switch.push_sample(self.generation, &sample);
    }
}

/// What becomes of the child's bytes.
struct Pictures {
    pool: gst::BufferPool,
    /// Bytes of one.
    size: usize,
    caps: gst::Caps,
    /// The child has dropped what is too much already, if it is not faulty.
    decimator: FrameDecimator,
}

impl Pictures {
    fn new(video: &Video) -> Result<Self, CaptureError> {
        let caps = raw_video_caps(video);
        let size = gst_video::VideoInfo::from_caps(&caps)?.size();
        let bytes = u32::try_from(size).map_err(|_| CaptureError::internal("a picture that is too large"))?;
        let pool = gst::BufferPool::new();
        let mut config = pool.config();
        config.set_params(Some(&caps), bytes, 0, MAX_PICTURES);
        pool.set_config(config)?;
        pool.set_active(true)?;
        Ok(Self { pool, size, caps, decimator: FrameDecimator::capped(video.fps, video.fps) })
    }

    fn allocate(&self) -> Option<Picture> {
        let at_once = gst::BufferPoolAcquireParams::with_flags(gst::BufferPoolAcquireFlags::DONTWAIT);
        self.pool.acquire_buffer(Some(&at_once)).ok()?.into_mapped_buffer_writable().ok()
    }
}

impl Drop for Pictures {
    fn drop(&mut self) {
        // What is in use elsewhere is freed when it comes back.
        let _ = self.pool.set_active(false);
    }
}
