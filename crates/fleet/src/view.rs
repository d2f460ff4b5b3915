//! What is known of a box from its messages. Boxes of other versions may say more or less: everything is optional.

use serde::{Deserialize, Serialize};

/// Longest text of a message that is kept, in characters.
const MAX_TEXT: usize = 200;

/// The retained `state`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct State {
    pub(crate) phase: Option<String>,
    pub(crate) session: Option<u64>,
    pub(crate) since: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) muted: Option<bool>,
    pub(crate) policy_version: Option<String>,
    pub(crate) software: Option<String>,
    pub(crate) epoch: Option<String>,
    pub(crate) uptime_s: Option<u64>,
    pub(crate) signed_commands: Option<bool>,
}

/// The part of `telemetry` that is shown or counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Telemetry {
    pub(crate) temperature_c: Option<f32>,
    pub(crate) bitrate_kbps: Option<u32>,
    pub(crate) fps: Option<f32>,
    pub(crate) dropped_frames: Option<u64>,
    pub(crate) round_trip_ms: Option<u32>,
    pub(crate) reconnects: Option<u32>,
    pub(crate) reduced: Option<bool>,
    pub(crate) certificate_expires: Option<String>,
    pub(crate) guard_uptime_s: Option<u64>,
}

/// How a box is connected, by its own and the broker's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Availability {
    #[default]
    Unknown,
    Online,
    Offline,
    Stopped,
}

impl Availability {
    pub(crate) const ALL: [Self; 4] = [Self::Unknown, Self::Online, Self::Offline, Self::Stopped];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Stopped => "stopped",
        }
    }

    pub(crate) fn parse(payload: &[u8]) -> Self {
        match payload {
            b"online" => Self::Online,
            b"offline" => Self::Offline,
            b"stopped" => Self::Stopped,
            _ => Self::Unknown,
        }
    }
}

/// A phase as it may be shown and counted: a word of docs/mqtt.md, or `unknown`.
pub(crate) fn phase(state: &State) -> &'static str {
    let known = state.phase.as_deref().and_then(|phase| PHASES.iter().find(|known| **known == phase));
    known.copied().unwrap_or("unknown")
}

/// Every phase, and `unknown` for what is none.
pub(crate) const PHASES: [&str; 10] =
    ["live", "connecting", "reconnecting", "requested", "stopping", "idle", "policy", "locked", "fault", "unknown"];

/// A message's JSON; `None` where it is none. Texts are cut and lose their control characters: they reach terminals.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(payload: &[u8]) -> Option<T> {
    let mut value: serde_json::Value = serde_json::from_slice(payload).ok()?;
    clean_values(&mut value);
    // serde would take an array for a struct, too.
    value.is_object().then(|| serde_json::from_value(value).ok())?
}

fn clean_values(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = clean(text),
        serde_json::Value::Array(values) => values.iter_mut().for_each(clean_values),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(clean_values),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

/// A text for a terminal: in one line, and without what turns its direction.
pub(crate) fn clean(text: &str) -> String {
    tallybox::ipc::clean(text, MAX_TEXT)
}

/// The box and the name behind `<prefix>/`, of a topic; `None`: it is no box's.
pub(crate) fn split_topic<'t>(prefix: &str, topic: &'t str) -> Option<(&'t str, &'t str)> {
    let (id, name) = topic.strip_prefix(prefix)?.strip_prefix('/')?.split_once('/')?;
    crate::options::is_box_id(id).then_some((id, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_boxes_are_told_from_others() {
        let split = |topic| split_topic("tallybox/v1", topic);
        assert_eq!(split("tallybox/v1/shop-1/state"), Some(("shop-1", "state")));
        assert_eq!(split("tallybox/v1/shop-1/config/reported"), Some(("shop-1", "config/reported")));
        for other in
            ["tallybox/v1/shop-1", "tallybox/v10/shop-1/state", "other/shop-1/state", "tallybox/v1/\u{1b}[2J/state"]
        {
            assert_eq!(split(other), None, "{other:?}");
        }
    }

    #[test]
    fn strange_messages_are_taken_as_far_as_they_can_be() {
        let state: State = parse(br#"{"phase":"live","new":{"a":1},"reason":"a\u001b[2Jb"}"#).unwrap();
        assert_eq!((phase(&state), state.reason.as_deref()), ("live", Some("a [2Jb")));
        assert_eq!(phase(&parse::<State>(br#"{"phase":"dancing"}"#).unwrap()), "unknown");
        assert!(parse::<State>(b"").is_none() && parse::<State>(b"\xff").is_none() && parse::<State>(b"[]").is_none());
    }
}
