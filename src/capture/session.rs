//! One session: camera and microphone, encoder and servers, from the guard's start to its stop.

use std::time::Duration;

use crate::capture::error::CaptureError;
use crate::capture::graph::{CaptureGraph, Inputs};
use crate::capture::guard_link::{GuardLink, Start};
use crate::capture::output::{self, Output};
use crate::capture::probe;
use crate::config::Config;
use crate::ipc::Purpose;

/// How often devices, encoder and pipelines are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Waits for the guard's start and runs what it asks for: a session or a probe.
pub(crate) fn run(config: &Config, guard_link: &GuardLink) -> Result<(), CaptureError> {
    let Some(start) = guard_link.wait_for_start() else { return Ok(()) };
    let Start { session, audio, purpose, config_hash, values, commands, bitrate_kbps } = start;
    // The platform's values below this process's own files, as the guard has them.
    let config = &config.with_desired(&values).config;
    if config_hash != config.hash {
        // The files may name another policy or server by now. Staff did not consent to those.
        let message = "the configuration was changed since the guard was started: restart guard and agent";
        return Err(CaptureError::config(message));
    }
    let mut config = config.with_session_values(&commands).map_err(CaptureError::config)?;
    config.video.bitrate_kbps = bitrate_kbps;
    // Only now: GStreamer's camera plugin opens every video node, to look for encoders.
    gstreamer::init().map_err(|error| CaptureError::internal(format!("GStreamer does not start: {error}")))?;
    match purpose {
        Purpose::Probe => probe::run(&config, audio, guard_link),
        Purpose::OnAir => stream(&config, session, audio, guard_link),
    }
}

fn stream(config: &Config, session: u64, with_audio: bool, guard_link: &GuardLink) -> Result<(), CaptureError> {
    let outputs = Output::from_config(config, session)?;
    output::check_link(config)?;
    let queues = Output::encoder_queues(&outputs);
    let inputs = Inputs::open(config, with_audio, guard_link)?;
    // Servers are called while the camera starts: which of the two takes longer is not known.
    let outputs = Output::start_all(outputs, config, inputs.session(), guard_link)?;
    let graph = CaptureGraph::start(inputs, config, &queues, guard_link)?;
    let result = supervise(&graph, guard_link);
    // Devices are closed before the process reports its end, and before any server learns of it.
    for output in &outputs {
        output.stop();
    }
    drop(graph);
    drop(outputs);
    result
}

/// Checks the graph, and applies what the guard changes, until the guard ends the session, or an error does.
fn supervise(graph: &CaptureGraph, guard_link: &GuardLink) -> Result<(), CaptureError> {
    let lease = guard_link.lease();
    while !guard_link.wait_for_stop(CHECK_INTERVAL) {
        graph.check()?;
        if let Some(kbps) = lease.pending_bitrate() {
            let result = graph.set_bitrate_cap(kbps);
            lease.settle_bitrate(kbps, result.map_err(|error| error.message));
        }
    }
    Ok(())
}
