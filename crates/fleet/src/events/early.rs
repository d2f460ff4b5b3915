//! Events that came ahead of those before them: a broker of several nodes keeps no order between them.

use std::collections::BTreeMap;
use std::time::Duration;

use monotonic::Monotonic;
use rumqttc::mqttbytes::v5::Publish;

/// How long the missing ones are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events that wait, of all boxes together: a tenth of what a broker sends unacknowledged at most.
const MOST: usize = 4096;

/// What waits of one box, by number.
#[derive(Debug)]
struct Waiting {
    until: Monotonic,
    events: BTreeMap<u64, Publish>,
}

/// Events that are neither kept nor acknowledged yet.
#[derive(Debug, Default)]
pub(super) struct EarlyEvents(BTreeMap<String, Waiting>);

impl EarlyEvents {
    /// Whether one more may wait.
    pub(super) fn has_room(&self) -> bool {
        self.0.values().map(|waiting| waiting.events.len()).sum::<usize>() < MOST
    }

    /// Lets an event wait.
    pub(super) fn hold(&mut self, id: &str, seq: u64, event: Publish, now: Monotonic) {
        let new = || Waiting { until: now.saturating_add(PATIENCE), events: BTreeMap::new() };
        self.0.entry(id.to_owned()).or_insert_with(new).events.insert(seq, event);
    }

    /// What waits of a box, in order; it waits no more.
    pub(super) fn release(&mut self, id: &str) -> Vec<Publish> {
        self.0.remove(id).map(|waiting| waiting.events.into_values().collect()).unwrap_or_default()
    }

    /// When the first of them has waited long enough.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.0.values().map(|waiting| waiting.until).min()
    }

    /// A box whose events have waited long enough by now; with `None` any.
    pub(super) fn overdue(&self, now: Option<Monotonic>) -> Option<String> {
        let is_due = |waiting: &Waiting| now.is_none_or(|now| waiting.until <= now);
        self.0.iter().find(|(_, waiting)| is_due(waiting)).map(|(id, _)| id.clone())
    }

    /// The broker brings them again.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
