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
use crate::capture::input::switch::InputSwitch;
use crate::clock::Clock;
use crate::ipc::{CaptureDevice, FailureKind, FromCapture};
use monotonic::Monotonic;

/// Between two looks while all is well.
const LOOK: Duration = Duration::from_millis(100);
/// A device that gives nothing for this long is away: some pictures of a camera that gives 5 a second in the dark, and
/// half of the 2 s in which the stand-in has to be out.
const SILENT: Duration = Duration::from_secs(1);
/// A device that gives nothing within this once a press opened it gives nothing at all; a USB camera needs up to 3 s.
const FIRST: Duration = Duration::from_secs(10);
/// The same for one that comes back, which is then opened once more.
const ONCE_MORE: Duration = Duration::from_secs(5);
/// Between two attempts to open a device that is away. Looking by name costs a system call, so that nothing more
/// elaborate than looking again (inotify, udev) is worth its code, and a node that is there before udev has set its
/// rights is met again too.
const AGAIN: Duration = Duration::from_millis(250);
/// Closings that hang before the device is given up: each holds a thread.
const HANGING: usize = 4;

/// The thread, owned. Dropping it closes the devices.
#[derive(Debug)]
pub(crate) struct DeviceSupervisor {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    ended: Arc<Mutex<Option<CaptureError>>>,
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
        rules: &DeviceContext,
    ) -> Result<Self, CaptureError> {
        let (stop, stopped) = channel();
        let ended = Arc::new(Mutex::new(None));
        let mut kept = Vec::new();
        for (origin, lane) in devices {
            kept.push(SupervisedDevice::open(origin, lane, rules.clone())?);
        }
        let last = ended.clone();
        let run = move || {
            if let Err(failure) = keep(&mut kept, &stopped) {
                *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                // The session's end is for the others to carry out.
                let _ = stopped.recv();
            }
            kept.into_iter().flat_map(SupervisedDevice::close).for_each(|closed| {
                let _ = closed.recv_timeout(CLOSE_TIMEOUT);
            });
        };
        let thread = std::thread::Builder::new().name("devices".to_owned()).spawn(run);
        let thread = thread.map_err(|error| CaptureError::internal(format!("no thread: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread), ended })
    }

    /// Why the session cannot go on, if it cannot.
    pub(crate) fn check(&self) -> Result<(), CaptureError> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

/// Looks after all of them until told to stop.
fn keep(kept: &mut [SupervisedDevice], stopped: &Receiver<()>) -> Result<(), CaptureError> {
    loop {
        let mut pause = LOOK;
        for device in &mut *kept {
            device.look()?;
            pause = pause.min(device.stand_in());
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
    There { suspected: bool },
    /// It is away; the next attempt to open it is not before `again`.
    Away { since: Monotonic, again: Monotonic },
}

/// One device.
struct SupervisedDevice {
    origin: SourceSpec,
    lane: Arc<InputSwitch>,
    rules: DeviceContext,
    state: State,
    opening: Option<Receiver<Result<Source, CaptureError>>>,
    open: Option<Source>,
    /// When it was last asked to open.
    asked: Monotonic,
    closing: Vec<(Monotonic, Receiver<()>)>,
}

impl SupervisedDevice {
    fn open(origin: SourceSpec, lane: Arc<InputSwitch>, rules: DeviceContext) -> Result<Self, CaptureError> {
        let asked = rules.clock.now();
        let state = State::Starting { since: asked };
        let opening = source::open(&origin, &lane, &rules.time, &rules.lease)?;
        Ok(Self { origin, lane, rules, state, opening: Some(opening), open: None, asked, closing: Vec::new() })
    }

    /// Gives up what is open. Returns what tells when it is closed.
    fn close(mut self) -> Vec<Receiver<()>> {
        self.give_up();
        self.closing.into_iter().map(|(_, closed)| closed).collect()
    }

    fn give_up(&mut self) {
        // Where it is still being opened, that thread closes it when it finds nobody listening.
        self.opening = None;
        if let Some(source) = self.open.take() {
            self.closing.push((self.rules.clock.now(), crate::capture::gst::close_detached(source.pipeline)));
        }
    }

    /// What went wrong with the present opening, if something did.
    fn trouble(&mut self) -> Option<CaptureError> {
        if let Some(opening) = &self.opening {
            match opening.try_recv() {
                Ok(Ok(source)) => {
                    if let Some(mode) = &source.mode {
                        self.rules.event_sender.send(FromCapture::Camera { mode: mode.clone() });
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
        self.open.as_ref().and_then(Source::trouble)
    }

    /// Looks once. An error ends the session.
    fn look(&mut self) -> Result<(), CaptureError> {
        let (trouble, heard) = (self.trouble(), self.lane.heard());
        // After what was heard: a picture that came meanwhile did not come in the future.
        let now = self.rules.clock.now();
        if let (State::Starting { .. }, Some(_)) = (self.state, heard) {
            self.state = State::There { suspected: false };
        }
        match self.state {
            State::Starting { since } => match trouble {
                Some(failure) => return Err(failure),
                None if now.duration_since(since) < FIRST => {}
                None if self.lane.device() == CaptureDevice::Camera => return Err(CaptureError::source(self.never())),
                // The picture goes on air without it.
                None => self.leave(now, self.never()),
            },
            State::There { suspected } => {
                let silent =
                    heard.is_none_or(|heard| now.duration_since(heard) >= SILENT.max(self.lane.interval() * 5 / 2));
                if let Some(failure) = trouble {
                    self.leave(now, failure.message);
                } else if silent && suspected {
                    self.leave(now, format!("{} gives nothing any more", self.origin.described()));
                } else {
                    self.state = State::There { suspected: silent };
                }
            }
            State::Away { .. } if heard.is_some() => {
                self.state = State::There { suspected: false };
                self.rules.event_sender.send(FromCapture::DeviceRecovered { device: self.lane.device() });
            }
            State::Away { since, .. } if now.duration_since(since) >= self.rules.limit => return Err(self.too_long()),
            State::Away { since, again } => self.try_again(now, since, again, trouble.as_ref()),
        }
        Ok(())
    }

    fn leave(&mut self, now: Monotonic, why: String) {
        self.lane.leave();
        self.give_up();
        self.state = State::Away { since: now, again: now };
        self.rules.event_sender.send(FromCapture::DeviceLost { device: self.lane.device(), why });
    }

    fn try_again(&mut self, now: Monotonic, since: Monotonic, again: Monotonic, trouble: Option<&CaptureError>) {
        let later = State::Away { since, again: now.saturating_add(AGAIN) };
        let dumb = self.open.is_some() && now.duration_since(self.asked) >= ONCE_MORE;
        if trouble.is_some() || dumb {
            tracing::debug!(?trouble, "not back yet");
            self.give_up();
            self.state = later;
            return;
        }
        self.closing.retain(|(_, closed)| matches!(closed.try_recv(), Err(TryRecvError::Empty)));
        let shut = self.closing.iter().all(|(begun, _)| now.duration_since(*begun) >= CLOSE_TIMEOUT)
            && self.closing.len() < HANGING;
        let idle = self.opening.is_none() && self.open.is_none();
        if !idle || !shut || now < again || !self.rules.lease.is_valid() {
            return;
        }
        self.state = later;
        self.asked = now;
        if self.origin.may_be_there() {
            match source::open(&self.origin, &self.lane, &self.rules.time, &self.rules.lease) {
                Ok(opening) => self.opening = Some(opening),
                Err(failure) => tracing::debug!("not back yet: {}", failure.message),
            }
        }
    }

    /// Sends the stand-in while the device is away. Returns when to look again.
    fn stand_in(&self) -> Duration {
        match self.state {
            State::Away { .. } => {
                let now = self.rules.time.running_time();
                Duration::from(self.lane.fill(now).saturating_sub(now)).min(LOOK)
            }
            State::Starting { .. } | State::There { .. } => LOOK,
        }
    }

    fn never(&self) -> String {
        let (device, patience) = (self.origin.described(), FIRST.as_secs());
        format!("{device} was opened and gave nothing within {patience} s: unplug it and plug it in again")
    }

    fn too_long(&self) -> CaptureError {
        let kind = match self.lane.device() {
            CaptureDevice::Camera => FailureKind::CameraLost,
            CaptureDevice::Microphone => FailureKind::MicrophoneLost,
        };
        let (device, limit) = (self.origin.described(), self.rules.limit.as_secs());
        let message =
            format!("{device} was away for {limit} s ([capture] device-lost-limit): plug it in, then press again");
        CaptureError { kind, message }
    }
}

#[cfg(test)]
mod tests;
