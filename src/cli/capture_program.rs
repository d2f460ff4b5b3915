//! The commands that need GStreamer, which are carried out in a program of their own: guard and agent then have neither
//! GStreamer nor OpenSSL in them, and take half the memory.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process;

use clap::{Parser, Subcommand};

use super::ConfigFile;
use crate::exit::Exit;

/// The program's name, beside `tallybox` where cargo makes them, in `libexec` where a package installs them.
const PROGRAM: &str = "tallybox-capture";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The role that holds camera and microphone, as the guard starts it: the capture socket is its standard input.
    Capture(ConfigFile),
    /// A camera of capture's in a process of its own, as capture starts it: its request is the first line of standard
    /// input, pictures go to standard output.
    #[command(hide = true)]
    Camera {
        /// Capture's process id: without that parent it ends.
        #[arg(long, value_name = "PID")]
        parent: u32,
    },
    /// Which GStreamer this is, and on a second line where its plugins are, for doctor. It is not started.
    #[command(hide = true)]
    Gstreamer,
}

#[derive(Debug, Parser)]
#[command(name = "tallybox", version)]
pub(super) struct Cli {
    #[command(subcommand)]
    command: Command,
}

pub(super) fn dispatch(cli: Cli) -> Result<(), Exit> {
    match cli.command {
        Command::Capture(file) => file.load().and_then(|config| crate::capture::run(&config)),
        Command::Camera { parent } => crate::capture::run_camera(parent),
        Command::Gstreamer => {
            let (version, plugins) = crate::capture::gstreamer_info();
            println!("{version}\n{}", plugins.display());
            Ok(())
        }
    }
}

/// That program, with these arguments.
pub(super) fn capture_command(arguments: &[impl AsRef<OsStr>]) -> process::Command {
    let here = std::env::current_exe().unwrap_or_default();
    let folder = here.parent().unwrap_or(Path::new("/"));
    let beside = folder.join(PROGRAM);
    let mut command =
        process::Command::new(if beside.exists() { beside } else { folder.join("../libexec").join(PROGRAM) });
    // It loads what it needs by itself (src/capture/gst/plugins.rs).
    command.args(arguments).env("GST_REGISTRY_DISABLE", "yes");
    command
}

/// Becomes that program, with the same arguments; returns if it cannot.
pub(super) fn exec_capture() -> Exit {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let mut capture_command = capture_command(&arguments.collect::<Vec<_>>());
    let error = capture_command.arg0(name).exec();
    Exit::software(format!(
        "{} cannot be started: {error}; install the package again, or make both programs with cargo build",
        capture_command.get_program().display()
    ))
}
