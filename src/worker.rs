//! Threads that have an owner: named, stopped through a token, and joined or detached when the owner goes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::sync::{LockExt, unpoisoned};

pub use service::{Commands, serve, wait};
pub use work::Service;

mod service;
#[cfg(feature = "sim")]
pub mod simulated;
mod work;

/// A thread could not be started: the process is at its limit of threads, or the machine out of memory.
#[derive(Debug, thiserror::Error)]
#[error("the thread {name:?} cannot be started: {error}")]
pub struct SpawnError {
    name: &'static str,
    error: std::io::Error,
}

/// What dropping a [`Worker`] does after it has requested the stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDrop {
    /// Wait for the thread's end. For work that watches its token and never blocks for long.
    Join,
    /// Let the thread end by itself. For work that a disk, a driver or a name server can block.
    Detach,
}

/// A thread, owned. Dropping it requests the stop, and then does what its [`OnDrop`] says.
#[derive(Debug)]
pub struct Worker {
    stop: Stop,
    on_drop: OnDrop,
    thread: Option<Running>,
}

/// A thread that was started.
#[derive(Debug)]
enum Running {
    Thread(JoinHandle<()>),
    #[cfg(feature = "sim")]
    Simulated(simulated::Step),
}

impl Running {
    fn is_finished(&self) -> bool {
        match self {
            Self::Thread(thread) => thread.is_finished(),
            #[cfg(feature = "sim")]
            Self::Simulated(step) => step.is_finished(),
        }
    }

    fn join(self) {
        match self {
            // It fails only where the thread panicked, and a panic has been reported (or has aborted the process).
            Self::Thread(thread) => drop(thread.join()),
            #[cfg(feature = "sim")]
            Self::Simulated(step) => step.run(),
        }
    }
}

impl Worker {
    /// Runs `work` in a thread of its own. `name` is what `ps -T` and `top -H` show: the kernel cuts it at 15 bytes.
    pub fn spawn(
        name: &'static str,
        on_drop: OnDrop,
        work: impl FnOnce(&Stop) + Send + 'static,
    ) -> Result<Self, SpawnError> {
        let stop = Stop::default();
        let token = stop.clone();
        let thread = start(name, move || work(&token))?;
        Ok(Self { stop, on_drop, thread: Some(thread) })
    }

    /// Requests the stop, and does not wait for it. Repeating it does no harm.
    pub fn stop(&self) {
        self.stop.request();
    }

    /// Whether the work is done.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(Running::is_finished)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.request();
        if let (OnDrop::Join, Some(thread)) = (self.on_drop, self.thread.take()) {
            thread.join();
        }
    }
}

/// Runs `work`, which ends by itself and which nobody waits for, in a thread of its own.
pub fn detached(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), SpawnError> {
    start(name, work).map(drop)
}

fn start(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<Running, SpawnError> {
    #[cfg(feature = "sim")]
    if simulated::is_installed() {
        return Ok(Running::Simulated(simulated::Step::start(name, Box::new(work))));
    }
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(Running::Thread).map_err(|error| SpawnError { name, error })
}

/// Tells a [`Worker`]'s thread that it is to stop. Clones are for the closures and threads that the work starts itself.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Whether the thread is to stop.
    pub fn is_requested(&self) -> bool {
        *self.requested()
    }

    /// Waits for the stop, for at most `timeout`. Returns whether it was requested.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let waited = self.0.1.wait_timeout_while(self.requested(), timeout, |requested| !*requested);
        *unpoisoned(waited).0
    }

    /// Waits for the stop.
    pub fn wait(&self) {
        let waited = self.0.1.wait_while(self.requested(), |requested| !*requested);
        drop(unpoisoned(waited));
    }

    fn request(&self) {
        *self.requested() = true;
        self.0.1.notify_all();
    }

    fn requested(&self) -> MutexGuard<'_, bool> {
        self.0.0.lock_unpoisoned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn dropping_a_joined_worker_ends_its_wait_and_waits_for_its_last_step() {
        let (sent, seen) = channel();
        let worker = Worker::spawn("joined", OnDrop::Join, move |stop| {
            assert!(!stop.wait_timeout(Duration::ZERO) && !stop.is_requested());
            sent.send("started").unwrap();
            assert!(stop.wait_timeout(LONG), "the drop ends the wait");
            stop.clone().wait();
            sent.send("done").unwrap();
        })
        .unwrap();
        assert_eq!(seen.recv(), Ok("started"));
        drop(worker);
        assert_eq!(seen.try_recv(), Ok("done"));
    }

    #[test]
    fn a_stop_can_be_requested_ahead_of_the_drop() {
        let (sent, seen) = channel();
        let worker = Worker::spawn("stopped", OnDrop::Join, move |stop| {
            stop.wait();
            sent.send(()).unwrap();
        })
        .unwrap();
        assert!(!worker.is_finished());
        worker.stop();
        assert_eq!(seen.recv_timeout(LONG), Ok(()));
    }

    #[test]
    fn dropping_a_detached_worker_does_not_wait() {
        let (block, blocked) = channel::<()>();
        let (sent, seen) = channel();
        let worker = Worker::spawn("detached", OnDrop::Detach, move |stop| {
            let _ = blocked.recv();
            sent.send(stop.is_requested()).unwrap();
        })
        .unwrap();
        drop(worker);
        assert!(seen.try_recv().is_err(), "it is still blocked");
        drop(block);
        assert_eq!(seen.recv_timeout(LONG), Ok(true));
    }
}
