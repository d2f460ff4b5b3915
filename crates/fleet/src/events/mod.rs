//! `events`: follows the ledgers of all boxes, and archives them: each entry once, in order, with its chain checked.

mod archive;
mod chain;
mod early;
mod witness;

use std::path::PathBuf;
use std::time::Duration;

use monotonic::Monotonic;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::Publish;
use serde::Deserialize;
use tallybox::clock::{self, Clock};
use tallybox::exit::Exit;
use tallybox::runtime::ShutdownSignals;

use crate::connection::{BrokerArgs, Connection, Heard, SessionKind};
use crate::target::Filter;
use crate::{options, output, view};
use archive::Archive;
use chain::{Chains, Verdict};
use early::EarlyEvents;
use witness::{Judgement, Witness};

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
    /// The boxes' keys, one a line, as `identity.verifier-key` in `status --json` has them: their checkpoints are held
    /// against the archive and the one before, and kept in DIR/BOX/KEY.checkpoint.
    #[arg(long, value_name = "FILE", requires = "archive")]
    keys: Option<PathBuf>,
    /// Cosigns the checkpoints that are kept, as a witness (cosignature/v1), with a key for this alone.
    #[arg(long, value_name = "FILE", requires = "keys")]
    cosign: Option<PathBuf>,
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
    /// Checkpoints that were kept.
    checkpoints: u64,
    /// Checkpoints that contradict what the box signed or sent before.
    contradictions: u64,
}

/// Follows until it is told to end.
pub(crate) async fn run(args: &Args) -> Result<(), Exit> {
    let mut shutdown = ShutdownSignals::listen_in_terminal()?;
    let session = args.session.clone().map_or(SessionKind::Clean, |name| {
        let seconds = u32::try_from(args.keep.as_secs()).unwrap_or(u32::MAX);
        SessionKind::Kept { name, seconds }
    });
    let archive = args.archive.as_deref().map(Archive::open).transpose()?;
    let witness = args.keys.as_deref().map(|keys| Witness::load(keys, args.cosign.as_deref())).transpose()?;
    let names = std::iter::once("event").chain(witness.as_ref().map(|_| "checkpoint"));
    let filters = names.map(|name| (format!("{}/+/{name}", args.broker.prefix), QoS::AtLeastOnce)).collect();
    let mut connection = Connection::open(&args.broker, filters, &session).await?;
    let clock = Clock::start();
    let mut follower = Follower {
        args,
        archive,
        witness,
        clock,
        chains: Chains::default(),
        early: EarlyEvents::default(),
        tally: Tally::default(),
    };
    let is_kept = session != SessionKind::Clean;
    let end = args.duration.map(|duration| clock.to_instant(clock.now().saturating_add(duration)));
    loop {
        let due = follower.early.due().map(|due| clock.to_instant(due));
        let done = tokio::select! {
            _ = shutdown.recv() => break,
            () = until(end) => break,
            () = until(due) => follower.give_up(Some(clock.now()))?,
            heard = connection.recv() => match heard {
                Heard::Connected => Vec::new(),
                Heard::Lost(why) => {
                    eprintln!("the connection is lost, and made again: {why}");
                    if is_kept {
                        follower.early.clear();
                    }
                    Vec::new()
                }
                Heard::Message(message) => follower.take(message)?,
            },
        };
        if is_kept {
            for message in &done {
                connection.acknowledge(message).await;
            }
        }
    }
    if !is_kept {
        follower.give_up(None)?;
    }
    connection.close().await;
    eprintln!("{}", serde_json::to_string(&follower.tally).unwrap_or_default());
    Ok(())
}

/// Seconds since 1970, in UTC.
fn seconds() -> u64 {
    u64::try_from(clock::utc_now().as_second()).unwrap_or(0)
}

/// Waits until then; for ever where there is no such moment.
async fn until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

struct Follower<'a> {
    args: &'a Args,
    archive: Option<Archive>,
    /// `None`: checkpoints are not looked at.
    witness: Option<Witness>,
    clock: Clock,
    chains: Chains,
    early: EarlyEvents,
    tally: Tally,
}

impl Follower<'_> {
    /// Takes a message. Returns those that are dealt with by now.
    fn take(&mut self, message: Publish) -> Result<Vec<Publish>, Exit> {
        let topic = String::from_utf8_lossy(&message.topic).into_owned();
        let Some((id, name)) = view::split_topic(&self.args.broker.prefix, &topic) else { return Ok(vec![message]) };
        if !self.args.filter.has(id, None) {
            return Ok(vec![message]);
        }
        if name == "checkpoint" {
            self.take_checkpoint(id, &message.payload)?;
        }
        if name != "event" {
            return Ok(vec![message]);
        }
        let mut done = Vec::new();
        if self.take_event(id, message, false, &mut done)? {
            // What came before its turn may follow on it.
            for early in self.early.release(id) {
                self.take_event(id, early, false, &mut done)?;
            }
            self.retry_checkpoint(id)?;
        }
        Ok(done)
    }

    fn take_checkpoint(&mut self, id: &str, payload: &[u8]) -> Result<(), Exit> {
        let (Some(witness), Some(archive)) = (&mut self.witness, &self.archive) else { return Ok(()) };
        if payload.is_empty() {
            return Ok(());
        }
        let judgement = witness.judge(id, payload, archive, seconds())?;
        self.tell(id, judgement);
        Ok(())
    }

    /// Looks again at a checkpoint whose entries had not come.
    fn retry_checkpoint(&mut self, id: &str) -> Result<(), Exit> {
        let (Some(witness), Some(archive)) = (&mut self.witness, &self.archive) else { return Ok(()) };
        let last = self.chains.last(id).unwrap_or(0);
        if let Some(judgement) = witness.judge_early(id, last, archive, seconds())? {
            self.tell(id, judgement);
        }
        Ok(())
    }

    fn tell(&mut self, id: &str, judgement: Judgement) {
        match judgement {
            Judgement::Kept => self.tally.checkpoints += 1,
            Judgement::Known | Judgement::Early => {}
            Judgement::Refused(why) => eprintln!("{id}: its checkpoint is not kept: {why}"),
            Judgement::Contradiction(why) => {
                self.tally.contradictions += 1;
                eprintln!("{id}: CONTRADICTION: {why}; keep the archive, and look at the box");
            }
        }
    }

    /// Takes what waits for others that do not come: of boxes that waited long enough by now, with `None` of all.
    fn give_up(&mut self, now: Option<Monotonic>) -> Result<Vec<Publish>, Exit> {
        let mut done = Vec::new();
        while let Some(id) = self.early.overdue(now) {
            for early in self.early.release(&id) {
                self.take_event(&id, early, true, &mut done)?;
            }
            self.retry_checkpoint(&id)?;
        }
        Ok(done)
    }

    /// Takes an event, or lets it wait for those before it. Returns whether it was kept.
    fn take_event(
        &mut self,
        id: &str,
        message: Publish,
        takes_gaps: bool,
        done: &mut Vec<Publish>,
    ) -> Result<bool, Exit> {
        let archive = self.archive.as_ref();
        let place = |ledger: &str| archive.map_or(Ok(None), |archive| archive.last(id, ledger));
        let payload = message.payload.clone();
        let is_kept = match self.chains.judge(id, &payload, place, takes_gaps)? {
            Verdict::Early(seq) if self.early.has_room() => {
                self.early.hold(id, seq, message, self.clock.now());
                return Ok(false);
            }
            Verdict::Early(_) => return self.take_event(id, message, true, done),
            Verdict::Next(entry) => self.keep(id, &entry.ledger, entry.line).map(|()| true)?,
            Verdict::Gap(entry, why) => {
                self.tally.gaps += 1;
                eprintln!("{id}: {why}");
                self.keep(id, &entry.ledger, entry.line).map(|()| true)?
            }
            Verdict::Repeated => {
                self.tally.repeated += 1;
                false
            }
            Verdict::Refused(why) => {
                self.tally.refused += 1;
                eprintln!("{id}: refused: {why}");
                false
            }
        };
        done.push(message);
        Ok(is_kept)
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
