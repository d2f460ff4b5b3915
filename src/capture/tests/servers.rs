//! Servers that record what they receive, and what ffprobe finds in the recordings.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::ports::free_port;

/// Waits until `done`, for a minute at most.
#[track_caller]
pub(super) fn wait(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if done() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    panic!("{what}: not within a minute");
}

/// A server, which is stopped with the test.
pub(super) struct Server(Child, tempfile::TempDir);

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

impl Server {
    /// nginx, which records what it receives; and its URL.
    pub(super) fn nginx() -> (Self, String) {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(dir.path(), mode).unwrap();
        let path = dir.path().display();
        let config = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\ndaemon off;\npid {path}/pid;\nerror_log {path}/error.log;\n\
             worker_processes 1;\nevents {{}}\nrtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; record all; \
             record_path {path}; record_suffix .flv; }} }} }}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(dir.path().join("nginx.conf")).arg("-e").arg(dir.path().join("error.log"));
        let this = Self(command.stderr(Stdio::null()).spawn().unwrap(), dir);
        wait("nginx answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        (this, format!("rtmp://127.0.0.1:{port}/live/key"))
    }

    /// srt-live-transmit, which records what it receives; and its URL.
    pub(super) fn srt() -> (Self, String) {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = std::fs::File::create(dir.path().join("key.ts")).unwrap();
        let mut command = Command::new("srt-live-transmit");
        command.args(["-q", &format!("srt://127.0.0.1:{port}?mode=listener"), "file://con"]);
        let child = command.stdin(Stdio::null()).stdout(file).stderr(Stdio::null()).spawn().unwrap();
        (Self(child, dir), format!("srt://127.0.0.1:{port}?mode=caller"))
    }

    pub(super) fn recording(&self) -> PathBuf {
        let found = ["key.flv", "key.ts"].map(|name| self.1.path().join(name)).into_iter().find(|path| path.exists());
        found.unwrap_or_default()
    }
}

pub(super) fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |data| data.len())
}

/// A recorded frame, as ffprobe decodes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordedFrame {
    pub(super) at: f64,
    pub(super) is_keyframe: bool,
    pub(super) bytes: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The frames of the first `seconds` of a recording. The end of the test cuts it off in the middle of a frame.
pub(super) fn recorded_frames(file: &Path, seconds: f64) -> Vec<RecordedFrame> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-read_intervals", &format!("%+{seconds:.1}"), "-v", "error", "-select_streams", "v:0"]);
    ffprobe.args(["-of", "csv=p=0", "-show_entries", "frame=pts_time,key_frame,pkt_size,width,height"]);
    let output = ffprobe.arg(file).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let frame = |line: &str| -> Option<_> {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
        let (is_keyframe, at) = (number(0)? == 1, fields.get(1)?.parse().ok()?);
        Some(RecordedFrame { at, is_keyframe, bytes: number(2)?, width: number(3)?, height: number(4)? })
    };
    text.lines().filter_map(frame).collect()
}
