//! The command line: what each command is called and takes, and how its end becomes an exit code.

mod exit;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, DEFAULT_PATH};

pub use exit::Exit;

#[derive(Debug, Parser)]
#[command(name = "tallybox", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// `--config FILE`, the same for all.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration; `conf.d/*.toml` beside it overrides it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Exit> {
        Ok(Config::load(&self.config)?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The role that reaches the broker, as systemd starts it.
    Agent(ConfigFile),
    /// The role that holds camera and microphone, as the guard starts it: door 1 is its standard input.
    Capture(ConfigFile),
}

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; the rest is wrong usage.
            let _ = error.print();
            return if error.use_stderr() { Exit::usage("").report() } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.command {
        Command::Agent(file) => file.load().and_then(|config| crate::agent::run(&config)),
        Command::Capture(file) => file.load().and_then(|config| crate::capture::run(&config)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}
