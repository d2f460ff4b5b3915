//! The demo's processes: the broker and the box. All of them end with the demo, however it ends.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::hub::{Hub, Switches};
use crate::config::Config;
use crate::exit::Exit;

/// Before a program that ended by itself is started again.
const AGAIN: Duration = Duration::from_millis(500);
/// What the box gets to end in order.
const PATIENCE: Duration = Duration::from_secs(10);

/// The programs that the demo needs, and their Debian packages.
const PROGRAMS: [(&str, &str); 3] = [("mosquitto", "mosquitto"), ("ffmpeg", "ffmpeg"), ("setpriv", "util-linux")];

/// Where Debian puts daemons is not in every user's PATH.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

/// Whether all programs are here.
pub(super) fn installed() -> Result<(), Exit> {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Exit::unavailable(format!("the demo needs: apt install {}", missing.join(" "))))
}

/// A program that gets SIGTERM when the demo dies without a word.
pub(super) fn mortal(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(find(program).unwrap_or_else(|| program.into()));
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Keeps a child running while its switch is on. `turned` says which switch; `start` makes the child.
async fn keep(
    hub: &Hub,
    ending: &CancellationToken,
    turned: fn(&Switches) -> bool,
    mut start: impl FnMut() -> std::io::Result<Child>,
) {
    let mut switches = hub.switches();
    while !ending.is_cancelled() {
        let on = turned(&switches.borrow_and_update());
        let mut child = if on { start().ok() } else { None };
        tokio::select! {
            () = ending.cancelled() => {}
            () = async { while turned(&switches.borrow_and_update()) == on && switches.changed().await.is_ok() {} } => {}
            () = async {
                match &mut child {
                    Some(child) => drop(child.wait().await),
                    None if on => {}
                    None => std::future::pending().await,
                }
                tokio::time::sleep(AGAIN).await;
            } => {}
        }
        if let Some(mut child) = child {
            let _ = child.kill().await;
        }
    }
}

/// The broker, while its switch is on.
pub(super) async fn broker(home: PathBuf, port: u16, hub: Arc<Hub>, ending: CancellationToken) {
    let config = home.join("mosquitto.conf");
    let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n");
    if let Err(error) = std::fs::write(&config, text) {
        tracing::error!(%error, "the broker's configuration cannot be written");
        return;
    }
    let start = || mortal("mosquitto").arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    keep(&hub, &ending, |switches| switches.broker, start).await;
}

/// The box: guard, agent and, after a press, capture.
pub(super) fn shop(config: &Config) -> Result<Child, Exit> {
    let failed = |error: std::io::Error| Exit::software(format!("the box cannot be started: {error}"));
    let log = std::fs::File::create(config.path.with_file_name("box.log")).map_err(failed)?;
    let mut command = Command::from(crate::ipc::self_command());
    command.args(["run", "--supervised", "--config"]).arg(&config.path).stdin(Stdio::null()).stderr(log);
    command.kill_on_drop(true).spawn().map_err(failed)
}

/// Ends the box in order.
pub(super) async fn finish(shop: &mut Child) {
    let pid = shop.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(PATIENCE, shop.wait()).await.is_err() {
        let _ = shop.kill().await;
    }
}
