//! The discovery message: <https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload>.
//!
//! Its keys are Home Assistant's, in full. Templates are constants: nothing from outside stands in one.

use serde_json::{Map, Value, json};

use crate::agent::broker::topic;
use crate::config::Mqtt;
use crate::ipc::{Phase, VERSION_STRING};

/// One figure of `telemetry`.
struct Figure {
    /// Its field there.
    field: &'static str,
    name: &'static str,
    unit: Option<&'static str>,
    class: Option<&'static str>,
    is_measurement: bool,
}

impl Figure {
    const fn new(field: &'static str, name: &'static str, unit: &'static str, class: Option<&'static str>) -> Self {
        Self { field, name, unit: Some(unit), class, is_measurement: true }
    }
}

/// What a shop's own Home Assistant is shown of `telemetry`: what somebody there can do something about.
const FIGURES: [Figure; 7] = [
    Figure::new("temperature-c", "Temperature", "°C", Some("temperature")),
    Figure::new("disk-free-mib", "Disk free", "MiB", Some("data_size")),
    Figure::new("bitrate-kbps", "Bitrate", "kbit/s", Some("data_rate")),
    Figure::new("fps", "Frame rate", "fps", None),
    Figure::new("round-trip-ms", "Round-trip time", "ms", Some("duration")),
    Figure { field: "link-kind", name: "Link", unit: None, class: None, is_measurement: false },
    Figure {
        field: "certificate-expires",
        name: "Certificate expires",
        unit: None,
        class: Some("timestamp"),
        is_measurement: false,
    },
];

/// Phases in which a grant of staff's is in force.
const CONSENT: [Phase; 3] = [Phase::Connecting, Phase::Live, Phase::Reconnecting];

/// The retained message of the box `id`, as JSON.
pub(crate) fn message(mqtt: &Mqtt, id: &str) -> String {
    let version = VERSION_STRING.strip_prefix("tallybox ").unwrap_or(VERSION_STRING);
    let components: Map<String, Value> = parts(mqtt, id)
        .into_iter()
        .map(|(name, mut part)| {
            part["unique_id"] = format!("{id}-{name}").into();
            (name.to_owned(), part)
        })
        .collect();
    let whole = json!({
        "device": {
            "identifiers": format!("tallybox-{id}"),
            "name": id,
            "manufacturer": "tallybox",
            "model": "tallybox",
            "sw_version": version,
        },
        "origin": { "name": "tallybox", "sw_version": version },
        "availability_topic": topic(mqtt, id, "availability"),
        // `stopped`, a clean end, is no more available than `offline`.
        "availability_template": "{{ 'online' if value == 'online' else 'offline' }}",
        "state_topic": topic(mqtt, id, "telemetry"),
        "qos": 1,
        "components": components,
    });
    whole.to_string()
}

fn parts(mqtt: &Mqtt, id: &str) -> Vec<(&'static str, Value)> {
    let state = topic(mqtt, id, "state");
    let phases = Phase::ALL.map(Phase::as_str);
    let in_phase = |phases: &[Phase]| {
        let quoted: Vec<String> = phases.iter().map(|phase| format!("'{}'", phase.as_str())).collect();
        format!("{{{{ 'ON' if value_json.phase in [{}] else 'OFF' }}}}", quoted.join(","))
    };
    let mut parts = vec![
        (
            "live",
            json!({ "platform": "binary_sensor", "name": "Live", "state_topic": state,
                "value_template": in_phase(&[Phase::Live]) }),
        ),
        (
            "consent",
            json!({ "platform": "binary_sensor", "name": "Consent", "state_topic": state,
                "value_template": in_phase(&CONSENT) }),
        ),
        (
            "stop",
            json!({ "platform": "button", "name": "Stop", "command_topic": topic(mqtt, id, "cmd/stop"),
                // Each press is a command of its own: a box carries out each id once.
                "command_template": "{\"id\":\"home-assistant-{{ now().timestamp() }}\"}" }),
        ),
        (
            "phase",
            json!({ "platform": "sensor", "name": "Phase", "state_topic": state, "device_class": "enum",
                "options": phases, "value_template": "{{ value_json.phase }}", "entity_category": "diagnostic" }),
        ),
    ];
    parts.extend(FIGURES.iter().map(|figure| (figure.field, figure.component())));
    parts
}

impl Figure {
    fn component(&self) -> Value {
        let Self { field, name, unit, class, is_measurement } = self;
        let mut part = json!({ "platform": "sensor", "name": name, "entity_category": "diagnostic",
            "value_template": format!("{{{{ value_json['{field}'] }}}}") });
        if let Some(unit) = unit {
            part["unit_of_measurement"] = (*unit).into();
        }
        if let Some(class) = class {
            part["device_class"] = (*class).into();
        }
        if *is_measurement {
            part["state_class"] = "measurement".into();
        }
        part
    }
}
