//! What the demo's parts tell the page, and the switches that the page turns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, watch};

use super::observation::Observation;
use super::page_text::{PageText, page_text};
use crate::clock::Clock;
use crate::ipc::{LedgerEntry, Phase, StreamStats, Verb};
use crate::sync::LockExt;
use monotonic::Monotonic;

/// Ledger entries that a page that comes later is shown.
const ENTRIES: usize = 200;
/// Messages that a slow page may be behind.
const BEHIND: usize = 512;
/// The stream arrives as long as something of it came within this: it has 30 pictures a second, and a network its
/// pauses.
const ARRIVES: Duration = Duration::from_secs(2);

/// What the page is told.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "tell", rename_all = "kebab-case")]
pub(super) enum Tell {
    /// What stands in front of staff, and the words for it.
    Shop(Box<Shop>),
    /// The ledger grew.
    Entry { entry: Box<LedgerEntry> },
    /// What the platform hears over MQTT.
    Mqtt { topic: String, payload: Value, retained: bool },
    /// Whether the platform reaches the box, in a word and in a sentence.
    Platform { link: String, reaches: bool, says: String },
    /// What became of a command.
    Answer { verb: Verb, ok: bool, says: String },
    /// The switches.
    Switches(Switches),
}

/// See [`Tell::Shop`]. What is not confirmed is not in it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Shop {
    phase: Option<Phase>,
    muted: Option<bool>,
    lamp: &'static str,
    /// The lamp's rhythm: on and off in milliseconds.
    rhythm: &'static [u16],
    stream: Option<StreamStats>,
    words: PageText,
}

impl Tell {
    /// What is seen of the box.
    pub(super) fn shop(seen: &Observation) -> Self {
        let status = seen.guard.status();
        let dead: (&str, &[u16]) = ("dead", &[0, 1000]);
        let (lamp, rhythm) = seen.lamp.map_or(dead, |lamp| (lamp.as_str(), lamp.spans()));
        Self::Shop(Box::new(Shop {
            phase: status.map(|status| status.phase),
            muted: status.filter(|status| status.phase.may_capture()).map(|status| status.muted),
            lamp,
            rhythm,
            stream: status.and_then(|status| status.stream),
            words: page_text(seen),
        }))
    }
}

/// What the page can break; true = whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // each is one switch on the page
pub(super) struct Switches {
    pub(super) network: bool,
    pub(super) ingest: bool,
    pub(super) broker: bool,
    pub(super) lamp: bool,
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
    entries: VecDeque<LedgerEntry>,
    mqtt: BTreeMap<String, Tell>,
    platform: Option<Tell>,
    start: Option<Vec<u8>>,
    /// When something of the stream last came.
    arrived: Option<Monotonic>,
}

/// Joins the demo's parts.
#[derive(Debug)]
pub(super) struct Hub {
    tells: broadcast::Sender<Tell>,
    media: broadcast::Sender<Media>,
    switches: watch::Sender<Switches>,
    latest: Mutex<Latest>,
    clock: Clock,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            tells: broadcast::Sender::new(BEHIND),
            media: broadcast::Sender::new(BEHIND),
            switches: watch::Sender::new(Switches { network: true, ingest: true, broker: true, lamp: true }),
            latest: Mutex::default(),
            clock: Clock::start(),
        }
    }
}

impl Hub {
    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock_unpoisoned()
    }

    /// Tells all pages, and remembers it for those that come later.
    pub(super) fn tell(&self, tell: Tell) {
        let mut latest = self.latest();
        match &tell {
            Tell::Shop(_) => latest.shop = Some(tell.clone()),
            Tell::Entry { entry } => {
                if latest.entries.len() == ENTRIES {
                    latest.entries.pop_front();
                }
                latest.entries.push_back(LedgerEntry::clone(entry));
            }
            Tell::Mqtt { topic, .. } if topic == "availability" || topic == "state" => {
                latest.mqtt.insert(topic.clone(), tell.clone());
            }
            Tell::Platform { reaches, .. } => {
                if !reaches {
                    // What was heard before is not known to hold any more.
                    latest.mqtt.clear();
                }
                latest.platform = Some(tell.clone());
            }
            Tell::Mqtt { .. } | Tell::Answer { .. } | Tell::Switches(_) => {}
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
        told.extend(latest.platform.clone());
        told.extend(latest.mqtt.values().cloned());
        told.push(Tell::Switches(*self.switches.borrow()));
        (told, self.tells.subscribe())
    }

    /// The stream goes on, begins or ends.
    pub(super) fn stream(&self, media: Media) {
        let mut latest = self.latest();
        match &media {
            Media::Start(start) => latest.start = Some(start.clone()),
            Media::Fragment(_) => latest.arrived = Some(self.clock.now()),
            Media::End => (latest.start, latest.arrived) = (None, None),
        }
        let _ = self.media.send(media);
    }

    /// Whether the stream arrives.
    pub(super) fn arrives(&self) -> bool {
        self.latest().arrived.is_some_and(|at| self.clock.now().duration_since(at) < ARRIVES)
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
