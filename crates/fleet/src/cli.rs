//! The command line: what each command is called and takes, and how its end becomes an exit code.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tallybox::exit::{self, Exit};

use crate::sim;

#[derive(Debug, Parser)]
#[command(name = "tallybox-fleet", version, about, after_help = exit::help())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulate boxes: the real agent with simulated guards, against a real broker, with scripted outages.
    Sim(sim::Args),
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
        Command::Sim(args) => sim::run(&args),
    }
}
