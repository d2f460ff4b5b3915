//! Calls the guard from the command line.

use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;

use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{FromGuard, IpcConnection, IpcError, ProbeReport, Request, Response, Status, ToGuard};

/// The guard answers at once, but for a stop (half a second); this is for a machine that is overloaded.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection to the guard.
pub(crate) struct Client {
    connection: IpcConnection<FromGuard, ToGuard>,
    calls: u64,
}

fn lost(error: &IpcError) -> Exit {
    Exit::unavailable(format!("the guard went away: {error}"))
}

impl Client {
    /// Connects to the guard that runs on this configuration.
    pub(crate) async fn connect(config: &Config) -> Result<Self, Exit> {
        let path = config.guard_socket();
        let stream = UnixStream::connect(&path).await.map_err(|error| refused(&path, &error))?;
        Ok(Self { connection: IpcConnection::new(stream), calls: 0 })
    }

    /// Sends a request. Returns its number.
    pub(crate) async fn send(&mut self, request: Request) -> Result<u64, Exit> {
        self.calls += 1;
        self.connection.send(&ToGuard { call: self.calls, request }).await.map_err(|error| lost(&error))?;
        Ok(self.calls)
    }

    /// The next message.
    pub(crate) async fn receive(&mut self) -> Result<FromGuard, Exit> {
        let received = self.connection.receive().await.map_err(|error| lost(&error))?;
        received.ok_or_else(|| Exit::unavailable("the guard closed the connection; its log says why"))
    }

    /// Sends a request and waits for its answer; the last status on the way comes with it.
    pub(crate) async fn call(&mut self, request: Request) -> Result<Option<Status>, Exit> {
        Ok(self.call_for(request, PATIENCE).await?.0)
    }

    /// The same for a request that takes its time, and with what it found.
    pub(crate) async fn call_for(
        &mut self,
        request: Request,
        patience: Duration,
    ) -> Result<(Option<Status>, Option<ProbeReport>), Exit> {
        let number = self.send(request).await?;
        let answered = async {
            let mut seen = None;
            loop {
                match self.receive().await? {
                    FromGuard::Status(status) => seen = Some(*status),
                    FromGuard::Response { call, response } if call == number => {
                        return match response {
                            Response::Done
                            | Response::Unwritten
                            | Response::Erased(_)
                            | Response::Installing { .. } => Ok((seen, None)),
                            Response::Probed(findings) => Ok((seen, Some(findings))),
                            Response::Rejected(rejection) | Response::Unavailable(rejection) => {
                                Err(Exit::unavailable(format!("refused: {}", rejection.why)))
                            }
                        };
                    }
                    FromGuard::Response { .. }
                    | FromGuard::Ledger { .. }
                    | FromGuard::Entry(_)
                    | FromGuard::Reported(_) => {}
                }
            }
        };
        let answer = tokio::time::timeout(patience, answered).await;
        answer.unwrap_or_else(|_| Err(Exit::unavailable("the guard does not answer; its log says why")))
    }
}

fn refused(path: &Path, error: &std::io::Error) -> Exit {
    let path = path.display();
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        Exit::permission(format!("{path}: {error}; call tallybox as root or as the guard's own user"))
    } else {
        Exit::unavailable(format!(
            "no guard answers at {path}: {error}; start it, or name its configuration with --config"
        ))
    }
}
