//! `policy`: a new policy, signed, at each box; and how far the fleet is with it.

mod sign;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notes::DocumentType;
use rumqttc::PublishOptions;
use serde::Serialize;
use serde_json::json;
use tallybox::exit::Exit;
use tallybox::judges::policy_note;

use crate::connection::{BrokerArgs, Connection, SessionKind, Snapshot};
use crate::target::Targets;
use crate::view::{self, State};
use crate::{notice, options, output};
use sign::SignArgs;

/// What is done with policies.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Sign a policy; the note goes to standard output.
    Sign(Box<SignArgs>),
    /// Publish a signed policy for boxes, retained: those that are away get it when they come.
    Publish {
        /// The note.
        #[arg(value_name = "NOTE")]
        note: PathBuf,
        #[command(flatten)]
        broker: BrokerArgs,
        #[command(flatten)]
        targets: PublishTargets,
    },
    /// How many boxes have which policy, and how many wait for staff.
    Status {
        #[command(flatten)]
        broker: BrokerArgs,
        /// All boxes are known once nothing came for this long.
        #[arg(long, value_name = "TIME", default_value = "2s", value_parser = options::duration)]
        wait: Duration,
        /// As JSON, with stable fields.
        #[arg(long)]
        json: bool,
    },
}

/// Boxes that a retained message is for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PublishTargets {
    #[command(flatten)]
    targets: Targets,
    /// All boxes are known once nothing came for this long.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = options::duration)]
    wait: Duration,
}

/// The boxes with one policy. The fields are stable: docs/fleet.md has them.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Count {
    boxes: u64,
    waiting_for_staff: u64,
}

/// Does what was asked.
pub(crate) async fn run(action: &Action) -> Result<(), Exit> {
    match action {
        Action::Sign(args) => output::line(args.note()?.trim_end()),
        Action::Publish { note, broker, targets } => publish(note, broker, targets).await,
        Action::Status { broker, wait, json } => status(broker, *wait, *json).await,
    }
}

async fn publish(note: &Path, broker: &BrokerArgs, targets: &PublishTargets) -> Result<(), Exit> {
    let PublishTargets { targets, wait } = targets;
    targets.check()?;
    let text = read(note)?;
    let (connection, boxes) = states(broker, *wait).await?;
    let mut ids: Vec<String> = if targets.boxes.is_empty() {
        boxes.iter().filter(|(id, state)| targets.has(id, Some(view::phase(state)))).map(|(id, _)| id.clone()).collect()
    } else {
        targets.boxes.clone()
    };
    ids.sort();
    for id in &ids {
        let topic = format!("{}/{id}/policy", broker.prefix);
        let sent =
            connection.client.publish_tracked(topic, text.clone(), PublishOptions::at_least_once().retained()).await;
        let failed = |why: String| Exit::unavailable(format!("{id}: the broker does not take it: {why}"));
        let outcome = sent.map_err(|error| failed(error.to_string()))?.wait_async().await;
        outcome.map_err(|error| failed(error.to_string()))?;
    }
    connection.close().await;
    output::line(&format!("published for {} boxes; policy status tells how far they are", ids.len()))
}

/// A policy that a box can read. Who signed it is the boxes' matter: they trust keys, this program does not.
fn read(file: &Path) -> Result<String, Exit> {
    let (text, note) = notice::read(file)?;
    let wrong = |why: String| Exit::data(format!("{}: {why}", file.display()));
    let document = notes::document(note.text()).map_err(|error| wrong(error.to_string()))?;
    if document.kind != DocumentType::Policy {
        return Err(wrong(format!("it is no policy, but {}", document.kind.as_str())));
    }
    policy_note::read(document.json).map_err(wrong)?;
    Ok(text)
}

/// All boxes' states, with the connection on which they came.
async fn states(broker: &BrokerArgs, wait: Duration) -> Result<(Connection, BTreeMap<String, State>), Exit> {
    let filters = vec![(format!("{}/+/state", broker.prefix), rumqttc::mqttbytes::QoS::AtLeastOnce)];
    let mut connection = Connection::open(broker, filters, &SessionKind::Clean).await?;
    let (mut boxes, mut snapshot) = (BTreeMap::new(), Snapshot::new(wait));
    while let Some(message) = snapshot.next(&mut connection).await? {
        let topic = String::from_utf8_lossy(&message.topic);
        let state = view::parse::<State>(&message.payload);
        if let (Some((id, _)), Some(state)) = (view::split_topic(&broker.prefix, &topic), state) {
            boxes.insert(id.to_owned(), state);
        }
    }
    Ok((connection, boxes))
}

async fn status(broker: &BrokerArgs, wait: Duration, json: bool) -> Result<(), Exit> {
    let (connection, boxes) = states(broker, wait).await?;
    connection.close().await;
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for state in boxes.values() {
        let count = counts.entry(state.policy_version.clone().unwrap_or_else(|| "unknown".to_owned())).or_default();
        count.boxes += 1;
        count.waiting_for_staff += u64::from(view::phase(state) == "policy");
    }
    if json {
        return output::json(&json!({ "boxes": boxes.len(), "policies": counts }));
    }
    for (version, Count { boxes, waiting_for_staff }) in &counts {
        output::line(&format!("{version:<24} {boxes:>7} boxes, {waiting_for_staff} wait for staff"))?;
    }
    Ok(())
}
