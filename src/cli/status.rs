//! `tallybox status`: what the box is doing now, from the guard.

use super::client::{Client, block_on};
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{Request, Status};

/// Prints the status.
pub(super) fn run(config: &Config, json: bool) -> Result<(), Exit> {
    block_on(async {
        let mut client = Client::connect(config).await?;
        let status = client.call(Request::Status {}).await?;
        let status = status.ok_or_else(|| Exit::software("the guard answered without a status"))?;
        print(&status, json)
    })
}

pub(super) fn print(status: &Status, json: bool) -> Result<(), Exit> {
    use std::io::Write;
    let text = if json {
        serde_json::to_string(status).map_err(|error| Exit::software(error.to_string()))? + "\n"
    } else {
        describe(status)
    };
    // Whoever reads may have read enough: a closed pipe is not a failure of the box.
    std::io::stdout().write_all(text.as_bytes()).map_err(|_| Exit::io(""))
}

fn describe(status: &Status) -> String {
    use std::fmt::Write;
    let mut text = format!("phase     {} since {}\n", status.phase.word(), status.since);
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:<9} {value}");
        }
    };
    line("session", status.session.map(|session| session.to_string()));
    line("lamp", Some(status.lamp.word().to_owned()));
    line("sound", status.session.map(|_| if status.muted { "muted" } else { "on" }.to_owned()));
    line("reason", status.reason.clone());
    line("message", status.message.clone());
    line("encoder", status.encoder.clone());
    line("camera", status.camera.clone());
    line(
        "stream",
        status.stream.map(|stream| {
            format!(
                "{:.0} fps, {} lines, {} kbit/s, {} ms queued, {} frames dropped, {} reconnects{}",
                stream.fps,
                stream.height,
                stream.bitrate_kbps,
                stream.queue_ms,
                stream.dropped_frames,
                stream.reconnects,
                if stream.reduced { "; reduced: the network takes no more" } else { "" }
            )
        }),
    );
    line("policy", Some(status.policy_version.clone()));
    line("panel", Some(status.panel.clone()));
    line("software", Some(status.software.clone()));
    text
}
