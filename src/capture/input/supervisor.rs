//! Keeps picture and sound coming: a thread that notices when camera or microphone give nothing any more, has a
//! stand-in sent, opens the device again when it is back, and gives up after the limit.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::source::{self, Source, SourceSpec};
use crate::capture::error::CaptureError;
use crate::capture::gst::CLOSE_TIMEOUT;
use crate::capture::gst::Timebase;
use crate::capture::guard_link::{EventSender, Lease};
use crate::capture::input::InputSwitch;
use crate::clock::Clock;
use crate::ipc::{CaptureDevice, FailureKind, FromCapture};
use monotonic::Monotonic;

/// Between two looks while all is well.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A device that gives nothing for this long is away: some pictures of a camera that gives 5 a second in the dark, and
/// half of the 2 s in which the stand-in has to be out.
const DATA_TIMEOUT: Duration = Duration::from_secs(1);
/// A device that gives nothing within this once a press opened it gives nothing at all; a USB camera needs up to 3 s.
const FIRST_DATA_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for one that comes back, which is then opened once more.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts to open a device that is away. Looking by name costs a system call, so that nothing more
/// elaborate than looking again (inotify, udev) is worth its code, and a node that is there before udev has set its
/// rights is met again too.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// Closings that hang before the device is given up: each holds a thread.
const MAX_HUNG_CLOSES: usize = 4;

/// The thread, owned. Dropping it closes the devices.
#[derive(Debug)]
pub(crate) struct DeviceSupervisor {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<Mutex<Option<CaptureError>>>,
}

impl Drop for DeviceSupervisor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What devices are kept by.
#[derive(Clone)]
pub(crate) struct DeviceContext {
    pub(crate) time: Timebase,
    pub(crate) lease: Arc<Lease>,
    pub(crate) event_sender: EventSender,
    pub(crate) clock: Clock,
    /// How long a session goes on without one of its devices.
    pub(crate) limit: Duration,
}

impl DeviceSupervisor {
    /// Opens the devices and keeps them.
    pub(crate) fn start(
        devices: Vec<(SourceSpec, Arc<InputSwitch>)>,
        context: &DeviceContext,
    ) -> Result<Self, CaptureError> {
        let (stop, stopped) = channel();
        let failure = Arc::new(Mutex::new(None));
        let mut supervised = Vec::new();
        for (spec, switch) in devices {
            supervised.push(SupervisedDevice::open(spec, switch, context.clone())?);
        }
        let last = failure.clone();
        let run = move || {
            if let Err(failure) = supervise(&mut supervised, &stopped) {
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                // The session's end is for the others to carry out.
                let _ = stopped.recv();
            }
            supervised.into_iter().flat_map(SupervisedDevice::close).for_each(|closed| {
                let _ = closed.recv_timeout(CLOSE_TIMEOUT);
            });
        };
        let thread = std::thread::Builder::new().name("devices".to_owned()).spawn(run);
        let thread = thread.map_err(|error| CaptureError::internal(format!("no thread: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread), failure })
    }

    /// Why the session cannot go on, if it cannot.
    pub(crate) fn check(&self) -> Result<(), CaptureError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

/// Looks after all of them until told to stop.
fn supervise(devices: &mut [SupervisedDevice], stopped: &Receiver<()>) -> Result<(), CaptureError> {
    loop {
        let mut pause = CHECK_INTERVAL;
        for device in &mut *devices {
            device.check()?;
            pause = pause.min(device.feed_fallback());
        }
        if !matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
            return Ok(());
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Opened for the first time; nothing came yet.
    Starting { since: Monotonic },
    /// It gives what it should; or it is suspected not to: a machine that stood still for a moment looks alike, so that
    /// a second look decides.
    Streaming { suspect: bool },
    /// It is away; the next attempt to open it is not before `retry_at`.
    Lost { since: Monotonic, retry_at: Monotonic },
}

/// One device.
struct SupervisedDevice {
    spec: SourceSpec,
    switch: Arc<InputSwitch>,
    context: DeviceContext,
    state: State,
    opening: Option<Receiver<Result<Source, CaptureError>>>,
    open: Option<Source>,
    /// When it was last asked to open.
    open_requested_at: Monotonic,
    closing: Vec<(Monotonic, Receiver<()>)>,
}

impl SupervisedDevice {
    fn open(spec: SourceSpec, switch: Arc<InputSwitch>, context: DeviceContext) -> Result<Self, CaptureError> {
        let open_requested_at = context.clock.now();
        let state = State::Starting { since: open_requested_at };
        let opening = source::open(&spec, &switch, &context.time, &context.lease)?;
        Ok(Self {
            spec,
            switch,
            context,
            state,
            opening: Some(opening),
            open: None,
            open_requested_at,
            closing: Vec::new(),
        })
    }

    /// Gives up what is open. Returns what tells when it is closed.
    fn close(mut self) -> Vec<Receiver<()>> {
        self.close_current();
        self.closing.into_iter().map(|(_, closed)| closed).collect()
    }

    fn close_current(&mut self) {
        // Where it is still being opened, that thread closes it when it finds nobody listening.
        self.opening = None;
        if let Some(source) = self.open.take() {
            self.closing.push((self.context.clock.now(), crate::capture::gst::close_detached(source.pipeline)));
        }
    }

    /// What went wrong with the present opening, if something did.
    fn take_error(&mut self) -> Option<CaptureError> {
        if let Some(opening) = &self.opening {
            match opening.try_recv() {
                Ok(Ok(source)) => {
                    if let Some(mode) = &source.mode {
                        self.context.event_sender.send(FromCapture::Camera { mode: mode.clone() });
                    }
                    self.open = Some(source);
                }
                Ok(Err(failure)) => {
                    self.opening = None;
                    return Some(failure);
                }
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => return Some(CaptureError::internal("a device's thread ended")),
            }
            self.opening = None;
        }
        self.open.as_ref().and_then(Source::take_error)
    }

    /// Looks once. An error ends the session.
    fn check(&mut self) -> Result<(), CaptureError> {
        let (error, last_sample_at) = (self.take_error(), self.switch.last_sample_at());
        // After what was heard: a picture that came meanwhile did not come in the future.
        let now = self.context.clock.now();
        if let (State::Starting { .. }, Some(_)) = (self.state, last_sample_at) {
            self.state = State::Streaming { suspect: false };
        }
        match self.state {
            State::Starting { since } => match error {
                Some(failure) => return Err(failure),
                None if now.duration_since(since) < FIRST_DATA_TIMEOUT => {}
                None if self.switch.device() == CaptureDevice::Camera => {
                    return Err(CaptureError::source(self.no_data_message()));
                }
                // The picture goes on air without it.
                None => self.mark_lost(now, self.no_data_message()),
            },
            State::Streaming { suspect } => {
                let silent = last_sample_at
                    .is_none_or(|at| now.duration_since(at) >= DATA_TIMEOUT.max(self.switch.interval() * 5 / 2));
                if let Some(failure) = error {
                    self.mark_lost(now, failure.message);
                } else if silent && suspect {
                    self.mark_lost(now, format!("{} gives nothing any more", self.spec.describe()));
                } else {
                    self.state = State::Streaming { suspect: silent };
                }
            }
            State::Lost { .. } if last_sample_at.is_some() => {
                self.state = State::Streaming { suspect: false };
                self.context.event_sender.send(FromCapture::DeviceRecovered { device: self.switch.device() });
            }
            State::Lost { since, .. } if now.duration_since(since) >= self.context.limit => {
                return Err(self.lost_limit_error());
            }
            State::Lost { since, retry_at } => self.retry_open(now, since, retry_at, error.as_ref()),
        }
        Ok(())
    }

    fn mark_lost(&mut self, now: Monotonic, why: String) {
        self.switch.switch_to_fallback();
        self.close_current();
        self.state = State::Lost { since: now, retry_at: now };
        self.context.event_sender.send(FromCapture::DeviceLost { device: self.switch.device(), why });
    }

    fn retry_open(&mut self, now: Monotonic, since: Monotonic, retry_at: Monotonic, error: Option<&CaptureError>) {
        let later = State::Lost { since, retry_at: now.saturating_add(RETRY_INTERVAL) };
        let open_but_silent = self.open.is_some() && now.duration_since(self.open_requested_at) >= REOPEN_TIMEOUT;
        if error.is_some() || open_but_silent {
            tracing::debug!(?error, "not back yet");
            self.close_current();
            self.state = later;
            return;
        }
        self.closing.retain(|(_, closed)| matches!(closed.try_recv(), Err(TryRecvError::Empty)));
        let all_closed = self.closing.iter().all(|(since, _)| now.duration_since(*since) >= CLOSE_TIMEOUT)
            && self.closing.len() < MAX_HUNG_CLOSES;
        let idle = self.opening.is_none() && self.open.is_none();
        if !idle || !all_closed || now < retry_at || !self.context.lease.is_valid() {
            return;
        }
        self.state = later;
        self.open_requested_at = now;
        if self.spec.may_exist() {
            match source::open(&self.spec, &self.switch, &self.context.time, &self.context.lease) {
                Ok(opening) => self.opening = Some(opening),
                Err(failure) => tracing::debug!("not back yet: {}", failure.message),
            }
        }
    }

    /// Sends the stand-in while the device is away. Returns when to look again.
    fn feed_fallback(&self) -> Duration {
        match self.state {
            State::Lost { .. } => {
                let now = self.context.time.running_time();
                Duration::from(self.switch.push_fallback(now).saturating_sub(now)).min(CHECK_INTERVAL)
            }
            State::Starting { .. } | State::Streaming { .. } => CHECK_INTERVAL,
        }
    }

    fn no_data_message(&self) -> String {
        let (device, patience) = (self.spec.describe(), FIRST_DATA_TIMEOUT.as_secs());
        format!("{device} was opened and gave nothing within {patience} s: unplug it and plug it in again")
    }

    fn lost_limit_error(&self) -> CaptureError {
        let kind = match self.switch.device() {
            CaptureDevice::Camera => FailureKind::CameraLost,
            CaptureDevice::Microphone => FailureKind::MicrophoneLost,
        };
        let (device, limit) = (self.spec.describe(), self.context.limit.as_secs());
        let message =
            format!("{device} was away for {limit} s ([capture] device-lost-limit): plug it in, then press again");
        CaptureError { kind, message }
    }
}

#[cfg(test)]
mod tests;
