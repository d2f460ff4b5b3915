//! What is known of the boxes before a command is sent: whether they are there, and their guards' time.

use std::collections::HashMap;

use monotonic::Monotonic;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::Publish;
use tallybox::clock::Clock;
use tallybox::exit::Exit;

use super::payload::GuardTime;
use super::{Caution, CommandArgs};
use crate::connection::{Connection, SessionKind, Snapshot};
use crate::target::Targets;
use crate::view::{self, Availability, State};

/// Boxes that are subscribed to one by one; more, and all boxes are listened to.
const MAX_NAMED: usize = 32;
/// What is listened to.
const NAMES: [&str; 4] = ["availability", "state", "reply", "config/reported"];

/// One box.
#[derive(Debug, Default)]
struct Known {
    availability: Availability,
    phase: Option<&'static str>,
    epoch: Option<Box<str>>,
    uptime_s: u64,
    /// Whether it trusts a key; `None`: it does not say.
    signed_commands: Option<bool>,
    /// When that uptime was: not known of a message that the broker had kept.
    at: Option<Monotonic>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct KnownBoxes(HashMap<Box<str>, Known>);

/// Connects, and listens until all named boxes have been heard of, or nothing comes any more.
pub(super) async fn learn(args: &CommandArgs) -> Result<(Connection, KnownBoxes), Exit> {
    let prefix = &args.broker.prefix;
    let named = &args.targets.boxes;
    let boxes: Vec<&str> = if named.is_empty() || named.len() > MAX_NAMED {
        vec!["+"]
    } else {
        named.iter().map(String::as_str).collect()
    };
    let topics = boxes.iter().flat_map(|id| NAMES.map(|name| format!("{prefix}/{id}/{name}")));
    let filters = topics.map(|topic| (topic, QoS::AtLeastOnce)).collect();
    let mut connection = Connection::open(&args.broker, filters, &SessionKind::Clean).await?;
    let (mut known, clock) = (KnownBoxes::default(), Clock::start());
    let is_heard = |known: &KnownBoxes, id: &String| {
        known
            .0
            .get(id.as_str())
            .is_some_and(|known| known.phase.is_some() && known.availability != Availability::Unknown)
    };
    let mut snapshot = Snapshot::new(args.wait);
    while named.is_empty() || !named.iter().all(|id| is_heard(&known, id)) {
        let Some(message) = snapshot.next(&mut connection).await? else { break };
        let topic = String::from_utf8_lossy(&message.topic);
        if let Some((id, name)) = view::split_topic(prefix, &topic) {
            known.hear(id, name, &message, clock.now());
        }
    }
    // What follows counts from the sender's own clock.
    known.0.values_mut().for_each(|known| known.at = None);
    Ok((connection, known))
}

impl KnownBoxes {
    /// Takes a message of a box.
    pub(super) fn hear(&mut self, id: &str, name: &str, message: &Publish, now: Monotonic) {
        if !matches!(name, "availability" | "state") {
            return;
        }
        let known = self.0.entry(id.into()).or_default();
        if name == "availability" {
            known.availability = Availability::parse(&message.payload);
        } else if let Some(state) = view::parse::<State>(&message.payload) {
            known.phase = Some(view::phase(&state));
            known.epoch = state.epoch.map(String::into_boxed_str);
            known.uptime_s = state.uptime_s.unwrap_or(0);
            known.signed_commands = state.signed_commands;
            known.at = (!message.retain).then_some(now);
        }
    }

    /// The guard's time, as far as it is known: a box whose state is old answers with its own, and is asked again.
    pub(super) fn time(&self, id: &str, now: Monotonic) -> Option<GuardTime> {
        let known = self.0.get(id)?;
        let passed = known.at.map_or(0, |at| now.duration_since(at).as_secs());
        Some(GuardTime { epoch: known.epoch.as_deref()?.to_owned(), uptime_s: known.uptime_s + passed })
    }

    /// Whether the box says that it knows no key: it would refuse every signature.
    pub(super) fn knows_no_key(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|known| known.signed_commands == Some(false))
    }

    /// The box refused a command because it was not signed: what it said before is old.
    pub(super) fn wants_signatures(&mut self, id: &str) {
        self.0.entry(id.into()).or_default().signed_commands = Some(true);
    }

    /// The boxes to ask, in order, and those that are away.
    pub(super) fn select(&self, targets: &Targets, caution: Caution) -> (Vec<String>, Vec<String>) {
        let mut ids: Vec<String> = if targets.boxes.is_empty() {
            self.0.keys().map(ToString::to_string).collect()
        } else {
            targets.boxes.clone()
        };
        ids.sort();
        ids.dedup();
        ids.retain(|id| targets.has(id, self.0.get(id.as_str()).and_then(|known| known.phase)));
        let is_named = !targets.boxes.is_empty();
        let is_there = |id: &String| {
            let online = self.0.get(id.as_str()).is_some_and(|known| known.availability == Availability::Online);
            online || is_named && caution == Caution::None
        };
        let (there, away): (Vec<_>, Vec<_>) = ids.into_iter().partition(is_there);
        // Of a whole fleet many are away: only who is named is told of.
        (there, if is_named { away } else { Vec::new() })
    }
}
