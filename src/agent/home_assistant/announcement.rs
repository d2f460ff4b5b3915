//! What Home Assistant is told and was told: when the message is due, and what is to be withdrawn. No connection.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use monotonic::Monotonic;

use crate::atomic_file::{self, BY_UMASK, Durability};
use crate::config::Mqtt;
use crate::disk;

/// In the agent's folder: the topics with a message of this box, a line each. What was announced once is withdrawn
/// when it is switched off, or when prefix or id change.
const FILE: &str = "home-assistant";
/// Longest file that is read, in bytes: a topic has at most 340, and there are seldom two.
const MAX_FILE_BYTES: u64 = 4096;
/// The least time between two of these messages on one connection, however many births there are.
pub(super) const LEAST_INTERVAL: Duration = Duration::from_mins(1);

/// What Home Assistant is told, and what it was told before.
#[derive(Debug)]
pub(in crate::agent) struct HomeAssistant {
    /// Its discovery prefix; `None`: it is told nothing.
    prefix: Option<String>,
    path: PathBuf,
    /// Topics with a message of this box at the broker, as far as it is known.
    announced: Vec<String>,
    /// The topic whose message is on its way, and whether that one withdraws.
    under_way: Option<(String, bool)>,
    /// When the message is sent next.
    due: Option<Monotonic>,
    sent_at: Option<Monotonic>,
    /// The broker refused to withdraw something: not tried again on this connection.
    gave_up: bool,
}

impl HomeAssistant {
    pub(in crate::agent) fn new(mqtt: &Mqtt, agent_dir: &Path) -> Self {
        let path = agent_dir.join(FILE);
        let announced = load(&path);
        let prefix = mqtt.home_assistant.clone();
        Self { prefix, path, announced, under_way: None, due: None, sent_at: None, gave_up: false }
    }

    /// Where Home Assistant says that it has started.
    pub(super) fn status_topic(&self) -> Option<String> {
        self.prefix.as_ref().map(|prefix| format!("{prefix}/status"))
    }

    /// The topic of the box `id`, if Home Assistant is told anything.
    pub(super) fn topic(&self, id: &str) -> Option<String> {
        self.prefix.as_ref().map(|prefix| format!("{prefix}/device/{id}/config"))
    }

    /// When there is something to send that nothing else wakes the connection's loop for.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.due.filter(|_| self.under_way.is_none())
    }

    /// The box is online at `now`: the message is due.
    pub(super) fn connected(&mut self, now: Monotonic) {
        (self.under_way, self.sent_at, self.gave_up) = (None, None, false);
        self.due = self.prefix.is_some().then_some(now);
    }

    /// Home Assistant has started: it is told again `after` this time, once and not too often.
    pub(super) fn born(&mut self, now: Monotonic, after: Duration) {
        let earliest = self.sent_at.map_or(now, |at| at.saturating_add(LEAST_INTERVAL));
        self.due = self.due.or(Some(now.saturating_add(after).max(earliest)));
    }

    /// The next topic to publish to; `true`: nothing, to withdraw what is there.
    pub(super) fn next(&mut self, now: Monotonic, own: Option<&str>) -> Option<(String, bool)> {
        if self.under_way.is_some() {
            return None;
        }
        let stale = self.announced.iter().find(|topic| Some(topic.as_str()) != own).filter(|_| !self.gave_up);
        let next = match (stale, own) {
            (Some(topic), _) => (topic.clone(), true),
            (None, Some(own)) if self.due.is_some_and(|due| due <= now) => {
                (self.due, self.sent_at) = (None, Some(now));
                (own.to_owned(), false)
            }
            // Nothing is told of a box that is unbound: a time that has passed would wake the loop without a pause.
            (None, None) => {
                self.due = None;
                return None;
            }
            (None, Some(_)) => return None,
        };
        self.under_way = Some(next.clone());
        Some(next)
    }

    /// Before a topic is published to for the first time: what is not written down could not be withdrawn later.
    pub(super) fn note(&mut self, topic: &str) {
        if !self.announced.iter().any(|known| known == topic) {
            self.announced.push(topic.to_owned());
            self.store();
        }
    }

    /// The broker has what was on its way, or refused it.
    pub(super) fn settle(&mut self, accepted: bool) {
        match self.under_way.take() {
            Some((topic, true)) if accepted => {
                self.announced.retain(|known| *known != topic);
                self.store();
            }
            Some((_, true)) => self.gave_up = true,
            Some((_, false)) | None => {}
        }
    }

    fn store(&self) {
        let write = || -> io::Result<()> {
            if self.announced.is_empty() {
                return atomic_file::remove(&self.path);
            }
            if let Some(dir) = self.path.parent().filter(|dir| !disk::is_dir(dir)) {
                disk::create_dir(dir, 0o777)?;
            }
            let text: String = self.announced.iter().flat_map(|topic| [topic, "\n"]).collect();
            atomic_file::replace(&self.path, text.as_bytes(), BY_UMASK, Durability::Synced)
        };
        if let Err(error) = write() {
            let path = self.path.display();
            tracing::error!(%error, "{path} cannot be written: an entry in Home Assistant may stay behind");
        }
    }

    /// The box was unbound: the next platform is told nothing of before.
    pub(in crate::agent) fn forget(&mut self) {
        self.announced.clear();
        self.store();
    }
}

fn load(path: &Path) -> Vec<String> {
    let read = || -> io::Result<String> {
        if disk::metadata(path)?.len > MAX_FILE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        disk::read_to_string(path)
    };
    let text = read().unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(%error, "{} cannot be read: an entry in Home Assistant may stay behind", path.display());
        }
        String::new()
    });
    // Wildcards cannot be published to: a damaged line would end the connection.
    let sane = |topic: &&str| !topic.is_empty() && !topic.contains(['#', '+', '\0']);
    text.lines().filter(sane).map(str::to_owned).collect()
}
