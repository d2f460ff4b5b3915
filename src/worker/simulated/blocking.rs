//! Threads whose work waits for somebody in its middle: a download for its server, the updater for what it calls. Each
//! has a thread of the machine's own, so that the work is the production code as it is. Only one thread of a simulation
//! runs at any time: the simulation's own waits while this one works, and this one waits until it is told to go on.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{Work, unstalled};
use crate::disk::simulated as disk;
use crate::sync::LockExt;

/// The names of such threads: the agent's download, and the updater, which is a process of its own.
pub(crate) const NAMES: [&str; 2] = [DOWNLOAD, UPDATER];
/// The agent's download.
pub(crate) const DOWNLOAD: &str = "update";
/// The updater.
pub(crate) const UPDATER: &str = "updater";

/// What such a thread waits for, made in the simulation's thread.
type Wish = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// From such a thread to the simulation's.
struct Line {
    wishes: Sender<Wish>,
    resumed: Receiver<()>,
}

thread_local! {
    /// Of this thread, if it is such a one.
    static LINE: RefCell<Option<Line>> = const { RefCell::new(None) };
}

/// Whether this thread is one whose work waits.
pub(crate) fn is_blocking() -> bool {
    LINE.with_borrow(Option::is_some)
}

/// Waits for what `make` makes, which lives in the simulation's thread. `None`: this thread's process was killed, and
/// nothing that it does reaches anybody any more.
pub(crate) fn wait_for<T, F>(make: impl FnOnce() -> F + Send + 'static) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let place = Arc::new(Mutex::new(None));
    let found = place.clone();
    let wish: Wish = Box::new(move || {
        let wanted = make();
        Box::pin(async move {
            let value = wanted.await;
            *found.lock_unpoisoned() = Some(value);
        })
    });
    let goes_on = LINE.with_borrow(|line| {
        let Some(line) = line else { return false };
        line.wishes.send(wish).is_ok() && line.resumed.recv().is_ok()
    });
    if !goes_on {
        disk::kill();
        return None;
    }
    place.lock_unpoisoned().take()
}

/// A thread, which ends when its owner does: by itself, or because it was killed.
struct Thread {
    resume: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.resume.take());
        if let Some(thread) = self.thread.take() {
            // It fails only where the thread panicked, which has been reported.
            drop(thread.join());
        }
    }
}

/// Does `work` in a thread of its own. Dropping the future kills the thread, wherever it waits.
pub(super) async fn run(name: &str, work: Work) {
    let (wishes, inbox) = channel::<Wish>();
    let (resume, resumed) = channel();
    let disk = disk::installed();
    let line = Line { wishes, resumed };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _disk = disk.as_ref().map(disk::SimulatedDisk::install);
        LINE.set(Some(line));
        work();
    });
    // Without memory for a thread the work is not done, as everywhere.
    let thread = Thread { resume: Some(resume), thread: thread.ok() };
    while let Ok(wish) = inbox.recv() {
        wish().await;
        // What it does next may be on a disk that hangs.
        unstalled().await;
        if thread.resume.as_ref().is_none_or(|resume| resume.send(()).is_err()) {
            break;
        }
    }
}
