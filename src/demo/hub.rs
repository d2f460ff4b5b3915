//! What the demo's parts tell the page, and the switches that the page turns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, watch};

use crate::ipc::{Entry, Status};

/// Ledger entries that a page that comes later is shown.
const ENTRIES: usize = 200;
/// Messages that a slow page may be behind.
const BEHIND: usize = 512;

/// What the page is told.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "tell", rename_all = "kebab-case")]
pub(super) enum Tell {
    /// What stands in front of staff: from the guard itself. `spans`: the lamp's rhythm, on and off in milliseconds.
    Shop { status: Option<Box<Status>>, spans: &'static [u16] },
    /// The ledger grew.
    Entry { entry: Box<Entry> },
    /// What the platform hears over MQTT.
    Mqtt { topic: String, payload: Value, retained: bool },
    /// Whether the platform's own broker is up.
    Broker { up: bool },
    /// The switches.
    Switches(Switches),
}

/// What the page can break; true = whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Switches {
    pub(super) network: bool,
    pub(super) ingest: bool,
    pub(super) broker: bool,
}

/// The stream as the ingest received it.
#[derive(Clone, Debug)]
pub(super) enum Media {
    /// A new stream: its initialisation segment.
    Start(Vec<u8>),
    /// A fragment of it.
    Fragment(Vec<u8>),
    /// It ended.
    End,
}

#[derive(Debug, Default)]
struct Latest {
    shop: Option<Tell>,
    entries: VecDeque<Entry>,
    mqtt: BTreeMap<String, Tell>,
    broker: Option<Tell>,
    start: Option<Vec<u8>>,
}

/// Joins the demo's parts.
#[derive(Debug)]
pub(super) struct Hub {
    tells: broadcast::Sender<Tell>,
    media: broadcast::Sender<Media>,
    switches: watch::Sender<Switches>,
    latest: Mutex<Latest>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            tells: broadcast::Sender::new(BEHIND),
            media: broadcast::Sender::new(BEHIND),
            switches: watch::Sender::new(Switches { network: true, ingest: true, broker: true }),
            latest: Mutex::default(),
        }
    }
}

impl Hub {
    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all pages, and remembers it for those that come later.
    pub(super) fn tell(&self, tell: Tell) {
        let mut latest = self.latest();
        match &tell {
            Tell::Shop { .. } => latest.shop = Some(tell.clone()),
            Tell::Entry { entry } => {
                if latest.entries.len() == ENTRIES {
                    latest.entries.pop_front();
                }
                latest.entries.push_back(Entry::clone(entry));
            }
            Tell::Mqtt { topic, .. } if topic == "availability" || topic == "state" => {
                latest.mqtt.insert(topic.clone(), tell.clone());
            }
            Tell::Broker { .. } => latest.broker = Some(tell.clone()),
            Tell::Mqtt { .. } | Tell::Switches(_) => {}
        }
        // Fails when no page is open.
        let _ = self.tells.send(tell);
    }

    /// Everything so far, and what comes.
    pub(super) fn listen(&self) -> (Vec<Tell>, broadcast::Receiver<Tell>) {
        let latest = self.latest();
        let entries = latest.entries.iter().cloned().map(|entry| Tell::Entry { entry: Box::new(entry) });
        let mut told: Vec<Tell> = entries.collect();
        told.extend(latest.shop.clone());
        told.extend(latest.broker.clone());
        told.extend(latest.mqtt.values().cloned());
        told.push(Tell::Switches(*self.switches.borrow()));
        (told, self.tells.subscribe())
    }

    /// The stream goes on, begins or ends.
    pub(super) fn stream(&self, media: Media) {
        let mut latest = self.latest();
        match &media {
            Media::Start(start) => latest.start = Some(start.clone()),
            Media::Fragment(_) => {}
            Media::End => latest.start = None,
        }
        let _ = self.media.send(media);
    }

    /// The stream's beginning, if there is one, and what comes.
    pub(super) fn watch_stream(&self) -> (Option<Vec<u8>>, broadcast::Receiver<Media>) {
        let latest = self.latest();
        (latest.start.clone(), self.media.subscribe())
    }

    pub(super) fn switches(&self) -> watch::Receiver<Switches> {
        self.switches.subscribe()
    }

    /// Turns the switches.
    pub(super) fn turn(&self, switches: Switches) {
        self.switches.send_replace(switches);
        self.tell(Tell::Switches(switches));
    }
}
