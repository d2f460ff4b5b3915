//! Threads of a simulation: their work is a task of the simulation's one thread, which does it in one step, later at the
//! same simulated time, or once the disk hangs no longer. Work that never ends by itself cannot be simulated this way.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::sync::LockExt;

type Work = Box<dyn FnOnce() + Send>;

thread_local! {
    /// Until when no thread does anything; `None`: threads are the machine's.
    static STALLED_UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Threads are simulated in this thread until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        STALLED_UNTIL.set(None);
    }
}

/// Simulates the threads that this one starts from now on. Call it in the simulation's runtime.
pub fn install() -> Installed {
    STALLED_UNTIL.set(Some(Instant::now()));
    Installed(())
}

/// No thread gets any further before `until`: what it calls hangs.
pub fn stall(until: Instant) {
    if is_installed() {
        STALLED_UNTIL.set(Some(until));
    }
}

pub(super) fn is_installed() -> bool {
    STALLED_UNTIL.get().is_some()
}

/// Returns once threads get any further. For long work that is a loop of its own in a simulation.
pub async fn unstalled() {
    while let Some(until) = STALLED_UNTIL.get().filter(|until| *until > Instant::now()) {
        sleep_until(until).await;
    }
}

/// The work of one thread.
pub(super) struct Step {
    work: Arc<Mutex<Option<Work>>>,
    task: JoinHandle<()>,
}

impl core::fmt::Debug for Step {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Step").field("is_finished", &self.is_finished()).finish()
    }
}

impl Step {
    /// Has the runtime do `work`; a power cut is the end of the runtime.
    #[allow(clippy::disallowed_methods)] // a thread that its owner lets go is nobody's either
    pub(super) fn start(work: Work) -> Self {
        let work = Arc::new(Mutex::new(Some(work)));
        let todo = work.clone();
        let task = tokio::spawn(async move {
            unstalled().await;
            take_and_run(&todo);
        });
        Self { work, task }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Does now what is not done yet.
    pub(super) fn run(self) {
        take_and_run(&self.work);
    }
}

fn take_and_run(work: &Mutex<Option<Work>>) {
    let work = work.lock_unpoisoned().take();
    if let Some(work) = work {
        work();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::super::{OnDrop, Worker, detached};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_thread_works_at_simulated_times() {
        let _installed = install();
        let count = Arc::new(AtomicU32::new(0));
        let add = |count: &Arc<AtomicU32>| {
            let count = count.clone();
            move || {
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        detached("first", add(&count)).unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 0);
        tokio::task::yield_now().await;
        assert_eq!(count.load(Ordering::Relaxed), 1);

        stall(Instant::now() + Duration::from_secs(5));
        let more = add(&count);
        let worker = Worker::spawn("second", OnDrop::Detach, move |_| more()).unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(!worker.is_finished());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(worker.is_finished());
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
