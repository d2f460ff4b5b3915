//! Threads of a simulation: their work is a task of the simulation's one thread, which does it in one step, later at
//! the same simulated time, or once the disk hangs no longer. Work that never ends by itself cannot be simulated so;
//! work that waits for somebody in its middle is [`blocking`].

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::work::Service;
use crate::sync::LockExt;

pub(crate) mod blocking;

type Work = Box<dyn FnOnce() + Send>;

thread_local! {
    /// Until when no thread does anything; `None`: threads are the machine's.
    static STALLED_UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
    /// The threads that have not ended, and the services among them.
    static THREADS: RefCell<Vec<(&'static str, AbortHandle)>> = const { RefCell::new(Vec::new()) };
    static SERVICES: RefCell<Vec<Rc<dyn CatchUp>>> = const { RefCell::new(Vec::new()) };
    /// How long the simulation's one thread has waited for others, in all.
    static WAITED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Threads are simulated in this thread until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        kill_all();
        for name in blocking::NAMES {
            kill(name);
        }
        STALLED_UNTIL.set(None);
    }
}

/// Ends all threads of the guard in the middle of what they wait for: its process was killed.
pub fn kill_all() {
    kill_those(|name| !blocking::NAMES.contains(&name));
    drop(SERVICES.take());
}

/// Ends the threads with this name, of whichever process: it was killed.
pub fn kill(name: &str) {
    kill_those(|known| known == name);
}

fn kill_those(is_one: impl Fn(&str) -> bool) {
    let (ended, left) = THREADS.take().into_iter().partition(|(name, _)| is_one(name));
    THREADS.set(left);
    let ended: Vec<(&str, AbortHandle)> = ended;
    for (_, thread) in ended {
        thread.abort();
    }
}

/// How long the simulation's one thread has waited for others since it was installed.
pub fn waited() -> Duration {
    WAITED.get()
}

/// Simulates the threads that this one starts from now on. Call it in the simulation's runtime.
pub fn install() -> Installed {
    STALLED_UNTIL.set(Some(Instant::now()));
    WAITED.set(Duration::ZERO);
    Installed(())
}

/// No thread gets any further before `until`: what it calls hangs.
pub fn stall(until: Instant) {
    if is_installed() {
        STALLED_UNTIL.set(Some(until));
    }
}

pub(crate) fn is_installed() -> bool {
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
    pub(super) fn start(name: &'static str, work: Work) -> Self {
        let work = Arc::new(Mutex::new(Some(work)));
        let todo = work.clone();
        let task = tokio::spawn(async move {
            unstalled().await;
            if !blocking::NAMES.contains(&name) {
                return take_and_run(&todo);
            }
            let work = todo.lock_unpoisoned().take();
            if let Some(work) = work {
                blocking::run(name, work).await;
            }
        });
        remember(name, task.abort_handle());
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

fn remember(name: &'static str, thread: AbortHandle) {
    THREADS.with_borrow_mut(|threads| {
        threads.retain(|(_, thread)| !thread.is_finished());
        threads.push((name, thread));
    });
}

/// A service that somebody waits for.
trait CatchUp {
    /// Does what there is to do, without waiting.
    fn catch_up(&self);
}

/// A service, and its commands.
struct Running<S: Service> {
    service: RefCell<Option<S>>,
    begun: Cell<bool>,
    inbox: Receiver<S::Command>,
}

impl<S: Service> Running<S> {
    /// One turn; whether there may be another one at once.
    fn turn(&self, timed_out: bool) -> bool {
        let mut service = self.service.borrow_mut();
        let Some(running) = service.as_mut() else { return false };
        if !self.begun.replace(true) {
            running.begin();
            return true;
        }
        let command = self.inbox.try_recv().ok();
        if command.is_none() && !timed_out {
            return false;
        }
        let goes_on = running.turn(command, &self.inbox);
        if !goes_on {
            *service = None;
        }
        goes_on && !timed_out
    }

    fn patience(&self) -> Option<Duration> {
        self.service.borrow().as_ref().map(Service::patience)
    }
}

impl<S: Service> CatchUp for Running<S> {
    fn catch_up(&self) {
        while self.turn(false) {}
    }
}

/// Runs a service as a task of the simulation's runtime, which has to be in a `LocalSet`.
#[allow(clippy::disallowed_methods)] // the simulation owns it, through `kill_all`
pub(super) fn serve<S: Service>(service: S, told: Arc<Notify>, inbox: Receiver<S::Command>) {
    let running = Rc::new(Running { service: RefCell::new(Some(service)), begun: Cell::new(false), inbox });
    SERVICES.with_borrow_mut(|services| services.push(running.clone()));
    let task = tokio::task::spawn_local(async move {
        unstalled().await;
        running.catch_up();
        while let Some(patience) = running.patience() {
            let timed_out = timeout_at(Instant::now() + patience, told.notified()).await.is_err();
            unstalled().await;
            running.turn(timed_out);
            running.catch_up();
        }
    });
    remember("service", task.abort_handle());
}

/// Waits for an answer of a service, in simulated time.
pub(super) fn wait<T>(answer: &Receiver<T>, timeout: Duration) -> Result<T, RecvTimeoutError> {
    let until = Instant::now() + timeout;
    let stalled = STALLED_UNTIL.get().filter(|stalled| *stalled > Instant::now());
    pass(stalled.map_or(until, |stalled| stalled.min(until)), stalled.is_some());
    if stalled.is_none_or(|stalled| stalled <= until) {
        let services = SERVICES.with_borrow(Clone::clone);
        for service in &services {
            service.catch_up();
        }
    }
    match answer.try_recv() {
        Ok(answer) => return Ok(answer),
        Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
        Err(TryRecvError::Empty) => pass(until, true),
    }
    answer.try_recv().map_err(|_| RecvTimeoutError::Timeout)
}

/// Lets time pass until then, while nothing else gets on.
fn pass(until: Instant, passes: bool) {
    let span = until.duration_since(Instant::now());
    if passes && !span.is_zero() {
        WAITED.set(WAITED.get() + span);
        // The first poll moves the clock on; what comes after it would let others get on.
        let _ = pin!(tokio::time::advance(span)).as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

fn take_and_run(work: &Mutex<Option<Work>>) {
    let work = work.lock_unpoisoned().take();
    if let Some(work) = work {
        work();
    }
}

#[cfg(test)]
mod tests;
