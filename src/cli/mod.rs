//! The command line: what each command is called and takes, and how its end becomes an exit code.

mod backed_up_file;
mod capture_program;
mod check_config;
pub(crate) mod client;
mod doctor;
mod host;
mod ledger;
mod note;
mod notice;
mod policy;
mod press;
mod privacy;
mod run;
mod setup;
pub(crate) mod status;
mod take_config;
mod units;
mod update;
mod users;
mod watch;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use setup::fuzzing;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, DEFAULT_PATH};
use crate::exit::Exit;
use crate::guard::{GuardOptions, LaunchMode};
use crate::log;

#[derive(Debug, Parser)]
#[command(name = "tallybox", version, about, after_help = crate::exit::help())]
struct Cli<C: Subcommand> {
    #[command(subcommand)]
    command: C,
}

/// `--config FILE`, the same for all.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration; `conf.d/*.toml` beside it overrides it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH, global = true)]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Exit> {
        Ok(Config::load(&self.config)?)
    }
}

/// What no package has: its manual pages and completions do not tell of it either.
#[cfg(feature = "demo")]
#[derive(Debug, Subcommand)]
enum WithDemo {
    /// Box, broker, ingest and web panel on one machine, without any hardware.
    Demo {
        /// Where the page listens; loopback only.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: std::net::SocketAddr,
    },
    #[command(flatten)]
    Shipped(Command),
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Guard, agent and capture under one supervisor, for development.
    Run(RoleArgs),
    /// The role that holds button, lamp and consent, as systemd starts it.
    Guard(GuardArgs),
    /// The role that reaches the broker, as systemd starts it.
    Agent(RoleArgs),
    #[command(flatten)]
    Media(capture_program::Command),
    /// What the box is doing now, from the guard.
    Status {
        #[command(flatten)]
        file: ConfigFile,
        /// As JSON, with stable fields.
        #[arg(long)]
        json: bool,
        /// Go on: plots in a terminal, drawn each second; with --json, or where it is no terminal, the status as a line
        /// of JSON at each change.
        #[arg(long)]
        watch: bool,
    },
    /// Push a button of a box whose panel backend is "sim".
    Press {
        #[command(flatten)]
        file: ConfigFile,
        /// How long to hold it, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = press::SHORT)]
        hold: f64,
        /// The mute button instead of the record button.
        #[arg(long)]
        mute: bool,
    },
    /// Read, prove or hand out the consent ledger.
    Ledger {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        action: ledger::Action,
    },
    /// What works here: board, power, panel, camera, microphone, encoders, network, broker, ingest, clock, disk. Opens
    /// no camera or microphone without --probe.
    Doctor {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        args: doctor::Args,
    },
    /// Parse and validate; file, line, column and advice for every mistake.
    CheckConfig {
        /// Files; `conf.d/*.toml` beside each overrides it.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Set up a box, guided: looks, asks (or reads --answers), writes configuration and secrets, starts the box, and
    /// waits for the first press.
    Setup {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        args: setup::Args,
    },
    /// Take a configuration that somebody brings, as from a USB stick: judged first, refused while capturing.
    TakeConfig {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        args: take_config::Args,
    },
    /// Take what a USB stick brings: `tallybox.toml`, `policy.note` and `end-of-service.note` at its top.
    TakeStick {
        #[command(flatten)]
        file: ConfigFile,
        /// The folder where the stick is mounted.
        #[arg(value_name = "FOLDER")]
        stick: PathBuf,
    },
    /// Signed policies, and the signed end of the service, that somebody brings as a file.
    Policy {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        action: policy::Action,
    },
    /// Software updates: how it stands, what this box makes of a release, and the updater that systemd starts.
    Update {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        action: update::Action,
    },
    /// Keys and signatures of what a platform sends: make, sign, verify. Needs no box.
    Note {
        #[command(subcommand)]
        action: note::Action,
    },
    /// What is collected, for what, who gets it, how long it is kept.
    Privacy {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        topic: privacy::Topic,
    },
}

#[derive(Debug, clap::Args)]
struct GuardArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// Start capture by connecting to this socket of systemd's, instead of as a child.
    #[arg(long, value_name = "PATH")]
    capture_socket: Option<PathBuf>,
    /// A user that may connect to the guard's socket, besides root and the guard's own: name or number.
    #[arg(long, value_name = "USER")]
    allow_user: Vec<String>,
    /// Only make the lamp dark, after a guard that died.
    #[arg(long)]
    darken: bool,
    /// A helper that runs as root deletes credentials under /etc when the box is unbound (tallybox-erasure.path).
    #[arg(long)]
    credentials_helper: bool,
    /// Seal the box's key with the machine's TPM through this socket of systemd's (tallybox-sealing.socket).
    #[arg(long, value_name = "PATH")]
    sealing_socket: Option<PathBuf>,
    /// End with the supervisor.
    #[arg(long, hide = true)]
    supervised: bool,
}

#[derive(Debug, clap::Args)]
struct RoleArgs {
    #[command(flatten)]
    file: ConfigFile,
    /// End with the supervisor.
    #[arg(long, hide = true)]
    supervised: bool,
}

fn guard(args: GuardArgs) -> Result<(), Exit> {
    log::init("guard");
    if args.supervised {
        run::die_with_supervisor();
    }
    let config = args.file.load()?;
    if args.darken {
        return crate::guard::switch_off_lamp(&config);
    }
    let launch_mode = if let Some(path) = args.capture_socket {
        LaunchMode::Socket(path)
    } else {
        let config = args.file.config.display().to_string();
        LaunchMode::Child(vec!["capture".to_owned(), "--config".to_owned(), config])
    };
    let uids = args.allow_user.iter().map(|user| users::uid(user)).collect::<Result<_, _>>()?;
    let GuardArgs { credentials_helper, sealing_socket, .. } = args;
    crate::guard::run(config, GuardOptions { launch_mode, uids, credentials_helper, sealing_socket, root: "/".into() })
}

fn supervise(args: &RoleArgs) -> Result<(), Exit> {
    log::init("run");
    if args.supervised {
        run::die_with_supervisor();
    }
    run::run(&args.file.load()?)
}

fn agent(args: &RoleArgs) -> Result<(), Exit> {
    if args.supervised {
        run::die_with_supervisor();
    }
    crate::agent::run(&args.file.load()?)
}

/// The command line's definition, for the manual pages and shell completions that the package brings.
pub fn command() -> clap::Command {
    Cli::<Command>::command()
}

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    #[cfg(feature = "demo")]
    let code = run_cli(|cli: Cli<WithDemo>| match cli.command {
        WithDemo::Demo { listen } => crate::demo::run(listen),
        WithDemo::Shipped(command) => dispatch(command),
    });
    #[cfg(not(feature = "demo"))]
    let code = run_cli(|cli: Cli<Command>| dispatch(cli.command));
    code
}

/// The program that `capture` is carried out in.
pub fn media_main() -> ExitCode {
    run_cli(capture_program::dispatch)
}

fn run_cli<C: Parser>(dispatch: impl FnOnce(C) -> Result<(), Exit>) -> ExitCode {
    // Started through /proc/self/exe the kernel would call it "exe".
    let _ = rustix::thread::set_name(c"tallybox");
    crate::memory_limits::apply();
    match C::try_parse() {
        Ok(cli) => dispatch(cli).map_or_else(Exit::report, |()| ExitCode::SUCCESS),
        Err(error) => {
            // Help and version are asked for; the rest is wrong usage.
            let _ = error.print();
            if error.use_stderr() { Exit::usage("").report() } else { ExitCode::SUCCESS }
        }
    }
}

fn dispatch(command: Command) -> Result<(), Exit> {
    match command {
        Command::Run(args) => supervise(&args),
        Command::Guard(args) => guard(args),
        Command::Agent(args) => agent(&args),
        Command::Media(_) => Err(capture_program::exec_capture()),
        Command::Status { file, json, watch: true } => file.load().and_then(|config| watch::run(&config, json)),
        Command::Status { file, json, watch: false } => file.load().and_then(|config| status::run(&config, json)),
        Command::Press { file, hold, mute } => file.load().and_then(|config| press::run(&config, hold, mute)),
        Command::Doctor { file, args } => file.load().and_then(|config| doctor::run(&config, &args)),
        Command::CheckConfig { files } => check_config::run(&files),
        Command::Setup { file, args } => setup::run(&file.config, args),
        Command::TakeConfig { file, args } => take_config::run(&file.config, &args),
        Command::TakeStick { file, stick } => take_config::take_stick(&file.config, &stick),
        Command::Policy { file, action } => file.load().and_then(|config| policy::run(&config, &action)),
        Command::Update { file, action } => file.load().and_then(|config| update::run(&config, &action)),
        Command::Note { action } => note::run(&action),
        // It needs no configuration, and must not depend on a file that somebody is editing.
        Command::Privacy { topic: privacy::Topic::SealKey, .. } => privacy::seal_key(),
        Command::Privacy { file, topic } => file.load().and_then(|config| privacy::run(&config, topic)),
        // A file that was handed out is proved without this box's configuration: there may be none.
        Command::Ledger { action: ledger::Action::Verify(args), .. } if args.file.is_some() => ledger::verify(&args),
        Command::Ledger { file, action } => file.load().and_then(|config| ledger::run(&config, &action)),
    }
}

#[cfg(test)]
mod tests {
    /// Each command and each of its arguments says what it is.
    fn explained(command: &clap::Command) {
        let name = command.get_name();
        assert!(command.get_about().is_some_and(|about| about.to_string().len() > 10), "{name}: no words");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{name} {}: no words", argument.get_id());
        }
        command.get_subcommands().for_each(explained);
    }

    #[test]
    fn every_command_and_argument_is_explained_and_the_exit_codes_are_told() {
        let mut command = super::command();
        command.get_subcommands().for_each(explained);
        let help = command.render_long_help().to_string();
        assert!(crate::exit::CODES.iter().all(|(code, means)| help.contains(&format!("{code}  {means}"))), "{help}");
    }
}
