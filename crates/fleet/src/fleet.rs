//! All boxes as their messages have them: a small record for each, and counts.

use std::collections::{BTreeMap, HashMap};

use rumqttc::mqttbytes::QoS;

use crate::view::{self, Availability, State, Telemetry};

/// Longest reason that is kept of a box, in characters.
const MAX_REASON: usize = 60;

/// What is subscribed to.
pub(crate) fn filters(prefix: &str) -> Vec<(String, QoS)> {
    let names = [("availability", QoS::AtLeastOnce), ("state", QoS::AtLeastOnce), ("telemetry", QoS::AtMostOnce)];
    names.into_iter().map(|(name, qos)| (format!("{prefix}/+/{name}"), qos)).collect()
}

/// One box.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoxView {
    pub(crate) availability: Availability,
    /// A word of [`view::PHASES`]; empty before there was a state.
    pub(crate) phase: &'static str,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) since: Option<Box<str>>,
    pub(crate) software: Option<Box<str>>,
    pub(crate) muted: bool,
    pub(crate) epoch: Option<Box<str>>,
    /// Of that epoch, by the last telemetry; `None` where none has come.
    pub(crate) guard_uptime_s: Option<u64>,
    pub(crate) bitrate_kbps: Option<u32>,
    pub(crate) temperature_c: Option<f32>,
    pub(crate) round_trip_ms: Option<u32>,
    pub(crate) dropped_frames: u64,
    pub(crate) reduced: bool,
}

impl BoxView {
    /// How much it wants to be looked at: the lowest first.
    pub(crate) fn urgency(&self) -> u8 {
        match (self.availability, self.phase) {
            (Availability::Online, "fault") => 0,
            (Availability::Online, "reconnecting" | "policy") => 1,
            (Availability::Online, "requested" | "connecting" | "stopping") => 2,
            (Availability::Online, "live") => 3,
            (Availability::Offline, _) => 4,
            (Availability::Online, "locked") => 5,
            (Availability::Online, _) => 6,
            (Availability::Stopped | Availability::Unknown, _) => 7,
        }
    }
}

/// The fleet.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) boxes: HashMap<Box<str>, BoxView>,
    pub(crate) messages: u64,
    pub(crate) events: u64,
}

impl Fleet {
    /// Takes a message; returns the box that it is of.
    pub(crate) fn hear<'t>(&mut self, prefix: &str, topic: &'t str, payload: &[u8]) -> Option<&'t str> {
        let (id, name) = view::split_topic(prefix, topic)?;
        self.messages += 1;
        if name == "event" {
            self.events += 1;
            return None;
        }
        if payload.is_empty() && matches!(name, "availability" | "state") {
            // Somebody deleted the retained message: the box is taken out of service.
            self.boxes.remove(id);
            return Some(id);
        }
        let known = self.boxes.entry(id.into()).or_default();
        match name {
            "availability" => {
                known.availability = Availability::parse(payload);
                if known.availability != Availability::Online {
                    // It goes on without telling.
                    known.guard_uptime_s = None;
                }
            }
            "state" => state(known, view::parse(payload)?),
            "telemetry" => telemetry(known, &view::parse(payload)?),
            _ => return None,
        }
        Some(id)
    }

    /// How many boxes there are in each phase; only those that are online have one.
    pub(crate) fn phases(&self) -> BTreeMap<&'static str, u64> {
        let mut counts: BTreeMap<_, _> = view::PHASES.iter().map(|phase| (*phase, 0)).collect();
        for known in self.boxes.values().filter(|known| known.availability == Availability::Online) {
            let phase = if known.phase.is_empty() { "unknown" } else { known.phase };
            *counts.entry(phase).or_default() += 1;
        }
        counts
    }

    /// How many boxes there are of each availability.
    pub(crate) fn availabilities(&self) -> BTreeMap<Availability, u64> {
        let mut counts: BTreeMap<_, _> = Availability::ALL.into_iter().map(|one| (one, 0)).collect();
        self.boxes.values().for_each(|known| *counts.entry(known.availability).or_default() += 1);
        counts
    }
}

fn state(known: &mut BoxView, state: State) {
    known.phase = view::phase(&state);
    known.reason = state.reason.map(|reason| reason.chars().take(MAX_REASON).collect());
    known.since = state.since.map(String::into_boxed_str);
    known.muted = state.muted.unwrap_or(false);
    if known.software.as_deref() != state.software.as_deref() {
        known.software = state.software.map(String::into_boxed_str);
    }
    if known.epoch.as_deref() != state.epoch.as_deref() {
        (known.epoch, known.guard_uptime_s) = (state.epoch.map(String::into_boxed_str), None);
    }
    if !matches!(known.phase, "live" | "reconnecting" | "connecting") {
        (known.bitrate_kbps, known.round_trip_ms, known.reduced) = (None, None, false);
    }
}

fn telemetry(known: &mut BoxView, report: &Telemetry) {
    known.bitrate_kbps = report.bitrate_kbps;
    known.guard_uptime_s = report.guard_uptime_s;
    known.temperature_c = report.temperature_c;
    known.round_trip_ms = report.round_trip_ms;
    known.dropped_frames = report.dropped_frames.unwrap_or(0);
    known.reduced = report.reduced.unwrap_or(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleet_is_what_was_heard_last() {
        let mut fleet = Fleet::default();
        let mut hear = |topic: &str, payload: &str| {
            fleet.hear("tallybox/v1", &format!("tallybox/v1/{topic}"), payload.as_bytes()).map(str::to_owned);
        };
        hear("shop-1/availability", "online");
        hear("shop-1/state", r#"{"phase":"live","reason":null,"since":"2026-11-29T10:00:00Z"}"#);
        hear("shop-1/telemetry", r#"{"bitrate-kbps":2500,"reduced":true,"guard-uptime-s":90}"#);
        hear("shop-2/availability", "offline");
        hear("shop-2/state", r#"{"phase":"live"}"#);
        hear("shop-3/state", "not json");
        hear("shop-3/cmd/stop", r#"{"id":"c1"}"#);
        hear("shop-1/event", "{}");
        assert_eq!(fleet.phases()["live"], 1, "one that is away is in no phase");
        assert_eq!(fleet.availabilities()[&Availability::Unknown], 1);
        assert_eq!((fleet.boxes["shop-1"].bitrate_kbps, fleet.events), (Some(2500), 1));
        assert_eq!(fleet.boxes["shop-1"].guard_uptime_s, Some(90));
        fleet.hear("tallybox/v1", "tallybox/v1/shop-1/state", br#"{"phase":"idle","epoch":"0f"}"#);
        assert_eq!(fleet.boxes["shop-1"].guard_uptime_s, None, "it was of another epoch");
        assert_eq!(fleet.boxes["shop-1"].bitrate_kbps, None, "an idle box sends nothing");
        fleet.hear("tallybox/v1", "tallybox/v1/shop-2/state", b"");
        assert!(!fleet.boxes.contains_key("shop-2"));
    }
}
