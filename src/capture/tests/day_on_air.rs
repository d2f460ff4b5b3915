//! A day on air, faster than real time: 24 hours of encoded frames go through queue, publisher, FLV and RTMP to a real
//! server, as fast as it accepts them: `TALLYBOX_LONG=1 cargo test --release --lib a_day -- --nocapture`. In CI it is
//! half an hour of frames.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use tokio::sync::mpsc::Receiver;

use crate::capture::encoder::EncoderControl;
use crate::capture::gst::Timebase;
use crate::capture::guard_link::EventSender;
use crate::capture::media::{Frame, Track};
use crate::capture::output::Output;
use crate::capture::queue::FrameQueue;
use crate::capture::session_context::SessionContext;
use crate::config::Config;
use crate::ipc::FromCapture;

const FPS: u64 = 30;
/// AAC has 1024 samples in a frame.
const SAMPLES: u64 = 1024;
const RATE: u64 = 48_000;
/// At most this much is queued: half of what would be dropped.
const AHEAD: gst::ClockTime = gst::ClockTime::from_seconds(1);

const PICTURE: &str = "videotestsrc num-buffers=60 ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! \
     x264enc tune=zerolatency bitrate=400 key-int-max=60 option-string=scenecut=0 ! h264parse config-interval=-1 ! \
     video/x-h264,stream-format=avc,alignment=au";
const SOUND: &str = "audiotestsrc num-buffers=94 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! \
     avenc_aac bitrate=128000 ! aacparse ! audio/mpeg,mpegversion=4,stream-format=raw";

/// Two seconds of encoded frames, from a keyframe on.
fn encoded(track: Track, launch: &str) -> Vec<Frame> {
    let pipeline = gst::parse::launch(&format!("{launch} ! appsink name=out sync=false")).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let out = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let frames = std::iter::from_fn(|| out.pull_sample().ok())
        .map(|sample| Frame { track, buffer: sample.buffer_owned().unwrap(), caps: sample.caps_owned() })
        .collect();
    pipeline.set_state(gst::State::Null).unwrap();
    frames
}

/// The frame with another timestamp.
fn at(frame: &Frame, time: gst::ClockTime) -> Frame {
    let mut frame = frame.clone();
    let edit = frame.buffer.make_mut();
    edit.set_pts(time);
    edit.set_dts(time);
    frame
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn nanos(count: u64, rate: u64) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(count * 1_000_000_000 / rate)
}

/// A real server, which counts the frames that it receives.
struct Ingest {
    process: Child,
    url: String,
    dir: tempfile::TempDir,
}

impl Ingest {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = crate::ports::free_port();
        let url = format!("rtmp://127.0.0.1:{port}/live/key");
        let mut command = Command::new("ffmpeg");
        // Files, not pipes: a day's output would fill a pipe, and block the server.
        command
            .args(["-hide_banner", "-loglevel", "warning", "-nostats", "-progress"])
            .arg(dir.path().join("progress"));
        command.args(["-listen", "1", "-i", &url, "-map", "0", "-c", "copy", "-f", "null", "-"]).stdin(Stdio::null());
        let process = command.stderr(std::fs::File::create(dir.path().join("log")).unwrap()).spawn().unwrap();
        Self { process, url, dir }
    }

    fn config(&self) -> Config {
        let file = self.dir.path().join("tallybox.toml");
        std::fs::write(&file, format!("[ingest]\nurl = \"{}\"\n", self.url)).unwrap();
        Config::load(&file).unwrap()
    }

    /// The last value of `key` that the server has reported.
    fn last(&self, key: &str) -> String {
        let progress = std::fs::read_to_string(self.dir.path().join("progress")).unwrap();
        progress.lines().rev().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
    }

    /// Waits until nothing more arrives. The server reports its progress twice a second.
    fn wait_until_idle(&self) {
        let clock = crate::clock::Clock::start();
        let mut moved = (String::new(), clock.now());
        while clock.now().duration_since(moved.1) < Duration::from_secs(4) {
            let frames = self.last("frame=");
            if frames != moved.0 {
                moved = (frames, clock.now());
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Waits for the server's end. Returns what it has logged.
    fn finish(&mut self) -> String {
        self.process.wait().unwrap();
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

/// Pushes frames for `seconds`, as fast as the server accepts them. Returns how many audio frames these were, and the
/// resident memory after a tenth of them.
fn push_all(seconds: u64, queue: &FrameQueue, events: &mut Receiver<FromCapture>) -> (u64, u64) {
    let picture = encoded(Track::Video, PICTURE);
    let sound = encoded(Track::Audio, SOUND);
    assert_eq!(picture.iter().filter(|frame| frame.is_keyframe()).count(), 1);
    let (mut is_live, mut early, mut sounds) = (false, 0, 0);
    for number in 0..seconds * FPS {
        let time = nanos(number, FPS);
        while nanos(sounds * SAMPLES, RATE) <= time {
            queue.push(at(&sound[usize::try_from(sounds).unwrap() % sound.len()], nanos(sounds * SAMPLES, RATE)));
            sounds += 1;
        }
        queue.push(at(&picture[usize::try_from(number).unwrap() % picture.len()], time));
        wait_until_at_most(queue, AHEAD);
        while let Ok(message) = events.try_recv() {
            if !matches!(message, FromCapture::Stats(_)) {
                println!("at {time}: {message:?}");
            }
            is_live |= matches!(message, FromCapture::Live {});
            assert!(!is_live || !matches!(message, FromCapture::Reconnecting { .. }), "after {time}: {message:?}");
        }
        if number == seconds * FPS / 10 {
            early = resident();
        }
    }
    (sounds, early)
}

fn wait_until_at_most(queue: &FrameQueue, duration: gst::ClockTime) {
    while queue.duration() > duration {
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// In a process of its own: resident memory is that of a process, and other tests run in this one.
#[test]
fn a_day_passes_without_a_lost_frame_and_without_growing() {
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut alone = Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", &format!("{module}::a_day"), "--ignored", "--nocapture"]);
    let output = alone.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success() && text.contains("1 passed"), "{}", output.status);
}

#[test]
#[ignore = "the test above runs it in a process of its own"]
fn a_day() {
    gst::init().unwrap();
    let seconds = if std::env::var_os("TALLYBOX_LONG").is_some() { 24 * 3600 } else { 1800 };
    let mut ingest = Ingest::start();
    let (queue, (event_sender, mut events)) = (Arc::new(FrameQueue::default()), EventSender::with_receiver());
    let context = SessionContext {
        timebase: Timebase::start(),
        level_meter: Some(Arc::default()),
        encoder_control: EncoderControl::default(),
    };
    let output = Output::start_fixed(&ingest.config(), queue.clone(), &context, event_sender).unwrap();
    let (sounds, early) = push_all(seconds, &queue, &mut events);
    wait_until_at_most(&queue, gst::ClockTime::ZERO);
    let late = resident();
    assert_eq!(queue.dropped_frames(), 0);
    // What is in flight is delivered before the connection ends.
    ingest.wait_until_idle();
    drop(output);
    let logged = ingest.finish();
    let (pushed, received) = (seconds * FPS, ingest.last("frame=").parse::<u64>().unwrap());
    println!(
        "{seconds} s on air: {received} of {pushed} pictures arrived, and {sounds} audio frames were pushed; \
         the server's clock is at {}; resident {early} KiB after a tenth, {late} KiB at the end; its log: {logged:?}",
        ingest.last("out_time=")
    );
    // RTMP's own short timestamps end after 4 h 39 min; the server would log that times jump.
    assert!(!logged.contains("monoton") && !logged.contains("Invalid"), "{logged}");
    assert!(received * 1000 >= pushed * 999, "{received} of {pushed}");
    assert!(late * 100 <= early * 105, "{early} KiB, then {late} KiB");
}
