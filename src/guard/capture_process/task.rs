//! The task that attends one capture from its start until its process is gone: renews its lease, takes its word, and
//! has it killed where it does not keep to the rules.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::launch::LaunchMode;
use super::process::{CaptureProcess, PidFile};
use crate::clock::Clock;
use crate::ipc::{FromCapture, IpcConnection, IpcError, ToCapture};
use crate::token_bucket::TokenBucket;
use consent::{CaptureExit, CaptureSettings};

/// Reports that a capture may give at once, beside one for each renewal; a start brings about ten.
const REPORT_BURST: u32 = 256;
/// One more each so often: 50 a second, where 2 and a few are usual. What reports faster is out of order, or an attack.
const REPORT_INTERVAL: Duration = Duration::from_millis(20);
/// A capture that does not take a message within this does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Pauses between attempts at a socket that does not answer: systemd takes no connection before it has tidied up after
/// the last one. Few, so that they stay below the limit at which systemd gives the socket up.
const CONNECT_RETRY_DELAYS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(700), Duration::from_millis(1500)];

/// What is heard of a capture.
#[derive(Debug)]
pub(in crate::guard) enum CaptureEvent {
    /// It said something.
    Message(FromCapture),
    /// Its process is gone, or never was; with what is known about why.
    Exited(CaptureExit, Option<String>),
}

/// What a capture is told, as state: the newest counts, and none can be lost on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct DesiredState {
    /// What it shall do.
    pub(super) wanted: CaptureSettings,
    /// Counts the renewals of its lease.
    pub(super) renewals: u64,
}

/// See the module.
pub(super) struct CaptureTask {
    pub(super) session: u64,
    pub(super) desired: watch::Receiver<DesiredState>,
    pub(super) lease: CancellationToken,
    pub(super) kill: Arc<Notify>,
    pub(super) events: mpsc::Sender<(u64, CaptureEvent)>,
    pub(super) pid_file: PidFile,
    /// What it is told first, until it was.
    pub(super) start: Option<ToCapture>,
}

impl CaptureTask {
    /// Where the guard's loop is busy this waits for it, and so does capture.
    async fn send_event(&self, events: CaptureEvent) {
        // Nobody listens any more only when the guard is ending; then the lease is closed.
        let _ = self.events.send((self.session, events)).await;
    }

    pub(super) async fn run(mut self, mode: LaunchMode) {
        let mut pauses = CONNECT_RETRY_DELAYS.into_iter();
        let (outcome, message) = loop {
            let ended = self.run_once(&mode).await;
            // What never said hello was never told to start: it may be tried again, by the same press.
            let again = self.start.is_some() && !self.lease.is_cancelled() && matches!(mode, LaunchMode::Socket(_));
            let Some(pause) = pauses.next().filter(|_| again) else { break ended };
            if !self.wait_before_retry(pause).await {
                break (CaptureExit::Stopped, None);
            }
        };
        self.send_event(CaptureEvent::Exited(outcome, message)).await;
    }

    /// Waits before the next attempt; `false`: consent ended meanwhile. What is wanted holds: nothing is open.
    async fn wait_before_retry(&mut self, pause: Duration) -> bool {
        let mut pause = std::pin::pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = self.lease.cancelled() => return false,
                () = &mut pause => return true,
                Ok(()) = self.desired.changed() => {
                    let wanted = self.desired.borrow_and_update().wanted;
                    self.send_event(CaptureEvent::Message(FromCapture::Applied(wanted))).await;
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
        let opened = tokio::select! {
            () = self.lease.cancelled() => {
                self.pid_file.remove();
                return (CaptureExit::Stopped, None);
            }
            opened = mode.connect() => opened,
        };
        let (stream, mut process) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.pid_file.remove();
                return (CaptureExit::NeverStarted, Some(mode.describe_error(&error)));
            }
        };
        let mut connection = IpcConnection::new(stream);
        let outcome = self.run_session(&mut connection, &mut process).await;
        drop(connection);
        let ended = match outcome {
            Ok(CaptureExit::Died) if self.start.is_some() && matches!(mode, LaunchMode::Socket(_)) => {
                let closed = std::io::Error::other("the connection is closed at once");
                (CaptureExit::NeverStarted, Some(mode.describe_error(&closed)))
            }
            Ok(outcome) => (outcome, None),
            Err(message) => {
                // It does not keep to the door's language, or not to its pace: it is not waited for.
                process.kill();
                (CaptureExit::Died, Some(message))
            }
        };
        self.wait_or_kill(&mut process).await;
        self.pid_file.remove();
        ended
    }

    async fn wait_or_kill(&self, process: &mut CaptureProcess) {
        let killer = process.handle();
        let mut gone = std::pin::pin!(process.wait());
        loop {
            tokio::select! {
                () = &mut gone => return,
                () = self.kill.notified() => killer.kill(),
            }
        }
    }

    /// Talks with capture until one side closes. `Err`: it has to be killed, and why.
    async fn run_session(
        &mut self,
        connection: &mut IpcConnection<FromCapture, ToCapture>,
        process: &mut CaptureProcess,
    ) -> Result<CaptureExit, String> {
        let clock = Clock::start();
        let mut reports = TokenBucket::new(REPORT_BURST, REPORT_INTERVAL, clock.now());
        // How it ended, if it ends now.
        let mut last = CaptureExit::Died;
        // What the guard's loop has no room for yet; nothing more is read before it has.
        let mut held: Option<CaptureEvent> = None;
        loop {
            tokio::select! {
                biased;
                () = self.lease.cancelled() => return Ok(CaptureExit::Stopped),
                changed = self.desired.changed() => {
                    if changed.is_err() {
                        return Ok(CaptureExit::Stopped);
                    }
                    let wanted = self.desired.borrow_and_update().wanted;
                    if self.start.is_some() {
                        // It goes out with the start, and nothing is open before that.
                        held = Some(CaptureEvent::Message(FromCapture::Applied(wanted)));
                    } else {
                        reports.add();
                        self.send(connection, &ToCapture::Renew { wanted }).await?;
                    }
                }
                room = self.events.reserve(), if held.is_some() => match room {
                    Ok(room) => {
                        if let Some(events) = held.take() {
                            room.send((self.session, events));
                        }
                    }
                    Err(_) => return Ok(CaptureExit::Stopped),
                },
                said = connection.receive(), if held.is_none() => match said {
                    Err(error) if error.is_protocol_error() => {
                        return Err(format!("capture sent what is not its language: {error}"));
                    }
                    // One that ends without having read all that was sent to it resets the connection.
                    Ok(None) | Err(_) => return Ok(last),
                    Ok(Some(_)) if !reports.try_take(clock.now()) => {
                        return Err("capture reported without end, and was killed".to_owned());
                    }
                    Ok(Some(FromCapture::Hello { pid })) => {
                        let known = process.identify(pid, &self.pid_file);
                        known.map_err(|error| format!("capture's process {pid} cannot be watched: {error}"))?;
                        // Only now that its end can be verified may it open anything.
                        let Some(start) = self.start.take() else { return Err("capture said hello twice".to_owned()) };
                        let wanted = self.desired.borrow_and_update().wanted;
                        self.send(connection, &start.with(wanted)).await?;
                        held = Some(CaptureEvent::Message(FromCapture::Hello { pid }));
                    }
                    Ok(Some(message)) => {
                        last = outcome(&message).unwrap_or(last);
                        held = Some(CaptureEvent::Message(message));
                    }
                },
            }
        }
    }

    /// Sends a message, unless consent ends meanwhile: that is seen to next.
    async fn send(
        &self,
        connection: &mut IpcConnection<FromCapture, ToCapture>,
        message: &ToCapture,
    ) -> Result<(), String> {
        tokio::select! {
            biased;
            () = self.lease.cancelled() => Ok(()),
            sent = tokio::time::timeout(SEND_TIMEOUT, connection.send(message)) => match sent {
                // Where it closed its end the next receive says so.
                Ok(Ok(()) | Err(IpcError::Socket(_))) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("capture does not read its messages".to_owned()),
            },
        }
    }
}

/// How a capture that ends after these words ended.
fn outcome(message: &FromCapture) -> Option<CaptureExit> {
    match message {
        FromCapture::Failed { .. } => Some(CaptureExit::Failed),
        FromCapture::ProbeFinished(_) => Some(CaptureExit::ProbeFinished),
        FromCapture::Hello { .. }
        | FromCapture::Applied(_)
        | FromCapture::Encoder { .. }
        | FromCapture::Camera { .. }
        | FromCapture::EncoderFallback { .. }
        | FromCapture::Live {}
        | FromCapture::Reconnecting { .. }
        | FromCapture::DeviceLost { .. }
        | FromCapture::DeviceRecovered { .. }
        | FromCapture::Stats(_)
        | FromCapture::Secondary(_) => None,
    }
}
