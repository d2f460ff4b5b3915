//! `tallybox note sign`: JSON becomes a signed document. A command also gets the fields that stop a replay.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use jiff::Timestamp;
use notes::{Document, DocumentType, Note};
use serde_json::{Map, Value};

use super::{key, stdin};
use crate::exit::Exit;
use crate::ipc::{Fields, SignedCommand, Verb};

/// How long a command may be carried out, in seconds, unless it is said; a box takes 300 at most.
const WITHIN: u64 = 60;

/// The types that operators sign; a receipt is the box's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Command,
    Desired,
    Policy,
    EndOfService,
    Release,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A private key's file; once for each key that signs.
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// What is signed.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Kind,
    /// The JSON to sign, of a command its verb's parameters; - is standard input. A command needs none.
    #[arg(value_name = "FILE")]
    json: Option<PathBuf>,
    /// A command's box.
    #[arg(long = "box", value_name = "ID")]
    box_id: Option<String>,
    /// A command's verb.
    #[arg(long, value_name = "VERB")]
    verb: Option<String>,
    /// The box's `state` as it was published, in a file: a command's epoch and deadline come from it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["epoch", "uptime"])]
    state: Option<PathBuf>,
    /// A command's epoch, from the box's state.
    #[arg(long, value_name = "HEX")]
    epoch: Option<String>,
    /// `uptime-s` from the box's state.
    #[arg(long, value_name = "SECONDS")]
    uptime: Option<u64>,
    /// How long from then on the command may be carried out, at most 300.
    #[arg(long, value_name = "SECONDS", default_value_t = WITHIN)]
    within: u64,
    /// A command's number, higher than the last of each key; without it the time in microseconds.
    #[arg(long, value_name = "NUMBER")]
    seq: Option<u64>,
    /// A command's id; without it a random one.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let kind = match args.kind {
        Kind::Command => DocumentType::Command,
        Kind::Desired => DocumentType::Desired,
        Kind::Policy => DocumentType::Policy,
        Kind::EndOfService => DocumentType::EndOfService,
        Kind::Release => DocumentType::Release,
    };
    let fields = if args.kind == Kind::Command { command(args)? } else { given(args)? };
    let json = Value::Object(fields).to_string();
    if args.kind == Kind::Command {
        SignedCommand::read(&json).map_err(|unreadable| Exit::usage(unreadable.rejection.why))?;
    }
    let keys = args.key.iter().map(|path| key::read(path)).collect::<Result<Vec<_>, _>>()?;
    let note = Note::sign(&Document { kind, json: &json }.text(), &keys.iter().collect::<Vec<_>>());
    print!("{}", note.map_err(|error| Exit::data(error.to_string()))?);
    Ok(())
}

/// The fields that were given, on whatever lines.
fn given(args: &Args) -> Result<Map<String, Value>, Exit> {
    let flags = [
        ("--box", args.box_id.is_some()),
        ("--verb", args.verb.is_some()),
        ("--state", args.state.is_some()),
        ("--epoch", args.epoch.is_some()),
        ("--uptime", args.uptime.is_some()),
        ("--seq", args.seq.is_some()),
        ("--id", args.id.is_some()),
    ];
    if let Some((flag, _)) = flags.into_iter().find(|(_, is_set)| *is_set) {
        return Err(Exit::usage(format!("{flag} is for --type command: write it into the JSON")));
    }
    object(&args.json.clone().unwrap_or_else(stdin))
}

fn object(path: &Path) -> Result<Map<String, Value>, Exit> {
    let content = super::read(path)?;
    let read = serde_json::from_slice::<Fields>(&content);
    read.map(|Fields(fields)| fields).map_err(|error| Exit::data(format!("{}: {error}", path.display())))
}

/// A command's fields: who, what, when; and the parameters.
fn command(args: &Args) -> Result<Map<String, Value>, Exit> {
    let needed = |value: &Option<String>, flag: &str| {
        value.clone().ok_or_else(|| Exit::usage(format!("a command needs {flag}")))
    };
    let (box_id, verb) = (needed(&args.box_id, "--box")?, needed(&args.verb, "--verb")?);
    if Verb::of(&verb).is_none() {
        let all = Verb::ALL.map(Verb::as_str).join(", ");
        return Err(Exit::usage(format!("--verb {verb:?} is not known; choose one of: {all}")));
    }
    let (epoch, uptime_s) = match &args.state {
        Some(path) => present(path)?,
        None => (
            needed(&args.epoch, "--state, or --epoch and --uptime")?,
            args.uptime.ok_or_else(|| Exit::usage("a command needs --state, or --epoch and --uptime"))?,
        ),
    };
    let seq = args.seq.map_or_else(by_time, Ok)?;
    let id = args.id.clone().map_or_else(random_id, Ok)?;
    let mut fields = Map::new();
    for (name, value) in [
        ("box", Value::from(box_id)),
        ("verb", verb.into()),
        ("id", id.into()),
        ("epoch", epoch.into()),
        ("seq", seq.into()),
        ("deadline-s", uptime_s.saturating_add(args.within).into()),
    ] {
        fields.insert(name.to_owned(), value);
    }
    let parameters = args.json.as_deref().map_or_else(|| Ok(Map::new()), object)?;
    for (name, value) in parameters {
        if fields.insert(name.clone(), value).is_some() {
            return Err(Exit::usage(format!("{name} is in the JSON: give it as an option")));
        }
    }
    Ok(fields)
}

/// Epoch and uptime of a published `state`.
fn present(path: &Path) -> Result<(String, u64), Exit> {
    let state = object(path)?;
    let epoch = state.get("epoch").and_then(Value::as_str).map(str::to_owned);
    let found = epoch.zip(state.get("uptime-s").and_then(Value::as_u64));
    let message = || {
        let why = "epoch and uptime-s are not in it: write the box's state into it, as it is published";
        Exit::data(format!("{}: {why}", path.display()))
    };
    found.ok_or_else(message)
}

/// Microseconds since 1970, as the fleet tool and the console count: rises from one command to the next, whoever signs
/// with the key, as long as their clocks agree.
fn by_time() -> Result<u64, Exit> {
    u64::try_from(Timestamp::now().as_microsecond()).map_err(|_| Exit::unavailable("the clock is not set: give --seq"))
}

fn random_id() -> Result<String, Exit> {
    let mut bytes = [0; 16];
    let filled = crate::random::fill(&mut bytes);
    filled.map_err(|_| Exit::unavailable("the kernel gives no random numbers: give --id"))?;
    Ok(crate::hex(&bytes))
}
