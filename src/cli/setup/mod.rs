//! `tallybox setup`: from an installed package to the first stream. It looks, asks, shows what it would write, writes
//! all of it or nothing, starts the box, and waits for a press. Each step can be done by hand; `--by-hand` says how.

mod answers;
mod card;
mod certificates;
mod choices;
mod detect;
mod draft;
mod folders;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod interrupt;
mod plan;
mod preview;
mod service;
mod session;
mod terminal;
mod transaction;
mod wizard;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::backed_up_file;
use super::host::HostFiles;
use crate::config::{Config, ConfigError};
use crate::exit::Exit;

use answers::{Answers, AnswersFile};
use choices::{Choices, Former};
use detect::Found;
use folders::Folders;
use interrupt::Interrupt;
use plan::Plan;
use terminal::{Terminal, say};
use transaction::NewFile;

/// How long a press is waited for at a terminal, where somebody sits who can end it.
const PATIENCE: Duration = Duration::from_mins(10);

/// How it is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Answers from a TOML file instead of a terminal; docs/install.md has every key. A key that is missing keeps what
    /// the box has.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Write nothing: print the commands that do the same.
    #[arg(long)]
    by_hand: bool,
    /// Only take back what a setup that broke off has left; a box does so itself before it starts.
    #[arg(long, hide = true)]
    undo: bool,
    /// Where the files of the machine are that is set up.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// Sets up the box whose main file is `config`.
pub(crate) fn run(config: &Path, args: Args) -> Result<(), Exit> {
    let folders = Folders::new(config, &args.root);
    if args.undo {
        return undo(&folders);
    }
    interrupt::run(move |interrupt| guided(&args, &folders, interrupt))
}

fn undo(folders: &Folders) -> Result<(), Exit> {
    let _alone = backed_up_file::lock(&folders.etc)?;
    if take_back(folders)? && folders.is_here() {
        service::reload()?;
    }
    Ok(())
}

/// Takes back a change that broke off.
fn take_back(folders: &Folders) -> Result<bool, Exit> {
    let taken = transaction::undo(&folders.journal()).map_err(|error| {
        let journal = folders.journal();
        Exit::io(format!("{}: {error}; what a setup that broke off changed cannot be taken back", journal.display()))
    })?;
    if taken {
        say("A setup broke off half-way: what it had changed is as it was before.")?;
    }
    Ok(taken)
}

fn guided(args: &Args, folders: &Folders, interrupt: &Interrupt) -> Result<(), Exit> {
    if folders.is_here() && !args.by_hand && !rustix::process::geteuid().is_root() {
        return Err(Exit::permission("setup writes under /etc and restarts the box: call it with sudo"));
    }
    if !folders.main.exists() {
        let main = folders.main.display();
        return Err(Exit::no_input(format!("there is no {main}: install the package, or name the file with --config")));
    }
    let file = args.answers.as_deref().map(AnswersFile::read).transpose()?;
    let mut terminal = Terminal::find(interrupt);
    if file.is_none() && terminal.is_none() {
        return Err(Exit::usage("this is no terminal: give --answers FILE"));
    }
    let alone = backed_up_file::lock(&folders.etc)?;
    let broken_off = if args.by_hand { false } else { check_present(folders)? };
    let found = Found::look(&HostFiles::new(&folders.root));
    if !args.by_hand || file.is_none() {
        say(&found.lines().join("\n"))?;
    }
    let choices = choose(file.as_ref(), terminal.as_mut(), &found, folders)?;
    let config = checked(&choices, file.as_ref(), folders)?;
    let plan = Plan::new(&choices, folders)?;
    if args.by_hand {
        return say(&plan.by_hand(folders));
    }
    say(&format!("\n{}", plan.shown(folders)))?;
    let overridden = draft::overridden(&choices, folders).into_iter().chain(plan.overridden(folders));
    for note in overridden.chain(config.warnings.iter().map(ToString::to_string)) {
        say(&format!("note: {note}"))?;
    }
    say(&format!("Streams go to {} and nowhere else.", config.ingest.hosts()))?;
    let wait = patience(file.as_ref())?;
    if file.is_none()
        && let Some(terminal) = terminal.as_mut()
        && !terminal.confirm("Write these files and start the box with them?", true)?
    {
        return Err(interrupt.stopped());
    }
    let changes = plan.changes();
    install(&changes, broken_off, &config, folders, interrupt)?;
    drop(alone);
    if folders.is_here() {
        first_start(&config, wait, folders, interrupt)?;
    }
    say("\nAll of this can be done by hand: tallybox setup --by-hand prints the commands.")
}

/// What the box has now. It must not capture; a change that was broken off is undone, and that is returned.
fn check_present(folders: &Folders) -> Result<bool, Exit> {
    let mut present = Config::load(&folders.main);
    if let Ok(present) = &present {
        service::must_not_capture(present)?;
    }
    let broken_off = take_back(folders)?;
    if broken_off {
        present = Config::load(&folders.main);
    }
    // An answer may mend it; what none has to do with is told again at the end.
    if let Err(error) = &present
        && !is_untouched(error, folders)
    {
        say(&format!("The configuration is wrong now:\n{error}"))?;
    }
    Ok(broken_off)
}

/// The box starts with what was written, and staff press for the first time.
fn first_start(config: &Config, wait: Duration, folders: &Folders, interrupt: &Interrupt) -> Result<(), Exit> {
    let done = service::wait_until_well(config, folders, interrupt)
        .and_then(|()| service::doctor(folders))
        .and_then(|()| if wait.is_zero() { Ok(()) } else { session::first_press(config, wait, interrupt) });
    // The claim code is needed also where the broker or the stream is not there yet.
    card::print(config, service::status(config).and_then(|status| status.identity).as_ref())?;
    done
}

/// Whether nothing is wrong but what setup is there to ask: the address that no file has yet.
fn is_untouched(error: &ConfigError, folders: &Folders) -> bool {
    error.diagnostics.iter().all(|mistake| mistake.at.is_none() && mistake.file == folders.main)
}

/// The choices, from the file of answers or from the terminal.
fn choose(
    file: Option<&AnswersFile>,
    terminal: Option<&mut Terminal>,
    found: &Found,
    folders: &Folders,
) -> Result<Choices, Exit> {
    let former = Former::read(folders);
    let (place, nothing) =
        (|key: &str| file.map_or_else(String::new, |file| file.place(key) + ": "), Answers::default());
    let answers = file.map_or(&nothing, |file| &file.answers);
    let mut choices = Choices::new(answers, &former, folders).map_err(|wrong| {
        let lines: Vec<String> = wrong.into_iter().map(|(key, why)| format!("{}{key}: {why}", place(key))).collect();
        Exit::config(lines.join("\n"))
    })?;
    match terminal {
        Some(terminal) if file.is_none() => wizard::ask(terminal, &mut choices, found, folders)?,
        Some(_) | None => {
            if choices.device_id.is_none() {
                choices.device_id = certificates::ids(&choices).into_iter().next();
            }
        }
    }
    Ok(choices)
}

/// The configuration as it will be, by the judgement of `check-config`; nothing is written before.
fn checked(choices: &Choices, file: Option<&AnswersFile>, folders: &Folders) -> Result<Config, Exit> {
    draft::judge(choices, folders).map_err(|wrong| {
        let told = wrong.into_iter().map(|(key, why)| match (key, file) {
            (Some(key), Some(file)) => format!("{}: {key}: {why}", file.place(key)),
            (Some(key), None) => format!("{key}: {why}"),
            (None, _) => why,
        });
        Exit::config(told.collect::<Vec<_>>().join("\n") + "\nnothing was changed")
    })?;
    let text = draft::text(choices, folders);
    Config::load_with(&folders.main, folders::CONFIG, &folders.config(), text)
        .map_err(|error| Exit::config(format!("{error}\nnothing was changed")))
}

fn patience(file: Option<&AnswersFile>) -> Result<Duration, Exit> {
    let Some(file) = file else { return Ok(PATIENCE) };
    let Some(text) = &file.answers.wait_for_press else { return Ok(Duration::ZERO) };
    answers::wait(text).map_err(|wrong| Exit::data(format!("{}: {wrong}", file.place("wait-for-press"))))
}

/// Writes the files, with the roles stopped meanwhile: no session can begin on half of them.
fn install(
    changes: &[NewFile],
    broken_off: bool,
    config: &Config,
    folders: &Folders,
    interrupt: &Interrupt,
) -> Result<(), Exit> {
    service::must_not_capture(config)?;
    interrupt.check_stopped()?;
    if changes.is_empty() && !broken_off {
        say("The box has all of it already.")?;
    }
    if folders.is_here() {
        service::stop()?;
    } else if crate::guard::is_running(config) {
        return Err(Exit::unavailable("a guard runs on this configuration: stop it first"));
    }
    let written = transaction::apply(&folders.journal(), changes);
    let started = if folders.is_here() { service::start() } else { Ok(()) };
    written
        .map_err(|error| Exit::io(format!("the files cannot be written: {error}; everything is as it was before")))?;
    interrupt.files_are_written();
    started.or_else(|exit| service::doctor(folders).and(Err(exit)))
}
