//! `events`: follows the ledgers of all boxes, and archives them: each entry once, in order, with its chain checked.

mod archive;
mod chain;

use std::path::PathBuf;
use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use serde::Deserialize;
use tallybox::exit::Exit;
use tallybox::runtime::ShutdownSignals;

use crate::connection::{BrokerArgs, Connection, Heard, SessionKind};
use crate::target::Filter;
use crate::{options, output, view};
use archive::Archive;
use chain::{Chains, Verdict};

/// What is followed, and where it goes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    filter: Filter,
    /// Keeps each entry in DIR/BOX/LEDGER.jsonl, and prints nothing but what is wrong.
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// The broker keeps events under this name while nobody follows, so that none is missed; one name for each archive.
    #[arg(long, value_name = "NAME", requires = "archive")]
    session: Option<String>,
    /// For how long it keeps them.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = options::duration)]
    keep: Duration,
    /// Ends after this; without it at Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = options::duration)]
    duration: Option<Duration>,
    /// Events as they came, a line of JSON each.
    #[arg(long)]
    json: bool,
}

/// The part of an event that is shown.
#[derive(Debug, Deserialize)]
struct Shown {
    seq: u64,
    at: String,
    fact: serde_json::Map<String, serde_json::Value>,
}

/// How many events there were.
#[derive(Debug, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct Tally {
    /// Each counted once.
    events: u64,
    /// The same again.
    repeated: u64,
    /// Places where entries are missing.
    gaps: u64,
    /// Events whose hash does not fit, and what is no event.
    refused: u64,
}

/// Follows until it is told to end.
pub(crate) async fn run(args: &Args) -> Result<(), Exit> {
    let mut shutdown = ShutdownSignals::listen_in_terminal()?;
    let session = args.session.clone().map_or(SessionKind::Clean, |name| {
        let seconds = u32::try_from(args.keep.as_secs()).unwrap_or(u32::MAX);
        SessionKind::Kept { name, seconds }
    });
    let archive = args.archive.as_deref().map(Archive::open).transpose()?;
    let filters = vec![(format!("{}/+/event", args.broker.prefix), QoS::AtLeastOnce)];
    let mut connection = Connection::open(&args.broker, filters, &session).await?;
    let mut follower = Follower { args, archive, chains: Chains::default(), tally: Tally::default() };
    let over = async {
        match args.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        tokio::select! {
            _ = shutdown.recv() => break,
            () = &mut over => break,
            heard = connection.recv() => match heard {
                Heard::Connected => {}
                Heard::Lost(why) => eprintln!("the connection is lost, and made again: {why}"),
                Heard::Message(message) => {
                    let topic = String::from_utf8_lossy(&message.topic).into_owned();
                    if let Some((id, "event")) = view::split_topic(&args.broker.prefix, &topic) {
                        follower.take(id, &message.payload)?;
                    }
                    if session != SessionKind::Clean {
                        connection.acknowledge(&message).await;
                    }
                }
            },
        }
    }
    connection.close().await;
    eprintln!("{}", serde_json::to_string(&follower.tally).unwrap_or_default());
    Ok(())
}

struct Follower<'a> {
    args: &'a Args,
    archive: Option<Archive>,
    chains: Chains,
    tally: Tally,
}

impl Follower<'_> {
    fn take(&mut self, id: &str, payload: &[u8]) -> Result<(), Exit> {
        if !self.args.filter.has(id, None) {
            return Ok(());
        }
        let archive = self.archive.as_ref();
        let place = |ledger: &str| archive.map_or(Ok(None), |archive| archive.last(id, ledger));
        match self.chains.judge(id, payload, place)? {
            Verdict::Next(entry) => self.keep(id, &entry.ledger, entry.line),
            Verdict::Gap(entry, why) => {
                self.tally.gaps += 1;
                eprintln!("{id}: {why}");
                self.keep(id, &entry.ledger, entry.line)
            }
            Verdict::Repeated => {
                self.tally.repeated += 1;
                Ok(())
            }
            Verdict::Refused(why) => {
                self.tally.refused += 1;
                eprintln!("{id}: refused: {why}");
                Ok(())
            }
        }
    }

    fn keep(&mut self, id: &str, ledger: &str, line: &str) -> Result<(), Exit> {
        self.tally.events += 1;
        if let Some(archive) = &self.archive {
            return archive.append(id, ledger, line);
        }
        if self.args.json {
            return output::line(line);
        }
        let Some(Shown { seq, at, mut fact }) = view::parse(line.as_bytes()) else { return Ok(()) };
        let kind = fact.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
        let rest = if fact.is_empty() { String::new() } else { serde_json::Value::Object(fact).to_string() };
        output::line(format!("{at:<30} {id:<24} {seq:>6} {kind} {rest}").trim_end())
    }
}
