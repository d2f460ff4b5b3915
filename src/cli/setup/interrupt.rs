//! Ctrl-C and its like: heard at any time, heeded where nothing is half done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::exit::Exit;
use crate::runtime::{ShutdownSignals, block_on};

/// How long nobody waits without a look at this.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Whether somebody wants an end of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt {
    asked: Arc<AtomicBool>,
    written: Arc<AtomicBool>,
}

impl Interrupt {
    /// Ends the caller's work if somebody asked for it.
    pub(super) fn check_stopped(&self) -> Result<(), Exit> {
        if self.asked.load(Ordering::Relaxed) { Err(self.stopped()) } else { Ok(()) }
    }

    /// From now on there is something on the disk.
    pub(super) fn files_are_written(&self) {
        self.written.store(true, Ordering::Relaxed);
    }

    /// What is said at an end before time.
    pub(super) fn stopped(&self) -> Exit {
        Exit::temporary(if self.written.load(Ordering::Relaxed) {
            "stopped; the files are in place: tallybox doctor tells how the box does"
        } else {
            "stopped; nothing was changed"
        })
    }
}

/// Runs `work` in a thread of its own, while this one hears signals.
pub(super) fn run(work: impl FnOnce(&Interrupt) -> Result<(), Exit> + Send + 'static) -> Result<(), Exit> {
    block_on(async {
        let mut shutdown = ShutdownSignals::listen_in_terminal()?;
        let interrupt = Interrupt::default();
        let own = interrupt.clone();
        let mut work = tokio::task::spawn_blocking(move || work(&own));
        loop {
            tokio::select! {
                done = &mut work => return done.unwrap_or_else(|error| Err(Exit::software(error.to_string()))),
                _ = shutdown.recv() => interrupt.asked.store(true, Ordering::Relaxed),
            }
        }
    })
}
