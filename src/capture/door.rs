//! Door 1 from capture's side: a thread that does nothing but listen to the guard, and ends the process when the
//! guard is gone, silent or talks nonsense, whatever the rest of the process is doing.

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;

use super::steady::steadied;
use crate::clock::{Clock, millis};
use crate::consent::Time;
use crate::exit::Exit;
use crate::ipc::{Connection, FromCapture, LEASE, Purpose, ToCapture};

/// What the pipelines are given to close in order. After it the kernel closes the devices, with the process:
/// it leaves half of the guard's 300 ms before it kills.
const GRACE: Duration = Duration::from_millis(150);

/// What the guard wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Silence, or sound again.
    Mute(bool),
    /// Consent has ended.
    Dark,
}

/// What the guard's start allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Whether the microphone may be opened.
    pub(super) sound: bool,
    pub(super) purpose: Purpose,
    /// Hash of the configuration that it holds for.
    pub(super) configuration: String,
}

/// Whether frames may leave: a grant proves that consent was given, the lease that it still is.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Clock,
    until: AtomicU64,
}

impl Gate {
    /// Whether the lease goes on.
    pub(super) fn is_open(&self) -> bool {
        millis(self.clock.now().since(Time::default())) < self.until.load(Ordering::Acquire)
    }

    /// One whose lease was given just now, for tests.
    #[cfg(test)]
    pub(super) fn opened() -> Self {
        Self { clock: Clock::start(), until: AtomicU64::new(u64::MAX) }
    }

    /// For tests: the lease has run out.
    #[cfg(test)]
    pub(super) fn shut(&self) {
        self.close();
    }

    /// For tests: the lease goes on.
    #[cfg(test)]
    pub(super) fn open(&self) {
        self.until.store(u64::MAX, Ordering::Release);
    }

    fn extend(&self) {
        self.until.store(millis(self.clock.now().plus(LEASE).since(Time::default())), Ordering::Release);
    }

    fn close(&self) {
        self.until.store(0, Ordering::Release);
    }
}

/// The connection to the guard.
pub(super) struct Door {
    gate: Arc<Gate>,
    starts: Mutex<Receiver<Start>>,
    orders: Mutex<Receiver<Order>>,
    messages: UnboundedSender<FromCapture>,
    done: Sender<u8>,
    thread: JoinHandle<()>,
}

/// Lets other threads tell the guard something.
#[derive(Clone, Debug)]
pub(super) struct Teller(UnboundedSender<FromCapture>);

impl Teller {
    /// One whose words are heard by a test.
    #[cfg(test)]
    pub(super) fn heard() -> (Self, UnboundedReceiver<FromCapture>) {
        let (teller, heard) = mpsc::unbounded_channel();
        (Self(teller), heard)
    }

    pub(super) fn tell(&self, message: FromCapture) {
        // The thread behind this ends only with the process.
        let _ = self.0.send(steadied(message));
    }
}

impl Door {
    /// Says hello, and listens from now on.
    pub(super) fn open(stream: UnixStream, clock: Clock) -> Result<Self, Exit> {
        let broken = |error: std::io::Error| Exit::software(format!("the guard's connection cannot be used: {error}"));
        stream.set_nonblocking(true).map_err(broken)?;
        let gate = Arc::new(Gate { clock, until: AtomicU64::new(0) });
        let (starter, starts) = channel();
        let (orderer, orders) = channel();
        let (done, finished) = channel();
        let (messages, outbox) = mpsc::unbounded_channel();
        let listener = Listener { gate: gate.clone(), starter, orderer };
        let thread = std::thread::Builder::new()
            .name("door".to_owned())
            .spawn(move || {
                let code = listener.run(stream, outbox, &finished);
                go_dark(code);
            })
            .map_err(broken)?;
        let (starts, orders) = (Mutex::new(starts), Mutex::new(orders));
        Ok(Self { gate, starts, orders, messages, done, thread })
    }

    pub(super) fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }

    pub(super) fn teller(&self) -> Teller {
        Teller(self.messages.clone())
    }

    pub(super) fn tell(&self, message: FromCapture) {
        self.teller().tell(message);
    }

    /// Waits until the guard says start. `None`: it ended before that.
    pub(super) fn wait_for_start(&self) -> Option<Start> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// The guard's next order, or nothing within `patience`.
    pub(super) fn next_order(&self, patience: Duration) -> Option<Order> {
        match self.orders.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Order::Dark),
        }
    }

    /// Everything is closed: ends the process as soon as the guard has what was told to it.
    pub(super) fn dark(self, code: u8) {
        self.gate.close();
        let _ = self.done.send(code);
        drop(self.messages);
        let _ = self.thread.join();
    }
}

/// Ends the process. The one place that may: nothing that hangs elsewhere can keep a camera open.
#[allow(clippy::disallowed_methods)]
fn go_dark(code: u8) {
    std::process::exit(code.into());
}

struct Listener {
    gate: Arc<Gate>,
    starter: Sender<Start>,
    orderer: Sender<Order>,
}

impl Listener {
    /// Listens until it is over. Returns the process's exit code.
    fn run(self, stream: UnixStream, outbox: UnboundedReceiver<FromCapture>, finished: &Receiver<u8>) -> u8 {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "no runtime");
                return 1;
            }
        };
        let Self { gate, starter, orderer } = self;
        let why = runtime.block_on(async { talk(stream, outbox, &gate, starter, &orderer).await });
        gate.close();
        if let Err(why) = why {
            tracing::info!("going dark: {why}");
        }
        let _ = orderer.send(Order::Dark);
        finished.recv_timeout(GRACE).unwrap_or(0)
    }
}

/// `Ok`: capture itself is done and has told all. `Err`: why consent is taken to have ended.
async fn talk(
    stream: UnixStream,
    mut outbox: UnboundedReceiver<FromCapture>,
    gate: &Gate,
    starter: Sender<Start>,
    orderer: &Sender<Order>,
) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut terminate = signal(SignalKind::terminate()).map_err(text)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(text)?;
    let stream = tokio::net::UnixStream::from_std(stream).map_err(text)?;
    let mut guard: Connection<ToCapture, FromCapture> = Connection::new(stream);
    guard.send(&FromCapture::Hello { pid: std::process::id() }).await.map_err(|error| error.to_string())?;
    let mut starter = Some(starter);
    let mut renewed = tokio::time::Instant::now();
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => return Err("SIGTERM".to_owned()),
            _ = interrupt.recv() => return Err("SIGINT".to_owned()),
            () = tokio::time::sleep_until(renewed + LEASE) => return Err("the guard is silent".to_owned()),
            received = guard.receive() => {
                renewed = tokio::time::Instant::now();
                match received {
                    Err(error) => return Err(error.to_string()),
                    Ok(None) => return Err("the guard closed the connection".to_owned()),
                    Ok(Some(ToCapture::Start { sound, purpose, configuration, .. })) => {
                        let Some(starter) = starter.take() else { return Err("the guard said start twice".to_owned()) };
                        gate.extend();
                        let _ = starter.send(Start { sound, purpose, configuration });
                    }
                    Ok(Some(ToCapture::Renew {} | ToCapture::Mute { .. })) if starter.is_some() => {
                        return Err("the guard did not begin with start".to_owned());
                    }
                    Ok(Some(ToCapture::Renew {})) => gate.extend(),
                    Ok(Some(ToCapture::Mute { muted })) => {
                        let _ = orderer.send(Order::Mute(muted));
                    }
                }
            }
            message = outbox.recv() => {
                let Some(message) = message else { return Ok(()) };
                match timeout(LEASE, guard.send(&message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(error.to_string()),
                    Err(_) => return Err("the guard does not read".to_owned()),
                }
            }
        }
    }
}
