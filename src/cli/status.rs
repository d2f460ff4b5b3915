//! `tallybox status`: what the box is doing now, from the guard.

use std::fmt::Write as _;

use serde::Serialize;

use super::client::Client;
use super::doctor::identity::device_id;
use super::doctor::{self, CheckResult, desired};
use crate::clock::utc_now;
use crate::config::{Config, Mqtt};
use crate::exit::Exit;
use crate::ipc::{IncidentText, KeyAtRest, Request, Status};
use crate::runtime::block_on;
use crate::text::Language;
use crate::transport_warnings::{self, Warning};

/// What the command line knows beside the guard's own word.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Surroundings {
    /// The box's name at the broker; `None`: it comes from the box's key, and the guard does not say it.
    device_id: Option<String>,
    /// The broker's address; `None`: there is none.
    broker: Option<String>,
    /// How it stands with the broker, in the agent's words; `None`: nobody says.
    broker_state: Option<String>,
    /// What is doubtful about the way to the broker, by the files as they are now: the words of `state`.
    warnings: Vec<Warning>,
    /// Where streams go, without keys.
    destinations: Vec<String>,
    /// How the roles do, in doctor's form.
    roles: Vec<CheckResult>,
}

impl Surroundings {
    fn of(config: &Config, status: Option<&Status>) -> Self {
        let roles = doctor::roles(config, status);
        let agent = roles.iter().find(|row| row.check == "agent").filter(|_| config.mqtt.is_some());
        let id = device_id(config, status);
        let warnings = config.mqtt.as_ref().map(|mqtt| transport_warnings::gather(mqtt, id.as_deref(), utc_now()));
        Self {
            device_id: id,
            warnings: warnings.unwrap_or_default(),
            broker: config.mqtt.as_ref().map(Mqtt::origin),
            broker_state: agent.map(|row| row.found.clone()),
            destinations: config.ingest.places(),
            roles,
        }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<9} {value}");
        };
        line("id", self.device_id.as_deref().unwrap_or("not known yet: it comes from the box's key"));
        line("broker", self.broker.as_deref().unwrap_or("none: the box is not controlled from outside"));
        for warning in &self.warnings {
            line("warning", &format!("{}: {}", warning.as_str(), warning.sentence()));
        }
        for place in &self.destinations {
            line("streams", &format!("to {place}"));
        }
        for row in &self.roles {
            line(row.check, &row.found);
            if !row.advice.is_empty() {
                line("", &format!("→ {}", row.advice));
            }
        }
        text
    }
}

/// The guard's word and the rest, as `--json` prints them: the names of the one and of the other side by side.
#[derive(Serialize)]
struct Report<'s> {
    #[serde(flatten)]
    status: &'s Status,
    #[serde(flatten)]
    surroundings: &'s Surroundings,
}

/// Prints the status. Without a guard it says why there is none, as far as that can be known.
pub(super) fn run(config: &Config, json: bool) -> Result<(), Exit> {
    let asked = block_on(async {
        let status = Client::connect(config).await?.call(Request::Status {}).await?;
        status.ok_or_else(|| Exit::software("the guard answered without a status"))
    });
    let surroundings = Surroundings::of(config, asked.as_ref().ok());
    let status = match asked {
        Ok(status) => status,
        Err(exit) => {
            if !json {
                write(&surroundings.describe())?;
            }
            return Err(exit);
        }
    };
    if json {
        let report = Report { status: &status, surroundings: &surroundings };
        return write(&(serde_json::to_string(&report).map_err(|error| Exit::software(error.to_string()))? + "\n"));
    }
    write(&(describe(&status, Language::of_environment()) + &surroundings.describe()))
}

/// The guard's word alone.
pub(super) fn print(status: &Status, json: bool) -> Result<(), Exit> {
    write(&if json {
        serde_json::to_string(status).map_err(|error| Exit::software(error.to_string()))? + "\n"
    } else {
        describe(status, Language::of_environment())
    })
}

fn write(text: &str) -> Result<(), Exit> {
    use std::io::Write as _;
    // Whoever reads may have read enough: a closed pipe is not a failure of the box.
    std::io::stdout().write_all(text.as_bytes()).map_err(|_| Exit::io(""))
}

/// In English, but for what an incident means: whoever finds the box may have to act on that.
fn describe(status: &Status, language: Language) -> String {
    let mut text = format!("phase     {} since {}\n", status.phase.as_str(), status.since);
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:<9} {value}");
        }
    };
    line("session", status.session.map(|session| session.to_string()));
    line("lamp", Some(status.lamp.as_str().to_owned()));
    line("sound", status.session.map(|_| if status.muted { "muted" } else { "on" }.to_owned()));
    line("reason", status.reason.clone());
    line("message", status.message.clone());
    for open in &status.incidents {
        let IncidentText { happened, impact, done: _, advice } = open.incident.text(language);
        line("incident", Some(format!("{}: {}", open.incident.as_str(), open.what)));
        line("", Some(format!("{happened} {impact}")));
        line("", Some(format!("→ {advice}")));
    }
    line("encoder", status.encoder.clone());
    line("camera", status.camera.clone());
    line(
        "stream",
        status.stream.map(|stream| {
            format!(
                "{:.0} fps, {} lines, {} kbit/s, {} ms queued, {} frames dropped, {} reconnects{}{}",
                stream.fps,
                stream.height,
                stream.bitrate_kbps,
                stream.queue_ms,
                stream.dropped_frames,
                stream.reconnects,
                stream.link_kind.map(|link| format!(", over {}", link.as_str())).unwrap_or_default(),
                if stream.reduced { "; reduced: the network takes no more" } else { "" }
            )
        }),
    );
    line("policy", Some(status.policy_version.clone()));
    for text in desired::describe(&status.desired) {
        line("desired", Some(text));
    }
    line("key", status.identity_at_rest.map(|key| key.sentence().get(Language::En).to_owned()));
    if status.identity_at_rest == Some(KeyAtRest::TpmFails) {
        line("", Some(format!("→ {}", KeyAtRest::TpmFails.advice())));
    }
    line("panel", Some(status.panel.clone()));
    line("software", Some(status.software.clone()));
    text
}
