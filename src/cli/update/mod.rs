//! `tallybox update`: how it stands with updates, what this box makes of a release, and the updater that systemd
//! starts.

mod apply;

use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::client::Client;
use crate::config::Config;
use crate::exit::Exit;
use crate::installed_package;
use crate::ipc::{Request, UpdateState, UpdateStatus};
use crate::runtime::block_on;
use crate::updater;

/// What is done about updates.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// How it stands, from the guard.
    Status {
        /// As JSON, with the fields of `update` in `tallybox status --json`.
        #[arg(long)]
        json: bool,
    },
    /// Whether this box trusts a release, and what it would do about it. Changes nothing.
    Check {
        /// A signed release; the one in force where it is left out.
        #[arg(value_name = "NOTE")]
        note: Option<PathBuf>,
    },
    /// Install the version that the release in force offers as soon as no session is on, whatever wave and window say.
    Install {
        /// The version, as `tallybox update status` shows it.
        version: String,
    },
    /// Put updates off; a version that an operator asks for comes all the same.
    Postpone {
        /// For how many hours, at most 168; 0 takes it back.
        #[arg(value_name = "HOURS")]
        hours: u32,
    },
    /// Carry out what the guard asked for, as tallybox-update.service does.
    Apply,
}

/// Does it.
pub(crate) fn run(config: &Config, action: &Action) -> Result<(), Exit> {
    match action {
        Action::Status { json } => status(config, *json),
        Action::Check { note } => check(config, note.clone()),
        Action::Install { version } => {
            call(config, Request::UpdateNow { version: version.clone() })?;
            println!("{version} is installed as soon as its package is here and no session is on");
            Ok(())
        }
        Action::Postpone { hours } => {
            call(config, Request::UpdatePostpone { hours: *hours })?;
            match hours {
                0 => println!("updates are not put off any more"),
                hours => println!("updates are put off for {hours} h"),
            }
            Ok(())
        }
        Action::Apply => apply::run(config),
    }
}

fn call(config: &Config, request: Request) -> Result<(), Exit> {
    block_on(async { Client::connect(config).await?.call(request).await }).map(drop)
}

fn status(config: &Config, json: bool) -> Result<(), Exit> {
    let status = block_on(async { Client::connect(config).await?.call(Request::Status {}).await })?;
    let update = status.ok_or_else(|| Exit::software("the guard answered without a status"))?.update;
    if json {
        let text = serde_json::to_string_pretty(&update).map_err(|error| Exit::software(error.to_string()))?;
        println!("{text}");
    } else {
        println!("{}", sentence(&update));
    }
    Ok(())
}

/// How it stands, in a line.
pub(super) fn sentence(update: &UpdateStatus) -> String {
    let version = update.version.as_deref().unwrap_or("no version");
    let what = match update.state {
        UpdateState::Off => "no updates".to_owned(),
        UpdateState::Current => match &update.version {
            Some(version) => format!("{version} is installed, and is what the release in force offers"),
            None => "no release is known".to_owned(),
        },
        UpdateState::Offered => format!("{version} is offered, and not taken"),
        UpdateState::Waiting => format!("{version} waits"),
        UpdateState::Downloading => format!("{version} is being downloaded"),
        UpdateState::Ready => format!("{version} is here, and will be installed"),
        UpdateState::Installing => format!("{version} is being installed"),
        UpdateState::Failed => format!("{version} failed here"),
    };
    let security = if update.security { " (security)" } else { "" };
    let why = update.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    let until = update.until.map_or_else(String::new, |until| {
        format!(", not before {}", TimeZone::system().to_datetime(until).strftime("%Y-%m-%d %H:%M"))
    });
    format!("{what}{security}{why}{until}")
}

fn check(config: &Config, note: Option<PathBuf>) -> Result<(), Exit> {
    let path = note.unwrap_or_else(|| config.device.data_dir.join(crate::update_files::NOTE));
    let found = updater::read_release(config, &path).map_err(|why| Exit::data(format!("{}: {why}", path.display())))?;
    let (release, keys) = (&found.release, found.keys.join(", "));
    println!("{} {}, serial {}, signed by {keys}", release.channel, release.version, release.serial);
    let package = installed_package::find(std::path::Path::new("/"));
    let package = package.ok_or_else(|| Exit::unavailable("tallybox was not installed as a package here"))?;
    let decision =
        rollout::decide(release, &updater::view(config, &package, config.device.id.as_deref().unwrap_or_default()));
    println!("this box, when it is free: {}", decision.explain());
    Ok(())
}
