//! The command line: what each command is called and takes, and how its end becomes an exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tallybox::exit::{self, Exit};
use tallybox::runtime;

use crate::command::{self, Caution, CommandArgs};
use crate::{end_of_service, erase, events, key, list, metrics, policy, set, sim, update, verify, watch};

#[derive(Debug, Parser)]
#[command(name = "tallybox-fleet", version, about, after_help = exit::help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Each box once, as the broker has it.
    List(list::Args),
    /// The fleet in a terminal: how many boxes do what, and those that want to be looked at first.
    Watch(watch::Args),
    /// Stop sessions and requests. Needs no signature, and is never paused.
    Stop(CommandArgs),
    /// Ask staff to start: the lamps ask, and nothing starts without a press.
    Request(CommandArgs),
    /// Change picture, server or configuration.
    Set {
        #[command(subcommand)]
        action: set::Action,
    },
    /// Policies: sign, publish, and see how far the fleet is.
    Policy {
        #[command(subcommand)]
        action: policy::Action,
    },
    /// Updates: publish a release, watch its wave, pause it and let it go on.
    Update {
        #[command(subcommand)]
        action: update::Action,
    },
    /// Have boxes destroy what they hold of people, with a signed receipt.
    Erase(erase::Args),
    /// End the platform's service at boxes, for good: sign the note, publish it, and collect the receipts.
    EndOfService {
        #[command(subcommand)]
        action: end_of_service::Action,
    },
    /// Send a verb that needs no parameters: mute, unmute, identify, diagnose, and those that destroy (erase, unbind).
    Send(SendArgs),
    /// Follow the boxes' ledgers, and archive them.
    Events(events::Args),
    /// Verify the hash chains of archived events, and checkpoints.
    Verify(verify::Args),
    /// Serve the fleet's figures for Prometheus.
    Metrics(metrics::Args),
    /// Make a key, or show the half of it that boxes trust.
    Key {
        #[command(subcommand)]
        action: key::Action,
    },
    /// Simulate boxes: the real agent with simulated guards, against a real broker, with scripted outages.
    Sim(sim::Args),
}

#[derive(Debug, clap::Args)]
struct SendArgs {
    /// The verb.
    #[arg(value_name = "VERB", value_parser = ["mute", "unmute", "identify", "diagnose", "update", "erase", "unbind"])]
    verb: String,
    /// Appends each receipt of what was destroyed to this file, in a line of JSON.
    #[arg(long, value_name = "FILE")]
    receipts: Option<PathBuf>,
    #[command(flatten)]
    command: CommandArgs,
}

/// The command line's definition, for the manual pages and shell completions that the package brings.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => dispatch(cli.command).map_or_else(Exit::report, |()| ExitCode::SUCCESS),
        Err(error) => {
            // Help and version are asked for; the rest is wrong usage.
            let _ = error.print();
            if error.use_stderr() { Exit::usage("").report() } else { ExitCode::SUCCESS }
        }
    }
}

fn dispatch(command: Command) -> Result<(), Exit> {
    match command {
        Command::List(args) => runtime::block_on(list::run(&args)),
        Command::Stop(args) => ask(&args, "stop", Caution::None, None),
        Command::Request(args) => ask(&args, "request-start", Caution::Budget, None),
        Command::Set { action } => runtime::block_on(set::run(&action)),
        Command::Policy { action } => runtime::block_on(policy::run(&action)),
        Command::Update { action } => runtime::block_on(update::run(&action)),
        Command::Erase(args) => runtime::block_on(erase::run(&args)),
        Command::EndOfService { action } => runtime::block_on(end_of_service::run(&action)),
        Command::Send(SendArgs { verb, receipts, command }) => {
            let caution = if verb == "mute" { Caution::None } else { Caution::Budget };
            ask(&command, &verb, caution, receipts.as_deref())
        }
        Command::Events(args) => runtime::block_on(events::run(&args)),
        Command::Verify(args) => verify::run(&args),
        Command::Watch(args) => runtime::block_on(watch::run(&args)),
        Command::Metrics(args) => runtime::block_on(metrics::run(&args)),
        Command::Key { action } => key::run(&action),
        Command::Sim(args) => sim::run(&args),
    }
}

/// Sends a verb without parameters.
fn ask(args: &CommandArgs, verb: &str, caution: Caution, receipts: Option<&Path>) -> Result<(), Exit> {
    let command = command::Command { verb: verb.to_owned(), parameters: serde_json::Map::new() };
    runtime::block_on(command::run(args, &command::Ask::Command(command), caution, receipts))
}

#[cfg(test)]
mod tests {
    /// Each command and each of its arguments says what it is, and no two have one name.
    fn explained(command: &clap::Command) {
        let name = command.get_name();
        assert!(command.get_about().is_some_and(|about| about.to_string().len() > 10), "{name}: no words");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{name} {}: no words", argument.get_id());
        }
        command.get_subcommands().for_each(explained);
    }

    #[test]
    fn every_command_and_argument_is_explained() {
        let command = super::command();
        command.clone().debug_assert();
        command.get_subcommands().for_each(explained);
    }
}
