//! `list`: each box once, as the broker's retained messages have it, while they come: memory holds a few bytes a box.

use std::collections::BTreeMap;
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use serde::Serialize;
use tallybox::exit::Exit;

use crate::connection::{BrokerArgs, Connection, SessionKind, Snapshot};
use crate::options;
use crate::output;
use crate::target::Filter;
use crate::view::{self, Availability, State};

/// Boxes, and how they are listed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    filter: Filter,
    /// Boxes that are not online.
    #[arg(long)]
    away: bool,
    /// All that there is has come once nothing came for this long.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = options::duration)]
    wait: Duration,
    /// A line of JSON for each box, with stable fields.
    #[arg(long)]
    json: bool,
}

/// One box. The fields are stable: docs/fleet.md has them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row<'a> {
    #[serde(rename = "box")]
    id: &'a str,
    availability: Availability,
    #[serde(flatten)]
    state: &'a State,
}

/// Prints a line for each box.
pub(crate) async fn run(args: &Args) -> Result<(), Exit> {
    let prefix = &args.broker.prefix;
    // Availability first: a byte or two of each box is kept, and its state passes by.
    let mut known = availabilities(args, prefix).await?;
    let filters = vec![(format!("{prefix}/+/state"), QoS::AtLeastOnce)];
    let mut connection = Connection::open(&args.broker, filters, &SessionKind::Clean).await?;
    if !args.json {
        output::line(&format!("{:<24} {:<8} {:<12} {:<20} REASON", "BOX", "", "PHASE", "SINCE"))?;
    }
    let (mut listed, mut snapshot) = (0_u64, Snapshot::new(args.wait));
    while let Some(message) = snapshot.next(&mut connection).await? {
        let topic = String::from_utf8_lossy(&message.topic);
        let Some((id, _)) = view::split_topic(prefix, &topic) else { continue };
        let Some(state) = view::parse::<State>(&message.payload) else { continue };
        // A box that changes meanwhile is listed once.
        let Some(availability) = take(&mut known, id) else { continue };
        listed += u64::from(print(args, id, availability, &state)?);
    }
    for (id, availability) in known.iter().filter_map(|(id, known)| Some((id, (*known)?))) {
        listed += u64::from(print(args, id, availability, &State::default())?);
    }
    eprintln!("{listed} boxes");
    connection.close().await;
    Ok(())
}

/// The box's availability, once; a box that never told one is `unknown`.
fn take(known: &mut BTreeMap<Box<str>, Option<Availability>>, id: &str) -> Option<Availability> {
    if let Some(listed) = known.get_mut(id) {
        return listed.take();
    }
    known.insert(id.into(), None);
    Some(Availability::Unknown)
}

async fn availabilities(args: &Args, prefix: &str) -> Result<BTreeMap<Box<str>, Option<Availability>>, Exit> {
    let filters = vec![(format!("{prefix}/+/availability"), QoS::AtLeastOnce)];
    let mut connection = Connection::open(&args.broker, filters, &SessionKind::Clean).await?;
    let (mut known, mut snapshot) = (BTreeMap::new(), Snapshot::new(args.wait));
    while let Some(message) = snapshot.next(&mut connection).await? {
        let topic = String::from_utf8_lossy(&message.topic);
        if let Some((id, _)) = view::split_topic(prefix, &topic) {
            known.insert(id.into(), Some(Availability::parse(&message.payload)));
        }
    }
    connection.close().await;
    Ok(known)
}

/// Prints a box if it is wanted; returns whether it is.
fn print(args: &Args, id: &str, availability: Availability, state: &State) -> Result<bool, Exit> {
    let phase = view::phase(state);
    if !args.filter.has(id, Some(phase)) || args.away && availability == Availability::Online {
        return Ok(false);
    }
    if args.json {
        output::json(&Row { id, availability, state })?;
    } else {
        let since = state.since.as_deref().unwrap_or("-").get(..19).unwrap_or("-");
        let reason = state.reason.as_deref().unwrap_or_default();
        output::line(&format!("{id:<24} {:<8} {phase:<12} {since:<20} {reason}", availability.as_str()))?;
    }
    Ok(true)
}
