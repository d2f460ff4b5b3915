//! The role that holds camera and microphone. It exists only while there is consent, opens nothing before the guard's
//! start, and ends by itself when the guard is silent.

mod audio;
mod compositor;
mod encoder;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod graph;
mod gst;
mod guard_link;
mod input;
mod media;
mod output;
mod probe;
mod queue;
mod session;
mod session_context;
#[cfg(test)]
mod tests;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::clock::Clock;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::FromCapture;

pub(crate) use gst::plugins::package_of;
use guard_link::GuardLink;
pub(crate) use input::run_camera;
pub(crate) use media::h264;

/// Runs until the guard closes the socket on standard input, or until the lease runs out.
pub fn run(config: &Config) -> Result<(), Exit> {
    crate::log::init("capture");
    let guard_link = GuardLink::open(connection()?, Clock::start(), output::open_resources)?;
    match session::run(config, &guard_link) {
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
