//! Door 1 from capture's side: a thread that does nothing but listen to the guard, and ends the process when the
//! guard is gone, silent or talks nonsense, whatever the rest of the process is doing.

mod stable_text;

pub(crate) use stable_text::stabilize;

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::clock::{Clock, millis};
use crate::exit::Exit;
use crate::ipc::{CaptureSettings, FromCapture, IpcConnection, LEASE_DURATION, Purpose, ToCapture};
use monotonic::Monotonic;
use stable_text::stabilize_message;

/// What the pipelines are given to close in order. After it the kernel closes the devices, with the process:
/// it leaves half of the guard's 300 ms before it kills.
const GRACE: Duration = Duration::from_millis(150);

/// Messages that wait for a guard that is busy; whoever has more to tell waits with them.
const WAITING: usize = 64;

/// What the guard's start allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// Whether the microphone may be opened.
    pub(crate) sound: bool,
    pub(crate) purpose: Purpose,
    /// Hash of the configuration that it holds for.
    pub(crate) configuration: String,
}

/// Whether frames may leave, and whether there may be sound in them: a grant proves that consent was given, the lease
/// that it still is.
#[derive(Debug)]
pub(crate) struct Lease {
    clock: Clock,
    until: AtomicU64,
    muted: AtomicBool,
}

impl Lease {
    /// Whether the lease goes on.
    pub(crate) fn is_valid(&self) -> bool {
        millis(self.clock.now().duration_since(Monotonic::default())) < self.until.load(Ordering::Acquire)
    }

    /// Whether silence goes out in place of sound. Asked for each piece of sound, in the one place that all of it
    /// passes.
    pub(crate) fn is_muted(&self) -> bool {
        self.muted.load(Ordering::SeqCst)
    }

    /// Sound that passes after this is silence, or sound again. What was on its way past was recorded before.
    pub(crate) fn set_muted(&self, muted: bool) {
        self.muted.store(muted, Ordering::SeqCst);
    }

    /// One whose lease was given just now, for tests.
    #[cfg(test)]
    pub(crate) fn valid() -> Self {
        Self { clock: Clock::start(), until: AtomicU64::new(u64::MAX), muted: AtomicBool::new(false) }
    }

    /// For tests: the lease has run out.
    #[cfg(test)]
    pub(crate) fn expire(&self) {
        self.revoke();
    }

    /// For tests: the lease goes on.
    #[cfg(test)]
    pub(crate) fn grant(&self) {
        self.until.store(u64::MAX, Ordering::Release);
    }

    fn renew(&self) {
        self.until.store(
            millis(self.clock.now().saturating_add(LEASE_DURATION).duration_since(Monotonic::default())),
            Ordering::Release,
        );
    }

    fn revoke(&self) {
        self.until.store(0, Ordering::Release);
    }
}

/// The connection to the guard.
pub(crate) struct GuardLink {
    lease: Arc<Lease>,
    starts: Mutex<Receiver<Start>>,
    over: Mutex<Receiver<()>>,
    messages: mpsc::Sender<FromCapture>,
    done: Sender<()>,
    thread: JoinHandle<()>,
}

/// Lets other threads tell the guard something.
#[derive(Clone, Debug)]
pub(crate) struct EventSender(mpsc::Sender<FromCapture>);

impl EventSender {
    /// One whose words are heard by a test.
    #[cfg(test)]
    pub(crate) fn with_receiver() -> (Self, mpsc::Receiver<FromCapture>) {
        let (event_sender, heard) = mpsc::channel(1 << 20);
        (Self(event_sender), heard)
    }

    /// Waits while the guard has much to read; a guard that does not read for 2 s ends the process.
    pub(crate) fn send(&self, message: FromCapture) {
        // The thread behind this ends only with the process.
        let _ = self.0.blocking_send(stabilize_message(message));
    }
}

impl GuardLink {
    /// Says hello, and listens from now on. `left_open` counts the sessions that servers would be left with.
    pub(crate) fn open(stream: UnixStream, clock: Clock, left_open: fn() -> usize) -> Result<Self, Exit> {
        let broken = |error: std::io::Error| Exit::software(format!("the guard's connection cannot be used: {error}"));
        stream.set_nonblocking(true).map_err(broken)?;
        let lease = Arc::new(Lease { clock, until: AtomicU64::new(0), muted: AtomicBool::new(true) });
        let (starter, starts) = channel();
        let (ender, over) = channel();
        let (done, finished) = channel();
        let (messages, outbox) = mpsc::channel(WAITING);
        let listener = Listener { lease: lease.clone(), starter, ender, left_open };
        let thread = std::thread::Builder::new()
            .name("door".to_owned())
            .spawn(move || {
                listener.run(stream, outbox, &finished);
                end_process();
            })
            .map_err(broken)?;
        let (starts, over) = (Mutex::new(starts), Mutex::new(over));
        Ok(Self { lease, starts, over, messages, done, thread })
    }

    pub(crate) fn lease(&self) -> Arc<Lease> {
        self.lease.clone()
    }

    pub(crate) fn event_sender(&self) -> EventSender {
        EventSender(self.messages.clone())
    }

    pub(crate) fn send(&self, message: FromCapture) {
        self.event_sender().send(message);
    }

    /// Waits until the guard says start. `None`: it ended before that.
    pub(crate) fn wait_for_start(&self) -> Option<Start> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// Whether consent has ended, or does so within `patience`.
    pub(crate) fn wait_for_stop(&self, patience: Duration) -> bool {
        match self.over.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }

    /// Everything is closed: ends the process as soon as the guard has what was told to it.
    pub(crate) fn finish(self) {
        self.lease.revoke();
        let _ = self.done.send(());
        drop(self.messages);
        let _ = self.thread.join();
    }
}

/// Ends the process, and nothing that hangs elsewhere can keep a camera open: not in an exit handler either, of which
/// each library may have some. Its unit counts this signal as success; the guard goes by what was told to it before.
fn end_process() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

struct Listener {
    lease: Arc<Lease>,
    starter: Sender<Start>,
    ender: Sender<()>,
    left_open: fn() -> usize,
}

impl Listener {
    /// Listens until it is over, and until what is open is closed or has had its time.
    fn run(self, stream: UnixStream, outbox: mpsc::Receiver<FromCapture>, finished: &Receiver<()>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "no runtime");
                return;
            }
        };
        let Self { lease, starter, ender, left_open } = self;
        let why = runtime.block_on(async { talk(stream, outbox, &lease, starter).await });
        lease.revoke();
        if let Err(why) = why {
            tracing::info!("going dark: {why}");
        }
        let _ = ender.send(());
        let _ = finished.recv_timeout(GRACE);
        let left = left_open();
        if left > 0 {
            // Devices close, and this process ends, whatever a server does.
            tracing::warn!(
                "capture ends before {left} WHIP session(s) are deleted: the server keeps them until it misses us"
            );
        }
    }
}

/// `Ok`: capture itself is done and has told all. `Err`: why consent is taken to have ended.
async fn talk(
    stream: UnixStream,
    mut outbox: mpsc::Receiver<FromCapture>,
    lease: &Lease,
    starter: Sender<Start>,
) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut terminate = signal(SignalKind::terminate()).map_err(text)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(text)?;
    let stream = tokio::net::UnixStream::from_std(stream).map_err(text)?;
    let mut guard: Guard = IpcConnection::new(stream);
    say(&mut guard, &FromCapture::Hello { pid: std::process::id() }).await?;
    let mut starter = Some(starter);
    let mut renewed = tokio::time::Instant::now();
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => return Err("SIGTERM".to_owned()),
            _ = interrupt.recv() => return Err("SIGINT".to_owned()),
            () = tokio::time::sleep_until(renewed + LEASE_DURATION) => return Err("the guard is silent".to_owned()),
            received = guard.receive() => {
                renewed = tokio::time::Instant::now();
                match received {
                    Err(error) => return Err(error.to_string()),
                    Ok(None) => return Err("the guard closed the connection".to_owned()),
                    Ok(Some(ToCapture::Start { sound, purpose, configuration, wanted, .. })) => {
                        let Some(starter) = starter.take() else { return Err("the guard said start twice".to_owned()) };
                        put_in_force(&mut guard, lease, wanted).await?;
                        let _ = starter.send(Start { sound, purpose, configuration });
                    }
                    Ok(Some(ToCapture::Renew { .. })) if starter.is_some() => {
                        return Err("the guard did not begin with start".to_owned());
                    }
                    Ok(Some(ToCapture::Renew { wanted })) => put_in_force(&mut guard, lease, wanted).await?,
                }
            }
            message = outbox.recv() => {
                let Some(message) = message else { return Ok(()) };
                say(&mut guard, &message).await?;
            }
        }
    }
}

type Guard = IpcConnection<ToCapture, FromCapture>;

/// Does what is wanted, and only then says that it is so.
async fn put_in_force(guard: &mut Guard, lease: &Lease, wanted: CaptureSettings) -> Result<(), String> {
    lease.set_muted(wanted.muted);
    lease.renew();
    say(guard, &FromCapture::Applied(CaptureSettings { revision: wanted.revision, muted: lease.is_muted() })).await
}

async fn say(guard: &mut Guard, message: &FromCapture) -> Result<(), String> {
    match timeout(LEASE_DURATION, guard.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the guard does not read".to_owned()),
    }
}
