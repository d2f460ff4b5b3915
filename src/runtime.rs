//! The tokio runtime of a role or command, and the signals that end it.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// A runtime on this thread alone.
pub fn build() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs `work` on a runtime of its own.
pub fn block_on<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    build().map_err(|error| Exit::software(format!("no runtime: {error}")))?.block_on(work)
}

/// The signals that ask a process to end. Listen before anything else is done: until then they end it at once.
#[derive(Debug)]
pub struct ShutdownSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

/// What ends a role.
#[derive(Debug)]
pub enum Shutdown {
    /// The process's signals.
    Signals(ShutdownSignals),
    /// A simulation, which has no process.
    #[cfg(feature = "sim")]
    Simulated(tokio::sync::mpsc::Receiver<()>),
}

impl Shutdown {
    /// Returns when the role has to end, and again when that is asked for again. Cancel-safe.
    pub async fn requested(&mut self) {
        match self {
            Self::Signals(signals) => drop(signals.recv().await),
            #[cfg(feature = "sim")]
            Self::Simulated(requests) => {
                if requests.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

impl ShutdownSignals {
    /// SIGTERM and SIGINT, from now on. Needs a runtime.
    pub fn listen() -> Result<Self, Exit> {
        let listen = || -> io::Result<Self> {
            let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            Ok(Self { terminate, interrupt, hangup: None })
        };
        listen().map_err(|error| unavailable(&error))
    }

    /// The same, and SIGHUP: for a command that a person runs in a terminal, which may be closed.
    pub fn listen_in_terminal() -> Result<Self, Exit> {
        let hangup = signal(SignalKind::hangup()).map_err(|error| unavailable(&error))?;
        Ok(Self { hangup: Some(hangup), ..Self::listen()? })
    }

    /// The next signal's name. Cancel-safe.
    pub async fn recv(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hangup => "SIGHUP",
        }
    }

    /// The next SIGINT: Ctrl-C once more, from whoever does not want to wait. Cancel-safe.
    pub async fn interrupt(&mut self) {
        self.interrupt.recv().await;
    }
}

fn unavailable(error: &io::Error) -> Exit {
    Exit::software(format!("no signals: {error}"))
}
