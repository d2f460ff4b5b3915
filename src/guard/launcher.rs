//! Door 1: starts capture, holds its lease, and sees to it that it is gone.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::consent::{Grant, Outcome};
use crate::ipc::{Connection, FromCapture, ToCapture};

/// Environment of a capture, as its unit has it.
const ENVIRONMENT: [(&str, &str); 2] = [
    // Streams go to the server itself. `GLib` would ask the desktop's settings for a proxy before each connection, and
    // load libproxy, dconf and what they need to do so.
    ("GIO_USE_PROXY_RESOLVER", "dummy"),
    // GStreamer (1.22) leaks a camera's buffers and descriptor at each close where it leaves buffers to themselves that
    // are still in use; it waits for them instead.
    ("GST_V4L2_FORCE_DRAIN", "1"),
];

/// How capture is started.
#[derive(Clone, Debug)]
pub enum Door {
    /// As a child of the guard on a socket pair: this very program with these arguments.
    Child(Vec<String>),
    /// By connecting to a socket that systemd listens on (`Accept=yes`).
    Socket(PathBuf),
}

/// What is heard of a capture.
#[derive(Debug)]
pub(super) enum News {
    /// It said something.
    Said(FromCapture),
    /// Its process is gone, or never was; with what is known about why.
    Gone(Outcome, Option<String>),
}

/// A capture that may exist. Dropping it closes the lease.
#[derive(Debug)]
pub(super) struct Capture {
    /// Which session's.
    pub(super) session: u64,
    messages: mpsc::Sender<ToCapture>,
    lease: CancellationToken,
    kill: Arc<Notify>,
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.lease.cancel();
    }
}

impl Capture {
    /// Spends a press: starts capture for it. What becomes of it is told through `news`.
    pub(super) fn launch(
        door: &Door,
        grant: Grant,
        configuration: &str,
        tasks: &mut JoinSet<()>,
        news: mpsc::UnboundedSender<(u64, News)>,
    ) -> Self {
        let (session, sound, purpose) = grant.spend();
        let (session, configuration) = (session.0, configuration.to_owned());
        let (messages, inbox) = mpsc::channel(16);
        let lease = CancellationToken::new();
        let kill = Arc::new(Notify::new());
        let attendant = Attendant { inbox, lease: lease.clone(), kill: kill.clone(), news, session };
        // The attendants of earlier captures are done; each would keep its memory until it is asked for.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(attendant.run(door.clone(), ToCapture::Start { session, sound, purpose, configuration }));
        Self { session, messages, lease, kill }
    }

    /// Sends a message. One that does not fit means that capture does not read: its lease then runs out by itself.
    pub(super) fn send(&self, message: ToCapture) {
        if self.messages.try_send(message).is_err() {
            tracing::warn!("capture does not take its messages; its lease is not renewed");
        }
    }

    /// Closes the lease.
    pub(super) fn stop(&self) {
        self.lease.cancel();
    }

    /// Kills the process.
    pub(super) fn kill(&self) {
        self.kill.notify_one();
    }
}

/// The task that attends one capture from its start until its process is gone.
struct Attendant {
    inbox: mpsc::Receiver<ToCapture>,
    lease: CancellationToken,
    kill: Arc<Notify>,
    news: mpsc::UnboundedSender<(u64, News)>,
    session: u64,
}

/// The process behind a connection, once it is known.
struct Process {
    child: Option<Child>,
    pidfd: Option<OwnedFd>,
}

impl Process {
    fn known(&mut self, pid: u32) -> std::io::Result<()> {
        if self.pidfd.is_none() {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let pid = pid.ok_or_else(|| std::io::Error::other("that is not a process id"))?;
            self.pidfd = Some(pidfd_open(pid, PidfdFlags::NONBLOCK)?);
        }
        Ok(())
    }

    fn kill(&self) {
        if let Some(pidfd) = &self.pidfd
            && let Err(error) = pidfd_send_signal(pidfd, Signal::KILL)
            && error != rustix::io::Errno::SRCH
        {
            tracing::error!(%error, "capture cannot be killed; its lease is closed, and systemd ends it");
        }
    }

    /// Returns when the process is gone. One that never said who it is was never told to start.
    async fn gone(&mut self) {
        match (&mut self.child, self.pidfd.take()) {
            (Some(child), pidfd) => {
                let _ = child.wait().await;
                drop(pidfd);
            }
            (None, Some(pidfd)) => ended(pidfd).await,
            (None, None) => {}
        }
    }
}

/// Returns when the process behind `pidfd` has ended.
#[allow(deprecated)] // an OwnedFd keeps its number, and its replacement `register` is unsafe to call
async fn ended(pidfd: OwnedFd) {
    match AsyncFd::new(pidfd) {
        Ok(pidfd) => {
            let _ = pidfd.readable().await;
        }
        Err(error) => tracing::error!(%error, "cannot wait for capture's process"),
    }
}

impl Attendant {
    fn tell(&self, news: News) {
        // Nobody listens any more only when the guard is ending; then the lease is closed.
        let _ = self.news.send((self.session, news));
    }

    async fn run(mut self, door: Door, start: ToCapture) {
        let (stream, mut process) = match open(&door).await {
            Ok(opened) => opened,
            Err(error) => {
                let message = match &door {
                    Door::Child(_) => format!("capture could not be started: {error}"),
                    Door::Socket(path) => {
                        format!("nothing answers at {}: {error}; is its socket unit started?", path.display())
                    }
                };
                return self.tell(News::Gone(Outcome::NeverStarted, Some(message)));
            }
        };
        let mut connection = Connection::new(stream);
        let outcome = self.attend(&mut connection, &mut process, start).await;
        drop(connection);
        let message = match outcome {
            Ok(outcome) => {
                self.wait_or_kill(&mut process).await;
                return self.tell(News::Gone(outcome, None));
            }
            Err(message) => message,
        };
        // It does not keep to the door's language, or not to its pace: it is not waited for.
        process.kill();
        self.wait_or_kill(&mut process).await;
        self.tell(News::Gone(Outcome::Died, Some(message)));
    }

    async fn wait_or_kill(&self, process: &mut Process) {
        let pidfd = process.pidfd.as_ref().and_then(|pidfd| pidfd.try_clone().ok());
        let killer = Process { child: None, pidfd };
        let mut gone = std::pin::pin!(process.gone());
        loop {
            tokio::select! {
                () = &mut gone => return,
                () = self.kill.notified() => killer.kill(),
            }
        }
    }

    /// Talks with capture until one side closes. `Err`: it has to be killed, and why.
    async fn attend(
        &mut self,
        connection: &mut Connection<FromCapture, ToCapture>,
        process: &mut Process,
        start: ToCapture,
    ) -> Result<Outcome, String> {
        let mut start = Some(start);
        // How it ended, if it ends now.
        let mut last = Outcome::Died;
        loop {
            tokio::select! {
                biased;
                () = self.lease.cancelled() => return Ok(Outcome::Ended),
                message = self.inbox.recv(), if start.is_none() => {
                    let Some(message) = message else { return Ok(Outcome::Ended) };
                    send(connection, &message).await?;
                }
                said = connection.receive() => match said {
                    Err(error) if error.is_nonsense() => {
                        return Err(format!("capture sent what is not its language: {error}"));
                    }
                    // One that ends without having read all that was sent to it resets the connection.
                    Ok(None) | Err(_) => return Ok(last),
                    Ok(Some(FromCapture::Hello { pid })) => {
                        process.known(pid).map_err(|error| format!("capture's process {pid} cannot be watched: {error}"))?;
                        // Only now that its end can be verified may it open anything.
                        let Some(start) = start.take() else { return Err("capture said hello twice".to_owned()) };
                        send(connection, &start).await?;
                        self.tell(News::Said(FromCapture::Hello { pid }));
                    }
                    Ok(Some(message)) => {
                        match message {
                            FromCapture::Failed { .. } => last = Outcome::Failed,
                            FromCapture::Probed(_) => last = Outcome::Done,
                            FromCapture::Hello { .. }
                            | FromCapture::Encoder { .. }
                            | FromCapture::Camera { .. }
                            | FromCapture::EncoderFallback { .. }
                            | FromCapture::Live {}
                            | FromCapture::Reconnecting { .. }
                            | FromCapture::Lost { .. }
                            | FromCapture::Back { .. }
                            | FromCapture::Stats(_)
                            | FromCapture::Second(_) => {}
                        }
                        self.tell(News::Said(message));
                    }
                },
            }
        }
    }
}

async fn send(connection: &mut Connection<FromCapture, ToCapture>, message: &ToCapture) -> Result<(), String> {
    match tokio::time::timeout(Duration::from_secs(1), connection.send(message)).await {
        // Where it closed its end the next receive says so.
        Ok(Ok(()) | Err(crate::ipc::IpcError::Socket(_))) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("capture does not read its messages".to_owned()),
    }
}

async fn open(door: &Door) -> std::io::Result<(UnixStream, Process)> {
    match door {
        Door::Child(arguments) => {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let child = Command::from(crate::ipc::this_program())
                .args(arguments)
                .envs(ENVIRONMENT)
                .stdin(Stdio::from(OwnedFd::from(theirs)))
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()?;
            let mut process = Process { child: None, pidfd: None };
            if let Some(pid) = child.id() {
                process.known(pid)?;
            }
            process.child = Some(child);
            Ok((UnixStream::from_std(ours)?, process))
        }
        Door::Socket(path) => Ok((UnixStream::connect(path).await?, Process { child: None, pidfd: None })),
    }
}
