//! Commands to boxes: signed, sent, and followed to their answers, with limits on how many are under way and how many
//! may fail.

mod desired;
mod dispatch;
mod known;
mod payload;
mod report;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use notes::SignerKey;
use rumqttc::PublishOptions;
use rumqttc::mqttbytes::v5::PublishProperties;
use serde::Deserialize;
use tallybox::clock::Clock;
use tallybox::exit::Exit;
use tallybox::runtime::ShutdownSignals;

use crate::connection::{BrokerArgs, Connection, Heard};
use crate::receipts::{self, Receipts};
use crate::target::Targets;
use crate::view::{self, State};
use crate::{key, options};
use desired::Judgement;
use dispatch::{Budget, Dispatch, Outcome};
use known::KnownBoxes;
use payload::{GuardTime, Sequence, TIME_TO_LIVE};
use report::Report;

pub(crate) use desired::Desired;
pub(crate) use payload::Command;

/// How long a box that tells its progress may be silent.
const PROGRESS_PATIENCE: Duration = Duration::from_mins(30);

/// How a command goes to boxes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CommandArgs {
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
    #[command(flatten)]
    pub(crate) targets: Targets,
    /// The key that signs. It is read here and sent nowhere.
    #[arg(long = "key", value_name = "FILE", env = "TALLYBOX_FLEET_KEY")]
    pub(crate) key_file: Option<PathBuf>,
    /// Boxes that are asked at once.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) jobs: u16,
    /// How long a box may take to answer.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = options::duration)]
    pub(crate) timeout: Duration,
    /// Sending pauses once more than this share of the boxes failed.
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = options::percent)]
    pub(crate) max_failures: f64,
    /// So many boxes have to be done before their share counts.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) minimum_sample: u32,
    /// All boxes are known once nothing came for this long.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = options::duration)]
    pub(crate) wait: Duration,
    /// A line of JSON for each box and one for all, with stable fields.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whether sending pauses when boxes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caution {
    /// As the arguments say.
    Budget,
    /// Never, and named boxes are asked although the broker says that they are away: a stop that is not sent helps
    /// nobody.
    None,
}

/// What boxes are sent.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// A command, answered on `reply`.
    Command(Command),
    /// Their desired configuration, answered on `config/reported`.
    Desired(Desired),
}

/// A box's answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Reply {
    id: Option<String>,
    ok: bool,
    error: Option<String>,
    code: Option<String>,
    progress: Option<String>,
    epoch: Option<String>,
    uptime_s: Option<u64>,
    state: Option<State>,
    diagnosis: Option<serde_json::Value>,
    /// A note: its lines stay as they came.
    #[serde(skip)]
    receipt: Option<String>,
}

/// The receipt in an answer, byte for byte.
fn receipt(payload: &[u8]) -> Option<String> {
    let reply: serde_json::Value = serde_json::from_slice(payload).ok()?;
    receipts::checked(reply.get("receipt")?.as_str()?).map(str::to_owned)
}

/// A command that is under way to one box.
struct UnderWay {
    target: String,
    payload: String,
    retried: bool,
}

/// Sends what is asked to the boxes that are named, and reports what became of it.
/// `receipts`: the file that keeps what boxes signed for what they destroyed.
pub(crate) async fn run(args: &CommandArgs, ask: &Ask, caution: Caution, receipts: Option<&Path>) -> Result<(), Exit> {
    args.targets.check()?;
    let receipts = Receipts::open(receipts)?;
    let signer = args.key_file.as_deref().map(key::load).transpose()?;
    if matches!(ask, Ask::Desired(_)) && signer.is_none() {
        return Err(Exit::usage("a desired configuration has to be signed: name the key file with --key"));
    }
    let mut shutdown = ShutdownSignals::listen_in_terminal()?;
    let (mut connection, known) = known::learn(args).await?;
    let (targets, away) = known.select(&args.targets, caution);
    let share = if caution == Caution::None { 2.0 } else { args.max_failures };
    let budget = Budget { minimum: args.minimum_sample, share };
    let mut sender = Sender {
        args,
        ask,
        signer,
        known,
        clock: Clock::start(),
        sequence: Sequence::default(),
        dispatch: Dispatch::new(targets, usize::from(args.jobs), args.timeout, budget),
        under_way: HashMap::new(),
        receipts,
        report: Report::new(args.json),
    };
    for id in &away {
        sender.report.outcome(id, Outcome::Away, &Reply::default())?;
    }
    let interrupted = tokio::select! {
        sent = sender.send_all(&mut connection) => { sent?; false }
        _ = shutdown.recv() => true,
    };
    connection.close().await;
    sender.report.finish(&sender.dispatch, away.len(), interrupted)
}

struct Sender<'a> {
    args: &'a CommandArgs,
    ask: &'a Ask,
    signer: Option<SignerKey>,
    known: KnownBoxes,
    clock: Clock,
    sequence: Sequence,
    dispatch: Dispatch,
    /// By the commands' ids.
    under_way: HashMap<String, UnderWay>,
    receipts: Receipts,
    report: Report,
}

impl Sender<'_> {
    async fn send_all(&mut self, connection: &mut Connection) -> Result<(), Exit> {
        while !self.dispatch.is_over() {
            while let Some(target) = self.dispatch.next(self.clock.now()) {
                self.send(connection, target, None).await?;
            }
            self.report.progress(&self.dispatch);
            let far = self.clock.now().saturating_add(Duration::from_secs(1));
            let due = self.dispatch.due().map_or(far, |due| due.min(far));
            tokio::select! {
                () = tokio::time::sleep_until(self.clock.to_instant(due)) => self.expire()?,
                heard = connection.recv() => self.hear(connection, heard).await?,
            }
        }
        Ok(())
    }

    fn expire(&mut self) -> Result<(), Exit> {
        for id in self.dispatch.expire(self.clock.now()) {
            self.under_way.retain(|_, sent| sent.target != id);
            self.report.outcome(&id, Outcome::Silent, &Reply::default())?;
        }
        Ok(())
    }

    /// Sends to a box, for the second time with the guard's time that it `told`.
    async fn send(&mut self, connection: &Connection, target: String, told: Option<GuardTime>) -> Result<(), Exit> {
        let (id, now) = (payload::new_id(), Timestamp::now());
        let retried = told.is_some();
        let payload = match (self.ask, &self.signer) {
            (Ask::Desired(desired), Some(signer)) => desired.payload(signer, &target)?,
            (Ask::Desired(_), None) => return Ok(()),
            (Ask::Command(command), Some(_)) if self.known.knows_no_key(&target) => {
                if payload::is_always_signed(command) {
                    let error = "it knows no key, and this command has to be signed: add the key under [[trust]]";
                    let reply = Reply { error: Some(error.to_owned()), ..Reply::default() };
                    return self.settle(&target, Outcome::Refused, &reply);
                }
                payload::plain(command, &id, now)
            }
            (Ask::Command(command), None) => payload::plain(command, &id, now),
            (Ask::Command(command), Some(signer)) => {
                let Some(time) = told.or_else(|| self.known.time(&target, self.clock.now())) else {
                    let error = "its state has no epoch: it is older than signed commands; send it without --key";
                    let reply = Reply { error: Some(error.to_owned()), ..Reply::default() };
                    return self.settle(&target, Outcome::Failed, &reply);
                };
                let seq = self.sequence.next(now);
                payload::signed(signer, command, (&target, &id), &time, seq)?
            }
        };
        self.publish(connection, &target, &id, &payload).await?;
        self.under_way.insert(id, UnderWay { target, payload, retried });
        Ok(())
    }

    async fn publish(&self, connection: &Connection, target: &str, id: &str, payload: &str) -> Result<(), Exit> {
        let prefix = &self.args.broker.prefix;
        let (topic, options) = match self.ask {
            Ask::Desired(_) => {
                (format!("{prefix}/{target}/config/desired"), PublishOptions::at_least_once().retained())
            }
            Ask::Command(command) => {
                let properties = PublishProperties {
                    correlation_data: Some(id.to_owned().into_bytes().into()),
                    message_expiry_interval: u32::try_from(TIME_TO_LIVE.as_secs()).ok(),
                    ..PublishProperties::default()
                };
                let options = PublishOptions::at_least_once().properties(properties);
                (format!("{prefix}/{target}/cmd/{}", command.verb), options)
            }
        };
        let sent = connection.client.publish(topic, payload.to_owned(), options).await;
        sent.map_err(|error| Exit::unavailable(format!("it cannot be sent: {error}")))
    }

    async fn hear(&mut self, connection: &Connection, heard: Heard) -> Result<(), Exit> {
        match heard {
            Heard::Lost(why) => eprintln!("the connection is lost: {why}"),
            // Answers may have been lost with the former connection: the same bytes get the same answer.
            Heard::Connected => {
                for (id, UnderWay { target, payload, .. }) in &self.under_way {
                    self.publish(connection, target, id, payload).await?;
                }
            }
            Heard::Message(message) => {
                let topic = String::from_utf8_lossy(&message.topic).into_owned();
                let Some((id, name)) = view::split_topic(&self.args.broker.prefix, &topic) else { return Ok(()) };
                match (name, self.ask) {
                    ("reply", Ask::Command(_)) => {
                        if let Some(mut reply) = view::parse::<Reply>(&message.payload) {
                            reply.receipt = receipt(&message.payload);
                            return self.answered(connection, id, reply).await;
                        }
                    }
                    ("config/reported", Ask::Desired(desired)) if !message.retain && self.dispatch.is_asked(id) => {
                        if let Some(Judgement { outcome, code, text }) = desired.judge(&message.payload) {
                            self.under_way.retain(|_, sent| sent.target != id);
                            return self.settle(id, outcome, &Reply { code, error: text, ..Reply::default() });
                        }
                    }
                    _ => self.known.hear(id, name, &message, self.clock.now()),
                }
            }
        }
        Ok(())
    }

    async fn answered(&mut self, connection: &Connection, target: &str, reply: Reply) -> Result<(), Exit> {
        let Some(id) = &reply.id else { return Ok(()) };
        // Somebody else's command, or an answer that a box gives for another one.
        let Some(sent) = self.under_way.get(id).filter(|sent| sent.target == target) else { return Ok(()) };
        if reply.ok
            && let Some(progress) = &reply.progress
        {
            self.dispatch.progressed(self.clock.now(), target, PROGRESS_PATIENCE);
            return self.report.told(target, progress);
        }
        let stale = matches!(
            reply.code.as_deref(),
            Some("expired" | "wrong-epoch" | "too-far-ahead" | "replayed" | "unsigned")
        );
        if reply.code.as_deref() == Some("unsigned") {
            self.known.wants_signatures(target);
        }
        let again = stale && !sent.retried && self.signer.is_some() && self.dispatch.is_asked(target);
        self.under_way.remove(id);
        if again && let (Some(epoch), Some(uptime_s)) = (reply.epoch.clone(), reply.uptime_s) {
            return self.send(connection, target.to_owned(), Some(GuardTime { epoch, uptime_s })).await;
        }
        if let Some(receipt) = &reply.receipt {
            self.receipts.keep(target, receipt)?;
        }
        self.settle(target, judge(&reply), &reply)
    }

    fn settle(&mut self, target: &str, outcome: Outcome, reply: &Reply) -> Result<(), Exit> {
        self.dispatch.settle(self.clock.now(), target, outcome);
        // A box that is busy comes again.
        if self.dispatch.is_settled(target) { self.report.outcome(target, outcome, reply) } else { Ok(()) }
    }
}

/// What an answer means.
fn judge(reply: &Reply) -> Outcome {
    match reply.code.as_deref() {
        _ if reply.ok => Outcome::Done,
        Some("busy" | "unavailable") => Outcome::Busy,
        Some("malformed" | "retained" | "unknown-verb" | "bad-signature" | "misaddressed" | "id-reused") => {
            Outcome::Failed
        }
        // Boxes of before there were codes.
        None if reply.error.as_deref().is_some_and(|error| error.starts_with("too many commands")) => Outcome::Busy,
        Some(_) | None => Outcome::Refused,
    }
}
