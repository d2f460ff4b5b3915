//! Capture's end of the capture socket. A thread that does nothing but read from the guard ends the process when the
//! guard is gone, silent or breaks the protocol, whatever the rest of the process does.

mod lease;
mod stable_text;

use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::exit::Exit;
use crate::ipc::{
    CaptureEnd, FromCapture, IpcConnection, LEASE_DURATION, LeaseState, Purpose, SessionValues, StateInForce,
    ToCapture, Values,
};
use crate::runtime::{self, ShutdownSignals};
use crate::sync::LockExt;
use monotonic::Monotonic;

pub(crate) use lease::Lease;
pub(crate) use stable_text::stabilize;
use stable_text::stabilize_message;

/// How long the pipelines may take to close in order. After that the kernel closes the devices, with the process. It is
/// half of the 300 ms after which the guard kills the process.
const CLOSE_GRACE: Duration = Duration::from_millis(150);

/// Events that wait for a busy guard. Whoever sends one more waits with them.
const MAX_QUEUED_EVENTS: usize = 64;

/// What the guard's start allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// The session's number.
    pub(crate) session: u64,
    /// Whether the microphone may be opened.
    pub(crate) audio: bool,
    pub(crate) purpose: Purpose,
    /// Hash of the configuration that it is for.
    pub(crate) config_hash: String,
    /// What of that is not from files.
    pub(crate) values: Values,
    /// What commands set over all that.
    pub(crate) commands: SessionValues,
    /// The picture's highest bitrate in kbit/s.
    pub(crate) bitrate_kbps: u32,
}

/// The connection to the guard.
pub(crate) struct GuardLink {
    lease: Arc<Lease>,
    starts: Mutex<Receiver<Start>>,
    stops: Mutex<Receiver<()>>,
    events: mpsc::Sender<FromCapture>,
    finished: Arc<Notify>,
    closed: Sender<()>,
    thread: JoinHandle<()>,
}

/// Sends events to the guard, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct EventSender(mpsc::Sender<FromCapture>);

impl EventSender {
    /// One whose events a test receives.
    #[cfg(test)]
    pub(crate) fn with_receiver() -> (Self, mpsc::Receiver<FromCapture>) {
        let (sender, receiver) = mpsc::channel(1 << 20);
        (Self(sender), receiver)
    }

    /// Waits while the guard is busy. A guard that does not read for 2 s ends the process.
    pub(crate) fn send(&self, event: FromCapture) {
        // It fails only once the guard's thread is gone, which ends the process.
        let _ = self.0.blocking_send(stabilize_message(event));
    }
}

impl GuardLink {
    /// Sends hello, and reads from now on. `left_open` counts the sessions that servers would be left with.
    pub(crate) fn open(stream: UnixStream, clock: Clock, left_open: fn() -> usize) -> Result<Self, Exit> {
        let broken = |error: std::io::Error| Exit::software(format!("the guard's connection cannot be used: {error}"));
        stream.set_nonblocking(true).map_err(broken)?;
        let lease = Arc::new(Lease::new(clock));
        let ((start, starts), (stop, stops), (closed, all_closed)) = (channel(), channel(), channel());
        let (events, outbox) = mpsc::channel(MAX_QUEUED_EVENTS);
        let finished = Arc::new(Notify::new());
        let reader = Reader { clock, lease: lease.clone(), start, stop, finished: finished.clone(), left_open };
        let thread = std::thread::Builder::new()
            .name("door".to_owned())
            .spawn(move || {
                reader.run(stream, outbox, &all_closed);
                exit_process();
            })
            .map_err(broken)?;
        Ok(Self { lease, starts: Mutex::new(starts), stops: Mutex::new(stops), events, finished, closed, thread })
    }

    pub(crate) fn lease(&self) -> Arc<Lease> {
        self.lease.clone()
    }

    pub(crate) fn event_sender(&self) -> EventSender {
        EventSender(self.events.clone())
    }

    pub(crate) fn send(&self, event: FromCapture) {
        self.event_sender().send(event);
    }

    /// Waits for the guard's start. `None`: it ended before that.
    pub(crate) fn wait_for_start(&self) -> Option<Start> {
        self.starts.lock_unpoisoned().recv().ok()
    }

    /// Waits for the end of consent, for at most `timeout`. Returns whether it has ended.
    pub(crate) fn wait_for_stop(&self, timeout: Duration) -> bool {
        match self.stops.lock_unpoisoned().recv_timeout(timeout) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }

    /// Ends the process, in which all is closed, as soon as the guard has the events that were sent. A thread that
    /// hangs in a driver may keep an [`EventSender`] for ever: that is not waited for.
    pub(crate) fn finish(self) {
        self.lease.revoke();
        let _ = self.closed.send(());
        self.finished.notify_one();
        let _ = self.thread.join();
    }
}

/// Ends the process at once. Nothing that hangs elsewhere can keep a camera open, nor can an exit handler of a library.
/// The unit counts this signal as success; the guard goes by the events that it got before.
fn exit_process() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// What the guard's thread works with.
struct Reader {
    clock: Clock,
    lease: Arc<Lease>,
    start: Sender<Start>,
    stop: Sender<()>,
    finished: Arc<Notify>,
    left_open: fn() -> usize,
}

impl Reader {
    /// Reads until consent ends, and then waits until all is closed, for at most [`CLOSE_GRACE`].
    fn run(self, stream: UnixStream, outbox: mpsc::Receiver<FromCapture>, all_closed: &Receiver<()>) {
        let runtime = match runtime::build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "no runtime");
                return;
            }
        };
        let Self { clock, lease, start, stop, finished, left_open } = self;
        let ended = runtime.block_on(async { serve(stream, outbox, clock, &lease, start, &finished).await });
        lease.revoke();
        if let Err(reason) = ended {
            tracing::info!("going dark: {reason}");
        }
        let _ = stop.send(());
        let _ = all_closed.recv_timeout(CLOSE_GRACE);
        let left = left_open();
        if left > 0 {
            // Devices close, and this process ends, whatever a server does.
            tracing::warn!(
                "capture ends before {left} WHIP session(s) are deleted: the server keeps them until it misses us"
            );
        }
    }
}

/// Serves the connection. `Ok`: capture itself is done, and the guard has all events. `Err`: why consent has ended.
async fn serve(
    stream: UnixStream,
    mut outbox: mpsc::Receiver<FromCapture>,
    clock: Clock,
    lease: &Lease,
    start: Sender<Start>,
    finished: &Notify,
) -> Result<(), String> {
    let mut signals = ShutdownSignals::listen().map_err(|exit| exit.to_string())?;
    let stream = tokio::net::UnixStream::from_std(stream).map_err(|error| error.to_string())?;
    let mut guard: Guard = IpcConnection::new(stream);
    send(&mut guard, &FromCapture::Hello { pid: std::process::id() }).await?;
    let mut end = CaptureEnd::new(clock.now());
    let mut revision = 0;
    loop {
        tokio::select! {
            biased;
            signal = signals.recv() => return Err(signal.to_owned()),
            () = tokio::time::sleep_until(clock.to_instant(end.deadline())) => return Err("the guard is silent".to_owned()),
            received = guard.receive() => {
                let message = match received {
                    Err(error) => return Err(error.to_string()),
                    Ok(None) => return Err("the guard closed the connection".to_owned()),
                    Ok(Some(message)) => message,
                };
                let wanted = end.hear(&message, clock.now())?;
                if let ToCapture::Start { .. } = &message {
                    lease.begin_bitrate(wanted.bitrate_kbps);
                }
                apply(&mut guard, lease, wanted, end.deadline()).await?;
                revision = wanted.revision;
                if let ToCapture::Start { session, sound, purpose, configuration, values, commands, wanted } = message {
                    let (config_hash, bitrate_kbps) = (configuration, wanted.bitrate_kbps);
                    let _ = start.send(Start { session, audio: sound, purpose, config_hash, values, commands, bitrate_kbps });
                }
            }
            () = lease.changed() => confirm(&mut guard, lease, revision).await?,
            event = outbox.recv() => {
                let Some(event) = event else { return Ok(()) };
                send(&mut guard, &event).await?;
            }
            () = finished.notified() => break,
        }
    }
    // What was sent before is told; nothing is taken any more.
    outbox.close();
    while let Some(event) = outbox.recv().await {
        send(&mut guard, &event).await?;
    }
    Ok(())
}

type Guard = IpcConnection<ToCapture, FromCapture>;

/// Applies what the guard wants and renews the lease, and only then confirms it. A cap of the bitrate is applied by
/// the session's loop, which sees it here.
async fn apply(guard: &mut Guard, lease: &Lease, wanted: LeaseState, until: Monotonic) -> Result<(), String> {
    lease.set_muted(wanted.muted);
    lease.set_wanted_bitrate(wanted.bitrate_kbps);
    lease.renew(until);
    confirm(guard, lease, wanted.revision).await
}

/// Tells the guard what is in force.
async fn confirm(guard: &mut Guard, lease: &Lease, revision: u64) -> Result<(), String> {
    let bitrate = lease.bitrate();
    let state = StateInForce {
        revision,
        muted: lease.is_muted(),
        bitrate_kbps: bitrate.in_force,
        bitrate_refused: bitrate.refused,
    };
    send(guard, &FromCapture::Applied(state)).await
}

async fn send(guard: &mut Guard, event: &FromCapture) -> Result<(), String> {
    match timeout(LEASE_DURATION, guard.send(event)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the guard does not read".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a thread does that hangs in a driver.
    #[test]
    fn who_keeps_a_sender_does_not_keep_the_process() {
        let (own, other) = UnixStream::pair().unwrap();
        let (events, outbox) = mpsc::channel(MAX_QUEUED_EVENTS);
        let kept = EventSender(events);
        kept.send(FromCapture::Live {});
        let (clock, finished) = (Clock::start(), Notify::new());
        finished.notify_one();
        own.set_nonblocking(true).unwrap();
        other.set_nonblocking(true).unwrap();
        let told = runtime::build().unwrap().block_on(async {
            let lease = Lease::new(clock);
            let (start, _starts) = channel();
            let served = timeout(Duration::from_secs(20), serve(own, outbox, clock, &lease, start, &finished)).await;
            assert_eq!(served, Ok(Ok(())));
            let stream = tokio::net::UnixStream::from_std(other).unwrap();
            let mut guard: IpcConnection<FromCapture, ToCapture> = IpcConnection::new(stream);
            let mut told = Vec::new();
            while let Ok(Some(message)) = guard.receive().await {
                told.push(message);
            }
            told
        });
        assert_eq!(told.last(), Some(&FromCapture::Live {}), "{told:?}");
        drop(kept);
    }
}
