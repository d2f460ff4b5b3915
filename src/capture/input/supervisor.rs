//! Keeps pictures and audio coming. A thread notices that a camera or a microphone gives no data, has the fallback
//! sent, opens the device again once it is back, and ends the session when that takes longer than the limit.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::source::{self, Source, SourceSpec};
use super::switch::InputSwitch;
use crate::capture::error::CaptureError;
use crate::capture::gst::{CLOSE_TIMEOUT, Timebase};
use crate::capture::guard_link::{EventSender, Lease};
use crate::clock::Clock;
use crate::ipc::{CaptureDevice, FailureKind, FromCapture};
use crate::sync::LockExt;
use crate::worker::{OnDrop, Stop, Worker};
use monotonic::Monotonic;

/// Between two checks of a device that gives data.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A device that gives no data for this long is lost. Some pictures of a camera that gives 5 a second in the dark, and
/// half of the 2 s within which the fallback has to be sent.
const DATA_TIMEOUT: Duration = Duration::from_secs(1);
/// The same for one that a press has just opened; a USB camera needs up to 3 s.
const FIRST_DATA_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for one that was opened again. After that it is closed, and opened once more.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts to open a lost device. To look for its node costs a system call, which is why there is no
/// inotify or udev here. A node that udev has not given its permissions yet is found at the next attempt.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// The same for one that needs a process for each attempt: that costs a board some tenths of a second of its processor.
const PROCESS_RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// With so many closings that hang, each in a thread of its own, a device is not opened again.
const MAX_HUNG_CLOSES: usize = 4;

/// The supervising thread. Dropping it closes the devices.
#[derive(Debug)]
pub(crate) struct DeviceSupervisor {
    _worker: Worker,
    error: Arc<Mutex<Option<CaptureError>>>,
}

/// What the devices of a session have in common.
#[derive(Clone)]
pub(crate) struct DeviceContext {
    pub(crate) timebase: Timebase,
    pub(crate) lease: Arc<Lease>,
    pub(crate) event_sender: EventSender,
    pub(crate) clock: Clock,
    /// How long a session goes on without one of its devices.
    pub(crate) lost_limit: Duration,
}

impl DeviceSupervisor {
    /// Opens the devices and supervises them.
    pub(crate) fn start(
        devices: Vec<(SourceSpec, Arc<InputSwitch>)>,
        context: &DeviceContext,
    ) -> Result<Self, CaptureError> {
        let error = Arc::new(Mutex::new(None));
        let mut supervised = Vec::new();
        for (spec, switch) in devices {
            supervised.push(SupervisedDevice::open(spec, switch, context.clone())?);
        }
        let last_error = error.clone();
        let work = move |stop: &Stop| {
            if let Err(error) = supervise(&mut supervised, stop) {
                *last_error.lock_unpoisoned() = Some(error);
                // Whoever polls `check` ends the session.
                stop.wait();
            }
            supervised.into_iter().flat_map(SupervisedDevice::close).for_each(|closed| {
                let _ = closed.recv_timeout(CLOSE_TIMEOUT);
            });
        };
        Ok(Self { _worker: Worker::spawn("devices", OnDrop::Join, work)?, error })
    }

    /// Why the session cannot go on, if it cannot.
    pub(crate) fn check(&self) -> Result<(), CaptureError> {
        self.error.lock_unpoisoned().clone().map_or(Ok(()), Err)
    }
}

/// Supervises all devices until `stop`, or until one of them has been lost for too long.
fn supervise(devices: &mut [SupervisedDevice], stop: &Stop) -> Result<(), CaptureError> {
    loop {
        let mut pause = CHECK_INTERVAL;
        for device in &mut *devices {
            device.check()?;
            pause = pause.min(device.feed_fallback());
        }
        if stop.wait_timeout(pause) {
            return Ok(());
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Opened for the first time, without data yet.
    Starting { since: Monotonic },
    /// Gives data. `suspect`: the last check found none for too long. A machine that stalled looks the same, so that
    /// only the next check decides.
    Streaming { suspect: bool },
    /// Gives no data.
    Lost { since: Monotonic },
}

/// One device.
struct SupervisedDevice {
    spec: SourceSpec,
    switch: Arc<InputSwitch>,
    context: DeviceContext,
    state: State,
    opening: Option<Receiver<Result<Source, CaptureError>>>,
    open: Option<Source>,
    /// When it was last to be opened.
    open_requested_at: Monotonic,
    /// Not opened again before this.
    retry_at: Monotonic,
    closing: Vec<(Monotonic, Receiver<()>)>,
}

impl SupervisedDevice {
    fn open(spec: SourceSpec, switch: Arc<InputSwitch>, context: DeviceContext) -> Result<Self, CaptureError> {
        let now = context.clock.now();
        let opening = Some(source::open(&spec, &switch, &context.timebase, &context.lease)?);
        let (state, closing) = (State::Starting { since: now }, Vec::new());
        let (open_requested_at, retry_at) = (now, now);
        Ok(Self { spec, switch, context, state, opening, open: None, open_requested_at, retry_at, closing })
    }

    /// Closes the device. Each receiver gets a message when one of its pipelines is closed.
    fn close(mut self) -> Vec<Receiver<()>> {
        self.close_current();
        self.closing.into_iter().map(|(_, closed)| closed).collect()
    }

    fn close_current(&mut self) {
        // One that is still being opened is closed by its thread, which finds no receiver.
        self.opening = None;
        if let Some(source) = self.open.take() {
            self.closing.push((self.context.clock.now(), source.close()));
        }
    }

    /// The first error of what is open or being opened.
    fn take_error(&mut self) -> Option<CaptureError> {
        if let Some(opening) = &self.opening {
            match opening.try_recv() {
                Ok(Ok(source)) => self.open = Some(source),
                Ok(Err(error)) => {
                    self.opening = None;
                    return Some(error);
                }
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => return Some(CaptureError::internal("a device's thread ended")),
            }
            self.opening = None;
        }
        let source = self.open.as_mut()?;
        if let Some(mode) = source.take_mode() {
            self.context.event_sender.send(FromCapture::Camera { mode });
        }
        source.take_error()
    }

    /// Checks it once. An error ends the session.
    fn check(&mut self) -> Result<(), CaptureError> {
        let (error, last_sample_at) = (self.take_error(), self.switch.last_sample_at());
        // Read after the sample's time, which would otherwise be in the future.
        let now = self.context.clock.now();
        if let (State::Starting { .. }, Some(_)) = (self.state, last_sample_at) {
            self.state = State::Streaming { suspect: false };
        }
        match self.state {
            State::Starting { since } => match error {
                Some(error) if self.has_crashed() && now.duration_since(since) < FIRST_DATA_TIMEOUT => {
                    tracing::warn!("{}; it is started again", error.message);
                    self.retry_open(now, Some(&error));
                }
                Some(error) => return Err(error),
                None if now.duration_since(since) < FIRST_DATA_TIMEOUT => self.retry_crashed(now),
                None if self.switch.device() == CaptureDevice::Camera => {
                    return Err(CaptureError::source(self.no_data_message()));
                }
                // Without a microphone the stream starts all the same.
                None => self.mark_lost(now, self.no_data_message()),
            },
            State::Streaming { suspect } => {
                let timeout = DATA_TIMEOUT.max(self.switch.interval() * 5 / 2);
                let silent = last_sample_at.is_none_or(|at| now.duration_since(at) >= timeout);
                if let Some(error) = error {
                    self.mark_lost(now, error.message);
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
            State::Lost { since } if now.duration_since(since) >= self.context.lost_limit => {
                return Err(self.lost_limit_error());
            }
            State::Lost { .. } => self.retry_open(now, error.as_ref()),
        }
        Ok(())
    }

    fn mark_lost(&mut self, now: Monotonic, why: String) {
        self.switch.switch_to_fallback();
        self.close_current();
        (self.state, self.retry_at) = (State::Lost { since: now }, now);
        self.context.event_sender.send(FromCapture::DeviceLost { device: self.switch.device(), why });
    }

    /// Whether what is open ended in a way that says nothing about the device.
    fn has_crashed(&self) -> bool {
        self.open.as_ref().is_some_and(Source::has_crashed)
    }

    /// Opens a device again that has crashed before its first data, or hangs there.
    fn retry_crashed(&mut self, now: Monotonic) {
        if self.opening.is_none() && self.spec.needs_process() {
            self.retry_open(now, None);
        }
    }

    fn retry_interval(&self) -> Duration {
        if self.spec.needs_process() { PROCESS_RETRY_INTERVAL } else { RETRY_INTERVAL }
    }

    fn retry_open(&mut self, now: Monotonic, error: Option<&CaptureError>) {
        let open_but_silent = self.open.is_some() && now.duration_since(self.open_requested_at) >= REOPEN_TIMEOUT;
        if error.is_some() || open_but_silent {
            tracing::debug!(trouble = ?error, "not back yet");
            self.close_current();
            self.retry_at = now.saturating_add(self.retry_interval());
            return;
        }
        self.closing.retain(|(_, closed)| matches!(closed.try_recv(), Err(TryRecvError::Empty)));
        // Those that hang do not count, unless there are too many of them.
        let all_closed = self.closing.iter().all(|(since, _)| now.duration_since(*since) >= CLOSE_TIMEOUT)
            && self.closing.len() < MAX_HUNG_CLOSES;
        let is_idle = self.opening.is_none() && self.open.is_none();
        if !is_idle || !all_closed || now < self.retry_at || !self.context.lease.is_valid() {
            return;
        }
        self.retry_at = now.saturating_add(self.retry_interval());
        self.open_requested_at = now;
        if self.spec.may_exist() {
            match source::open(&self.spec, &self.switch, &self.context.timebase, &self.context.lease) {
                Ok(opening) => self.opening = Some(opening),
                Err(error) => tracing::debug!("not back yet: {}", error.message),
            }
        }
    }

    /// Sends the fallback while the device is lost. Returns when to check again.
    fn feed_fallback(&self) -> Duration {
        match self.state {
            State::Lost { .. } => {
                let now = self.context.timebase.running_time();
                Duration::from(self.switch.push_fallback(now).saturating_sub(now)).min(CHECK_INTERVAL)
            }
            State::Starting { .. } | State::Streaming { .. } => CHECK_INTERVAL,
        }
    }

    fn no_data_message(&self) -> String {
        let (device, timeout) = (self.spec.describe(), FIRST_DATA_TIMEOUT.as_secs());
        format!("{device} was opened and gave nothing within {timeout} s: unplug it and plug it in again")
    }

    fn lost_limit_error(&self) -> CaptureError {
        let kind = match self.switch.device() {
            CaptureDevice::Camera => FailureKind::CameraLost,
            CaptureDevice::Microphone => FailureKind::MicrophoneLost,
        };
        let (device, limit) = (self.spec.describe(), self.context.lost_limit.as_secs());
        let message =
            format!("{device} was away for {limit} s ([capture] device-lost-limit): plug it in, then press again");
        CaptureError { kind, message }
    }
}

#[cfg(test)]
mod tests;
