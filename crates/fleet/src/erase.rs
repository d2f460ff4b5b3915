//! `erase`: what a box holds of people is destroyed, for one of the reasons that give them the right to it.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::Map;
use tallybox::exit::Exit;
use tallybox::ipc::ErasureReason;

use crate::command::{self, Ask, Caution, Command, CommandArgs};

/// Which boxes erase, and why.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Why it is asked for: ledger and receipt repeat it.
    #[arg(
        long,
        value_name = "REASON",
        value_parser = PossibleValuesParser::new(ErasureReason::ALL.map(ErasureReason::as_str)).try_map(|word| reason(&word))
    )]
    reason: Option<ErasureReason>,
    /// Appends each receipt to this file, in a line of JSON.
    #[arg(long, value_name = "FILE")]
    receipts: Option<PathBuf>,
    #[command(flatten)]
    command: CommandArgs,
}

/// The reason that a word stands for.
fn reason(word: &str) -> Result<ErasureReason, String> {
    ErasureReason::ALL.into_iter().find(|reason| reason.as_str() == word).ok_or_else(|| format!("{word} is no reason"))
}

/// Sends the command, and keeps the receipts.
pub(crate) async fn run(args: &Args) -> Result<(), Exit> {
    let named = args.reason.map(|reason| ("reason".to_owned(), reason.as_str().into()));
    let ask = Ask::Command(Command { verb: "erase".to_owned(), parameters: Map::from_iter(named) });
    command::run(&args.command, &ask, Caution::Budget, args.receipts.as_deref()).await
}
