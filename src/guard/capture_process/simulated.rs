//! Captures of a simulation: tasks in the place of processes.

use std::fmt;
use std::io::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;

/// A process of a simulation: it can be killed, and its end be waited for.
#[derive(Clone, Debug)]
pub struct SimulatedProcess {
    pid: u32,
    identified: Arc<AtomicBool>,
    killed: CancellationToken,
    gone: CancellationToken,
}

impl SimulatedProcess {
    /// A process that runs.
    pub fn new(pid: u32) -> Self {
        let (killed, gone) = (CancellationToken::new(), CancellationToken::new());
        Self { pid, identified: Arc::default(), killed, gone }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns once somebody has killed it.
    pub async fn killed(&self) {
        self.killed.cancelled().await;
    }

    /// It has ended, and everybody learns that.
    pub fn end(&self) {
        self.gone.cancel();
    }

    /// Kills it.
    pub fn kill(&self) {
        self.killed.cancel();
    }

    pub(super) fn identify(&self, pid: u32) -> Result<()> {
        if pid != self.pid || self.gone.is_cancelled() {
            return Err(Error::other("there is no such process"));
        }
        self.identified.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn is_identified(&self) -> bool {
        self.identified.load(Ordering::Relaxed)
    }

    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}

/// Starts a capture: the guard's end of its connection, and its process.
type Launch = dyn Fn() -> Result<(DuplexStream, SimulatedProcess)> + Send + Sync;

/// Starts captures of a simulation.
#[derive(Clone)]
pub struct SimulatedLauncher(Arc<Launch>);

impl fmt::Debug for SimulatedLauncher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedLauncher")
    }
}

impl SimulatedLauncher {
    /// `launch` is called at each attempt.
    pub fn new(launch: impl Fn() -> Result<(DuplexStream, SimulatedProcess)> + Send + Sync + 'static) -> Self {
        Self(Arc::new(launch))
    }

    pub(super) fn launch(&self) -> Result<(DuplexStream, SimulatedProcess)> {
        (self.0)()
    }
}
