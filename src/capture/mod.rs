//! The role that holds camera and microphone. It exists only while there is consent, opens nothing before the guard's
//! start, and ends by itself when the guard is silent.

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
pub(crate) use media::h264;
use output::Output;
use session_context::SessionContext;

/// Runs until the guard closes the socket on standard input, or until the lease runs out.
pub fn run(config: &Config) -> Result<(), Exit> {
    crate::log::init("capture");
    let guard_link = GuardLink::open(connection()?, Clock::start(), output::whip::open_resources)?;
    match session(config, &guard_link) {
        Ok(()) => guard_link.finish(),
        Err(error) => {
            tracing::error!("{}", error.message);
            guard_link.send(FromCapture::Failed { kind: error.kind, message: error.message });
            guard_link.finish();
        }
    }
    Ok(())
}

/// The version of GStreamer that this program is linked with, and where its plugins are. Does not start it.
pub fn gstreamer_info() -> (String, PathBuf) {
    (gstreamer::version_string().to_string(), gst::plugins::plugin_directory().to_owned())
}

/// The capture socket, which this process has as its standard input.
fn connection() -> Result<UnixStream, Exit> {
    // If the guard dies, this process does too, even if the socket stays open.
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
    let Some(Start { audio, purpose, config_hash }) = guard_link.wait_for_start() else { return Ok(()) };
    if config_hash != config.hash {
        // The files may name another policy or server by now. Staff did not consent to those.
        let message = "the configuration was changed since the guard was started: restart guard and agent";
        return Err(CaptureError::config(message));
    }
    // Not before the start: GStreamer's plugin for cameras opens every video node, to find encoders.
    gstreamer::init().map_err(|error| CaptureError::internal(format!("GStreamer does not start: {error}")))?;
    if purpose == Purpose::Probe {
        return probe::run(config, audio, guard_link);
    }
    let outlets = Output::from_config(config)?;
    let (taps, mut supplied) = (Output::encoder_queues(&outlets), Vec::new());
    // Servers are called while the camera starts: what takes longer is not known before.
    let begin = |begun: &SessionContext| {
        supplied = Output::start_all(outlets, config, begun, guard_link)?;
        Ok(())
    };
    let pipeline = CaptureGraph::start(config, audio, &guard_link.lease(), &taps, &guard_link.event_sender(), begin)?;
    let ended = attend(&pipeline, guard_link);
    // The order matters: devices close before any server learns of the end, and before the process reports its own.
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
