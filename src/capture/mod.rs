//! The role that holds camera and microphone. It exists only while there is consent, opens nothing before the guard
//! says start, and goes dark by itself when the guard is silent.

mod adapt;
mod audio;
mod backoff;
mod coder;
mod coding;
#[cfg(test)]
mod day_tests;
mod devices;
mod door;
mod encoder;
mod failure;
mod file;
mod flv;
mod keyframe;
mod lane;
mod level;
mod line;
mod mask;
mod meter;
mod overlay;
mod pace;
mod picture;
mod pipeline;
mod probe;
mod push;
mod queue;
#[cfg(test)]
mod rate_tests;
mod rendition;
mod rtmp;
mod slate;
mod source;
mod srt;
mod steer;
mod tap;
mod tcp;
mod timebase;
mod tls;
mod vault;
mod video;
mod vigil;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, Outage, OutageBuffer};
use crate::exit::Exit;
use crate::ipc::{FailureKind, FromCapture, Purpose};

use door::{Door, Order, Start};
use failure::Failure;
use line::{Keys, Target};
use pipeline::Pipeline;
use push::Push;
use queue::{Bounds, Queue};
use rendition::Rendition;
use steer::Steer;
use vault::{Keeper, Vault};

/// Runs until the door on standard input closes or the lease runs out.
pub fn run(config: &Config) -> Result<(), Exit> {
    crate::log::init("capture");
    let door = Door::open(connection()?, Clock::start())?;
    match session(config, &door) {
        Ok(()) => door.dark(0),
        Err(failure) => {
            tracing::error!("{}", failure.message);
            door.tell(FromCapture::Failed { kind: failure.kind, message: failure.message });
            door.dark(1);
        }
    }
    Ok(())
}

/// Brings GStreamer's list of plugins up to date, which the first press would otherwise wait for. Its unit has no devices:
/// what depends on them is looked at anew by a capture, once it may.
pub fn list_plugins() -> Result<(), Exit> {
    gstreamer::init().map_err(|error| Exit::software(format!("GStreamer does not start: {error}")))
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
fn session(config: &Config, door: &Door) -> Result<(), Failure> {
    let Some(Start { sound, purpose, configuration }) = door.wait_for_start() else { return Ok(()) };
    if configuration != config.hash {
        // Another policy or server may stand in there, which staff were not asked about.
        let message = "the configuration was changed since the guard was started: restart guard and agent";
        return Err(Failure::config(message));
    }
    // Not before: where its list of plugins is stale GStreamer opens every video node to look for encoders.
    gstreamer::init().map_err(|error| Failure::internal(format!("GStreamer does not start: {error}")))?;
    if purpose == Purpose::Probe {
        return probe::run(config, sound, door);
    }
    let to = &config.ingest.first;
    if !config.privacy.allowed_ingest_hosts.iter().any(|pattern| pattern.allows(&to.host)) {
        let message = format!("{} is not one of [privacy] allowed-ingest-hosts", to.host);
        return Err(Failure { kind: FailureKind::IngestNotAllowed, message });
    }
    let keys = Keys::resolve(to)?;
    let (queue, _keeper) = buffer(config)?;
    let pipeline = Pipeline::start(config, sound, &door.gate(), queue.clone(), &door.teller())?;
    let target = Target::new(to, keys, pipeline.sound(), pipeline.time());
    let knobs = pipeline.knobs();
    let apply = move |wanted: &Rendition| {
        if let Err(failure) = knobs.apply(wanted) {
            tracing::warn!("{}", failure.message);
        }
    };
    let steer = Steer::new(&config.video, pipeline.sound().then_some(&config.audio), Box::new(apply));
    let push = Push::start(target, queue, pipeline.loudness(), door.teller(), pipeline.keyframes(), steer)?;
    let ended = attend(&pipeline, door);
    // The pipelines first, so that devices are closed before the process says that it is done.
    drop(push);
    drop(pipeline);
    ended
}

/// The queue, with what an outage needs.
fn buffer(config: &Config) -> Result<(Arc<Queue>, Option<Keeper>), Failure> {
    let Outage { buffer, size_mib, catch_up } = config.ingest.outage;
    // At most 4 GiB, which only a 64-bit box has.
    let bytes = usize::try_from(u64::from(size_mib) * 1024 * 1024).unwrap_or(usize::MAX);
    let window = config.ingest.reconnect_window;
    let memory = || (Arc::new(Queue::new(Bounds { bytes, span: window, catch_up }, None)), None);
    if buffer == OutageBuffer::Memory {
        return Ok(memory());
    }
    // systemd's, else the box's own folder.
    let dir = std::env::var_os("CACHE_DIRECTORY").map_or_else(|| config.device.data_dir.clone(), PathBuf::from);
    let vault = match Vault::open_in(&dir) {
        Ok(vault) => Arc::new(vault),
        Err(error) => {
            tracing::warn!("no outage buffer in {}: {error}; frames wait in memory instead", dir.display());
            return Ok(memory());
        }
    };
    let span = window.min(config.privacy.footage_retention);
    let queue = Arc::new(Queue::new(Bounds { bytes, span, catch_up }, Some(vault.clone())));
    let keeper = Keeper::start(queue.clone(), vault, bytes);
    let keeper = keeper.map_err(|error| Failure::internal(format!("no thread: {error}")))?;
    Ok((queue, Some(keeper)))
}

/// Carries out what the guard says, and watches the camera, until one of them ends it.
fn attend(pipeline: &Pipeline, door: &Door) -> Result<(), Failure> {
    loop {
        match door.next_order(Duration::from_millis(50)) {
            Some(Order::Dark) => return Ok(()),
            Some(Order::Mute(muted)) => pipeline.mute(muted),
            None => {}
        }
        pipeline.check()?;
    }
}
