//! The task of one capture, from its start until its process is gone: renews the lease, forwards reports, and kills a
//! capture that violates the protocol.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::launch::LaunchMode;
use super::pidfd::{CaptureProcess, PidFile};
use crate::clock::Clock;
use crate::ipc::{FromCapture, GuardEnd, IpcConnection, IpcError, LeaseState, ToCapture, Wanted};
use crate::token_bucket::TokenBucket;
use consent::CaptureExit;

/// Reports at once, in addition to one for each renewal; a start brings about ten.
const REPORT_BURST: u32 = 256;
/// Then one each interval: 50 a second, where 2 and a few are usual. A capture that reports faster is faulty or
/// compromised.
const REPORT_INTERVAL: Duration = Duration::from_millis(20);
/// A capture that does not read a message within this time is killed.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Delays between attempts at a socket that does not answer: systemd accepts no connection before it has cleaned up
/// after the last one. Few attempts, below the rate limit at which systemd gives the socket up.
const CONNECT_RETRY_DELAYS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(700), Duration::from_millis(1500)];

/// How long a capture that said no hello is waited for after its consent ended. systemd may be about to start it, and a
/// machine with much to do took 2 s for that. It opens nothing: whoever has not answered by then gets no answer either.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// What comes from a capture's task.
#[derive(Debug)]
pub(in crate::guard) enum CaptureEvent {
    /// A message of the capture.
    Message(FromCapture),
    /// Its process is gone, or never existed; with the cause, as far as it is known.
    Exited(CaptureExit, Option<String>),
}

/// What capture has to apply, as state: the newest counts, so that no message can be lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct DesiredState {
    /// The settings.
    pub(super) wanted: LeaseState,
    /// Counts the renewals of its lease.
    pub(super) renewals: u64,
}

/// The task's state.
pub(super) struct CaptureTask {
    pub(super) session: u64,
    pub(super) desired: watch::Receiver<DesiredState>,
    pub(super) lease: CancellationToken,
    pub(super) kill: Arc<Notify>,
    pub(super) events: mpsc::Sender<(u64, CaptureEvent)>,
    pub(super) pid_file: PidFile,
    /// What was said and heard.
    pub(super) end: GuardEnd,
}

impl CaptureTask {
    /// Waits while the guard's loop is busy, and so does capture.
    async fn send_event(&self, events: CaptureEvent) {
        // The receiver is gone only when the guard is ending; then the lease is closed.
        let _ = self.events.send((self.session, events)).await;
    }

    pub(super) async fn run(mut self, mode: LaunchMode) {
        let mut pauses = CONNECT_RETRY_DELAYS.into_iter();
        let (outcome, message) = loop {
            let ended = self.run_once(&mode).await;
            // A process without a hello was never started to capture: the same press may start another.
            let again = !self.end.has_started() && !self.lease.is_cancelled() && mode.is_by_others();
            let Some(pause) = pauses.next().filter(|_| again) else { break ended };
            if !self.wait_before_retry(pause).await {
                break (CaptureExit::Stopped, None);
            }
        };
        self.send_event(CaptureEvent::Exited(outcome, message)).await;
    }

    /// Waits before the next attempt; `false`: consent ended meanwhile. New settings count as applied: nothing is open.
    async fn wait_before_retry(&mut self, pause: Duration) -> bool {
        let mut pause = std::pin::pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                biased;
                () = self.lease.cancelled() => return false,
                () = &mut pause => return true,
                Ok(()) = self.desired.changed() => {
                    let wanted = self.desired.borrow_and_update().wanted;
                    self.send_event(CaptureEvent::Message(FromCapture::Applied(wanted.into()))).await;
                }
            }
        }
    }

    /// One attempt; returns when the process is gone, or never was.
    async fn run_once(&mut self, mode: &LaunchMode) -> (CaptureExit, Option<String>) {
        if let Err(error) = self.pid_file.announce() {
            return (
                CaptureExit::NeverStarted,
                Some(format!("capture is not started: its pid file cannot be written: {error}")),
            );
        }
        if self.lease.is_cancelled() {
            self.pid_file.remove();
            return (CaptureExit::Stopped, None);
        }
        // Not cancelled half-way: a connection that systemd has taken brings a process. A Unix socket takes it or
        // refuses it at once.
        let (stream, mut process) = match mode.connect().await {
            Ok(opened) => opened,
            Err(error) => {
                self.pid_file.remove();
                return (CaptureExit::NeverStarted, Some(mode.describe_error(&error)));
            }
        };
        let mut connection = IpcConnection::new(stream);
        let outcome = self.run_session(&mut connection, &mut process).await;
        if outcome.is_err() {
            // It violated the protocol or its rate limit: it is not given time to end.
            process.kill();
        }
        if !process.is_known() {
            self.await_unknown(&mut connection, &mut process).await;
        }
        drop(connection);
        let ended = match outcome {
            Ok(CaptureExit::Died) if !self.end.has_started() && mode.is_by_others() => {
                let closed = std::io::Error::other("the connection is closed at once");
                (CaptureExit::NeverStarted, Some(mode.describe_error(&closed)))
            }
            Ok(outcome) => (outcome, None),
            Err(message) => (CaptureExit::Died, Some(message)),
        };
        self.wait_or_kill(&mut process).await;
        self.pid_file.remove();
        ended
    }

    /// Consent ended before capture said who it is: it may be on its way. It is gone when nobody holds the other end of
    /// the connection, and one that says hello is killed.
    async fn await_unknown(
        &self,
        connection: &mut IpcConnection<FromCapture, ToCapture>,
        process: &mut CaptureProcess,
    ) {
        connection.finish().await;
        match tokio::time::timeout(HELLO_TIMEOUT, connection.receive()).await {
            Ok(Ok(Some(FromCapture::Hello { pid }))) => match process.identify(pid, &self.pid_file) {
                Ok(()) => process.kill(),
                // It ended meanwhile, as it should.
                Err(error) => tracing::debug!(%error, pid, "capture's process cannot be watched"),
            },
            Ok(_) => {}
            Err(_) => tracing::error!("capture neither said hello nor ended; without a lease it opens nothing"),
        }
    }

    async fn wait_or_kill(&self, process: &mut CaptureProcess) {
        let killer = process.handle();
        let mut gone = std::pin::pin!(process.wait());
        loop {
            tokio::select! {
                biased;
                () = &mut gone => return,
                () = self.kill.notified() => killer.kill(),
            }
        }
    }

    /// Exchanges messages until one side closes. `Err`: capture has to be killed, and why.
    async fn run_session(
        &mut self,
        connection: &mut IpcConnection<FromCapture, ToCapture>,
        process: &mut CaptureProcess,
    ) -> Result<CaptureExit, String> {
        let (clock, events) = (Clock::start(), self.events.clone());
        let mut reports = TokenBucket::new(REPORT_BURST, REPORT_INTERVAL, clock.now());
        // An event that the guard's loop has no room for yet; nothing more is read before it has.
        let mut held: Option<CaptureEvent> = None;
        loop {
            tokio::select! {
                biased;
                () = self.lease.cancelled() => return Ok(CaptureExit::Stopped),
                changed = self.desired.changed() => {
                    let Ok(()) = changed else { return Ok(CaptureExit::Stopped) };
                    let wanted = self.desired.borrow_and_update().wanted;
                    match self.end.want(wanted) {
                        Wanted::Guard(applied) => held = Some(CaptureEvent::Message(applied)),
                        Wanted::Capture(renewal) => {
                            reports.add();
                            self.send(connection, &renewal).await?;
                        }
                    }
                }
                room = events.reserve(), if held.is_some() => match room {
                    Ok(room) => {
                        if let Some(event) = held.take() {
                            room.send((self.session, event));
                        }
                    }
                    Err(_) => return Ok(CaptureExit::Stopped),
                },
                received = connection.receive(), if held.is_none() => match received {
                    Err(error) if error.is_protocol_error() => {
                        return Err(format!("capture sent what is not its language: {error}"));
                    }
                    // A capture that ends with unread messages resets the connection.
                    Ok(None) | Err(_) => return Ok(self.end.exit()),
                    Ok(Some(_)) if !reports.try_take(clock.now()) => {
                        return Err("capture reported without end, and was killed".to_owned());
                    }
                    Ok(Some(message)) => {
                        self.end.hear(&message)?;
                        if let FromCapture::Hello { pid } = message {
                            self.admit(pid, connection, process).await?;
                        }
                        held = Some(CaptureEvent::Message(message));
                    }
                },
            }
        }
    }

    /// Capture said hello: it may open devices only once its end can be verified.
    async fn admit(
        &mut self,
        pid: u32,
        connection: &mut IpcConnection<FromCapture, ToCapture>,
        process: &mut CaptureProcess,
    ) -> Result<(), String> {
        let identified = process.identify(pid, &self.pid_file);
        identified.map_err(|error| format!("capture's process {pid} cannot be watched: {error}"))?;
        let wanted = self.desired.borrow_and_update().wanted;
        match self.end.start(wanted) {
            Some(start) => self.send(connection, &start).await,
            None => Ok(()),
        }
    }

    /// Sends a message, unless consent ends meanwhile, which the caller checks next.
    async fn send(
        &self,
        connection: &mut IpcConnection<FromCapture, ToCapture>,
        message: &ToCapture,
    ) -> Result<(), String> {
        tokio::select! {
            biased;
            () = self.lease.cancelled() => Ok(()),
            sent = tokio::time::timeout(SEND_TIMEOUT, connection.send(message)) => match sent {
                // If capture closed the socket, the next receive reports it.
                Ok(Ok(()) | Err(IpcError::Socket(_))) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("capture does not read its messages".to_owned()),
            },
        }
    }
}
