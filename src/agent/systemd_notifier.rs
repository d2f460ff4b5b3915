//! What systemd, the log and `doctor` are told of the agent: that its loop turns, and how it stands with the broker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::explain::ConnectionLoss;
use crate::atomic_file::BY_UMASK;
use crate::certificate;
use crate::config::Mqtt;
use crate::disk::{self, File};

/// How often the watchdog is fed; the unit's `WatchdogSec=` is six times this.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(5);
/// What is wrong between agent and broker now, in the agent's folder, a line each; for `doctor`.
const FILE: &str = "broker-remarks";
/// Longest file of remarks that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024;

/// Fed by whichever loop the agent is in: with a connection, or waiting for the next attempt.
#[derive(Debug)]
pub(super) struct SystemdNotifier {
    broker: String,
    feed_watchdog: Interval,
    /// How it stands with the connection.
    connection: String,
    /// What does not work although there is a connection, by what it is about.
    remarks: BTreeMap<&'static str, String>,
    file: PathBuf,
}

impl SystemdNotifier {
    pub(super) fn new(mqtt: &Mqtt, agent_dir: &Path) -> Self {
        let mut feed_watchdog = interval(WATCHDOG_INTERVAL);
        feed_watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Host and port and no more: a URL may have a user name and a password in it.
        let broker = format!("{}:{}", mqtt.host, mqtt.port);
        let connection = format!("connecting to {broker}");
        Self { broker, feed_watchdog, connection, remarks: BTreeMap::new(), file: agent_dir.join(FILE) }
    }

    /// The agent is up, whether or not there is a broker.
    pub(super) fn ready(&self) {
        // Remarks of an agent that is gone.
        self.write();
        notify(&[NotifyState::Ready, NotifyState::Status(&self.status())]);
    }

    /// Feeds the watchdog when it is time. One arm of each loop: a loop that hangs does not get here.
    pub(super) async fn feed_watchdog(&mut self) {
        self.feed_watchdog.tick().await;
        notify(&[NotifyState::Watchdog]);
    }

    /// Commands will be heard from now on.
    pub(super) fn connected(&mut self) {
        self.connection = format!("connected to {}", self.broker);
        self.report();
    }

    /// The broker is out of reach, or cannot be used.
    pub(super) fn disconnected(&mut self, loss: &ConnectionLoss) {
        self.connection = format!("not connected to {}: {}", self.broker, loss.reason);
        self.report();
    }

    /// The agent has no business with a broker, for this reason.
    pub(super) fn resting(&mut self, reason: &str) {
        reason.clone_into(&mut self.connection);
        self.remarks.clear();
        self.report();
    }

    /// What is wrong `about` something, or that nothing is any more. Logged once for each change.
    pub(super) fn remark(&mut self, about: &'static str, what: Option<String>) {
        self.note(about, what, &format!("the broker takes {about} again"));
    }

    /// Certificates that end within 30 days, or none that do. Logged once for each change.
    pub(super) fn certificates(&mut self, first_end: Option<Timestamp>, now: Timestamp) {
        let soon = first_end.filter(|end| end.duration_since(now) < certificate::SOON);
        let what = soon.map(|end| {
            let day = end.strftime("%F");
            format!("a certificate ends on {day}, and the box is shut out then: see tallybox doctor, and renew it")
        });
        self.note("certificates", what, "all certificates are good for more than 30 days");
    }

    /// `recovered` is logged where nothing is wrong any more.
    fn note(&mut self, about: &'static str, what: Option<String>, recovered: &str) {
        if self.remarks.get(about) == what.as_ref() {
            return;
        }
        if let Some(what) = what {
            tracing::warn!("{what}");
            self.remarks.insert(about, what);
        } else {
            tracing::info!("{recovered}");
            self.remarks.remove(about);
        }
        self.report();
    }

    fn status(&self) -> String {
        one_line(&sentence(&self.connection, self.remarks.values()))
    }

    fn report(&self) {
        notify(&[NotifyState::Status(&self.status())]);
        self.write();
    }

    /// For `doctor` alone: what cannot be written stands in the log.
    fn write(&self) {
        let lines: Vec<String> = self.remarks.values().map(|remark| one_line(remark)).collect();
        let text = lines.join("\n");
        let written = if text.is_empty() { disk::remove_file(&self.file) } else { self.replace(&text) };
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "{} cannot be written", self.file.display());
        }
    }

    fn replace(&self, text: &str) -> std::io::Result<()> {
        if let Some(dir) = self.file.parent().filter(|dir| !disk::is_dir(dir)) {
            disk::create_dir(dir, 0o777)?;
        }
        File::create(&self.file, BY_UMASK)?.write_all(text.as_bytes())
    }
}

/// What the agent says is wrong between it and the broker; nothing where it says nothing.
pub(crate) fn remarks(agent_dir: &Path) -> Vec<String> {
    // Root asks, in a folder where the agent's user writes.
    let text = crate::untrusted_file::read(&agent_dir.join(FILE), MAX_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(one_line).collect()
}

/// A reason may quote what a broker sent, and each line of a message to systemd is an instruction.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(super) fn notify(state: &[NotifyState<'_>]) {
    #[cfg(feature = "sim")]
    if crate::connect::simulated::is_installed() {
        return;
    }
    // Outside of systemd there is nobody to tell.
    let _ = sd_notify::notify(state);
}

/// How it stands with the connection, and each remark; what the one says already, the other need not.
fn sentence<'a>(connection: &str, remarks: impl Iterator<Item = &'a String>) -> String {
    let more = remarks.filter(|remark| !connection.contains(remark.as_str())).map(|remark| format!("; {remark}"));
    std::iter::once(connection.to_owned()).chain(more).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn remarks_are_read_from_a_plain_file_only() {
        let dir = tempfile::tempdir().unwrap();
        let (file, secret) = (dir.path().join(super::FILE), dir.path().join("secret"));
        std::fs::write(&secret, "hidden").unwrap();
        std::os::unix::fs::symlink(&secret, &file).unwrap();
        assert_eq!(super::remarks(dir.path()), [""; 0]);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "one\u{1b}[2J\ntwo").unwrap();
        assert_eq!(super::remarks(dir.path()), ["one [2J", "two"]);
        std::fs::write(&file, vec![b'x'; 1024 * 1024]).unwrap();
        assert_eq!(super::remarks(dir.path()), [""; 0]);
    }

    #[test]
    fn nothing_is_said_twice() {
        let remarks = ["the id is taken".to_owned(), "events wait".to_owned()];
        let said = super::sentence("not connected: the id is taken", remarks.iter());
        assert_eq!(said, "not connected: the id is taken; events wait");
    }

    #[test]
    fn a_reason_gives_systemd_no_instructions() {
        assert_eq!(super::one_line("a\nWATCHDOG=1\r\u{0}"), "a WATCHDOG=1  ");
    }
}
