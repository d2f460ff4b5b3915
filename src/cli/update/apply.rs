//! The updater on this machine.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::cli::client::Client;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{FromGuard, Request, Response, UpdateOutcome};
use crate::runtime::block_on;
use crate::updater::{self, Machine};

/// The machine that this process runs on, and the guard on this configuration.
struct ThisMachine<'a>(&'a Config);

impl Machine for ThisMachine<'_> {
    fn root(&self) -> &Path {
        Path::new("/")
    }

    fn output(&self, mut command: Command) -> io::Result<Output> {
        command.stdin(Stdio::null()).output()
    }

    fn say(&self, line: &str) {
        println!("{line}");
    }

    fn tell_guard(&self, outcome: UpdateOutcome) -> Result<Response, Exit> {
        block_on(async {
            let mut client = Client::connect(self.0).await?;
            let number = client.send(Request::UpdateEnded(outcome)).await?;
            loop {
                if let FromGuard::Response { call, response } = client.receive().await?
                    && call == number
                {
                    return Ok(response);
                }
            }
        })
    }
}

pub(super) fn run(config: &Config) -> Result<(), Exit> {
    if !rustix::process::geteuid().is_root() {
        return Err(Exit::permission("call it as root: it installs packages"));
    }
    updater::run(config, &ThisMachine(config))
}
