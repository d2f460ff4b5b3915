//! mosquitto as a child of the simulation, so that a script can stop and start it. It ends with the simulation.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tallybox::exit::Exit;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// The broker, running or stopped.
#[derive(Debug)]
pub(super) struct Broker {
    config: PathBuf,
    address: (String, u16),
    child: Option<Child>,
}

impl Broker {
    /// Starts it, and waits until it listens at `address`.
    pub(super) async fn start(config: &Path, address: (String, u16)) -> Result<Self, Exit> {
        let mut broker = Self { config: config.to_owned(), address, child: None };
        broker.resume().await?;
        Ok(broker)
    }

    /// Starts it again; nothing where it runs.
    pub(super) async fn resume(&mut self) -> Result<(), Exit> {
        if self.child.is_some() {
            return Ok(());
        }
        let (host, port) = (self.address.0.as_str(), self.address.1);
        if TcpStream::connect((host, port)).await.is_ok() {
            let why = format!("another program listens on {host}:{port}: stop it, or leave --mosquitto out");
            return Err(Exit::unavailable(why));
        }
        // Debian has it in a folder that is not in everybody's PATH.
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
        let program = program.into_iter().find(|path| Path::new(path).exists()).unwrap_or("mosquitto");
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.kill_on_drop(true).spawn();
        let missing = |error| Exit::unavailable(format!("{program} cannot be started: {error}; install mosquitto"));
        let child = self.child.insert(child.map_err(missing)?);
        let listens = async {
            while TcpStream::connect((host, port)).await.is_err() {
                if let Ok(Some(status)) = child.try_wait() {
                    let config = self.config.display();
                    let why = format!("mosquitto ended ({status}): see what `{program} -c {config}` says");
                    return Err(Exit::config(why));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        let late = || Exit::unavailable(format!("mosquitto does not listen on {host}:{port}, as --broker says"));
        tokio::time::timeout(PATIENCE, listens).await.unwrap_or_else(|_| Err(late()))
    }

    /// Kills it, as a power cut would; nothing where it does not run.
    pub(super) async fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It fails only where the child is gone.
            let _ = child.kill().await;
        }
    }
}
