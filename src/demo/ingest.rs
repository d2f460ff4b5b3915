//! The ingest: ffmpeg takes the RTMP stream and hands it on as fragmented MP4, unchanged.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use tokio_util::sync::CancellationToken;

use super::children::mortal;
use super::hub::{Hub, Media};
use super::mp4::{Cutter, Piece};

/// ffmpeg takes one stream and ends with it: this long until it listens again.
const AGAIN: Duration = Duration::from_millis(100);

fn listen(port: u16) -> std::io::Result<Child> {
    let url = format!("rtmp://127.0.0.1:{port}/live/demo");
    let mut ffmpeg = mortal("ffmpeg");
    // A third of a second is enough to find picture and sound; every frame leaves as a fragment of its own.
    ffmpeg.args(["-hide_banner", "-loglevel", "error", "-fflags", "nobuffer", "-flags", "low_delay"]);
    ffmpeg.args(["-analyzeduration", "300000", "-fpsprobesize", "0", "-listen", "1", "-i", &url, "-c", "copy"]);
    // Each frame as a fragment of its own, for it is longer than a millisecond. `frag_every_frame` would do the same,
    // but ffmpeg 5.1 then moves every other sound frame to the time of the next one. To Chromium each such gap is a
    // discontinuity, and it drops pictures until the next keyframe.
    ffmpeg.args(["-f", "mp4", "-movflags", "+empty_moov+default_base_moof", "-frag_duration", "1000"]);
    ffmpeg.args(["-flush_packets", "1", "pipe:1"]);
    ffmpeg.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

/// Takes stream after stream while its switch is on.
pub(super) async fn run(port: u16, hub: Arc<Hub>, ending: CancellationToken) {
    let mut switches = hub.switches();
    while !ending.is_cancelled() {
        if !switches.borrow_and_update().ingest {
            tokio::select! {
                () = ending.cancelled() => return,
                _ = switches.changed() => continue,
            }
        }
        let mut child = match listen(port) {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%error, "the ingest cannot be started");
                return;
            }
        };
        let killed = async { while switches.borrow_and_update().ingest && switches.changed().await.is_ok() {} };
        if let Some(out) = child.stdout.take() {
            tokio::select! {
                () = ending.cancelled() => {}
                () = killed => {}
                () = pass_on(out, &hub) => {}
            }
        }
        let _ = child.kill().await;
        hub.stream(Media::End);
        tokio::time::sleep(AGAIN).await;
    }
}

async fn pass_on(mut out: ChildStdout, hub: &Hub) {
    let mut cutter = Cutter::default();
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = out.read(&mut bytes).await {
        let Some(pieces) = cutter.take(&bytes[..length]) else { return };
        for piece in pieces {
            hub.stream(match piece {
                Piece::Start(start) => Media::Start(start),
                Piece::Fragment(fragment) => Media::Fragment(fragment),
            });
        }
    }
}
