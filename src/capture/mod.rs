//! The role that holds camera and microphone. It exists only while there is consent, opens nothing before the guard
//! says start, and goes dark by itself when the guard is silent.

mod audio;
mod compositor;
mod encoder;
mod error;
mod graph;
mod gst;
mod guard_link;
mod input;
mod media;
mod output;
mod probe;
mod queue;
mod session_context;
#[cfg(test)]
mod tests;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{FromCapture, Purpose};

use error::CaptureError;
use graph::CaptureGraph;
pub(crate) use gst::plugins::package_of;
use guard_link::{GuardLink, Start};
use output::Output;
use session_context::SessionContext;

/// Runs until the door on standard input closes or the lease runs out.
pub fn run(config: &Config) -> Result<(), Exit> {
    crate::log::init("capture");
    let guard_link = GuardLink::open(connection()?, Clock::start(), output::whip::open_resources)?;
    match session(config, &guard_link) {
        Ok(()) => guard_link.finish(),
        Err(failure) => {
            tracing::error!("{}", failure.message);
            guard_link.send(FromCapture::Failed { kind: failure.kind, message: failure.message });
            guard_link.finish();
        }
    }
    Ok(())
}

/// Which GStreamer this program is linked with, and where its plugins are. It is not started.
pub fn gstreamer() -> (String, PathBuf) {
    (gstreamer::version_string().to_string(), gst::plugins::plugin_directory().to_owned())
}

/// The guard's connection, given to this process as its standard input.
fn connection() -> Result<UnixStream, Exit> {
    // Where the guard dies without closing anything, this process dies with it.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let usage = || {
        Exit::usage(
            "capture is started by the guard, with its connection as standard input; to start a session, press the button",
        )
    };
    let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(|_| usage())?);
    stream.local_addr().map_err(|_| usage())?;
    Ok(stream)
}

/// One session, from the guard's start to its end.
fn session(config: &Config, guard_link: &GuardLink) -> Result<(), CaptureError> {
    let Some(Start { sound, purpose, configuration }) = guard_link.wait_for_start() else { return Ok(()) };
    if configuration != config.hash {
        // Another policy or server may stand in there, which staff were not asked about.
        let message = "the configuration was changed since the guard was started: restart guard and agent";
        return Err(CaptureError::config(message));
    }
    // Not before: its plugin for cameras opens every video node, to look for encoders.
    gstreamer::init().map_err(|error| CaptureError::internal(format!("GStreamer does not start: {error}")))?;
    if purpose == Purpose::Probe {
        return probe::run(config, sound, guard_link);
    }
    let outlets = Output::from_config(config)?;
    let (taps, mut supplied) = (Output::encoder_queues(&outlets), Vec::new());
    // Servers are called while the camera starts: what takes longer is not known before.
    let begin = |begun: &SessionContext| {
        supplied = Output::start_all(outlets, config, begun, guard_link)?;
        Ok(())
    };
    let pipeline = CaptureGraph::start(config, sound, &guard_link.lease(), &taps, &guard_link.event_sender(), begin)?;
    let ended = attend(&pipeline, guard_link);
    // Devices are closed before the process says that it is done, and before any server has heard of the end.
    for outlet in &mut supplied {
        outlet.stop();
    }
    drop(pipeline);
    drop(supplied);
    ended
}

/// Watches camera and microphone until the guard or one of them ends it.
fn attend(pipeline: &CaptureGraph, guard_link: &GuardLink) -> Result<(), CaptureError> {
    while !guard_link.wait_for_stop(Duration::from_millis(50)) {
        pipeline.check()?;
    }
    Ok(())
}
