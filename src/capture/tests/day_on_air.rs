//! A day on air, faster than real time: 24 hours of encoded frames go through queue, publisher, FLV and RTMP to a real
//! server, as fast as it accepts them: `TALLYBOX_LONG=1 cargo test --release --lib a_day -- --nocapture`. In CI it is
//! half an hour of frames.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::encoder::EncoderControl;
use crate::capture::gst::Timebase;
use crate::capture::guard_link::EventSender;
use crate::capture::media::Frame;
use crate::capture::media::Track;
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

#[test]
fn a_day_passes_without_a_lost_frame_and_without_growing() {
    gst::init().unwrap();
    let seconds = if std::env::var_os("TALLYBOX_LONG").is_some() { 24 * 3600 } else { 1800 };
    let picture = encoded(
        Track::Video,
        "videotestsrc num-buffers=60 ! video/x-raw,format=I420,width=320,height=180,framerate=30/1 ! \
         x264enc tune=zerolatency bitrate=400 key-int-max=60 option-string=scenecut=0 ! h264parse config-interval=-1 ! \
         video/x-h264,stream-format=avc,alignment=au",
    );
    let sound = encoded(
        Track::Audio,
        "audiotestsrc num-buffers=94 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! avenc_aac bitrate=128000 ! \
         aacparse ! audio/mpeg,mpegversion=4,stream-format=raw",
    );
    assert_eq!(picture.iter().filter(|frame| frame.is_keyframe()).count(), 1);

    let dir = tempfile::tempdir().unwrap();
    // Files, not pipes: a day's output would fill a pipe, and block the server.
    let (progress, log) = (dir.path().join("progress"), dir.path().join("log"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("rtmp://127.0.0.1:{port}/live/key");
    let mut ingest = Command::new("ffmpeg");
    ingest.args(["-hide_banner", "-loglevel", "warning", "-nostats", "-progress"]).arg(&progress);
    ingest.args(["-listen", "1", "-i", &url, "-map", "0", "-c", "copy", "-f", "null", "-"]).stdin(Stdio::null());
    let mut ingest = ingest.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();

    let file = dir.path().join("tallybox.toml");
    std::fs::write(&file, format!("[ingest]\nurl = \"{url}\"\n")).unwrap();
    let config = Config::load(&file).unwrap();
    let (queue, (event_sender, mut events)) = (Arc::new(FrameQueue::default()), EventSender::with_receiver());
    let context = SessionContext {
        timebase: Timebase::start(),
        level_meter: Some(Arc::default()),
        encoder_control: EncoderControl::default(),
    };
    let output = Output::start_fixed(&config, queue.clone(), &context, event_sender).unwrap();

    let (mut is_live, mut early, mut sounds) = (false, 0, 0);
    let pause = || std::thread::park_timeout(Duration::from_millis(1));
    for number in 0..seconds * FPS {
        let time = nanos(number, FPS);
        while nanos(sounds * SAMPLES, RATE) <= time {
            queue.push(at(&sound[usize::try_from(sounds).unwrap() % sound.len()], nanos(sounds * SAMPLES, RATE)));
            sounds += 1;
        }
        queue.push(at(&picture[usize::try_from(number).unwrap() % picture.len()], time));
        while queue.duration() > AHEAD {
            pause();
        }
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
    while queue.duration() > gst::ClockTime::ZERO {
        pause();
    }
    let late = resident();
    assert_eq!(queue.dropped_frames(), 0);
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let last = |key: &str| {
        let progress = read(&progress);
        progress.lines().rev().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
    };
    // What is in flight is delivered before the connection ends. The server reports its progress twice a second.
    let clock = crate::clock::Clock::start();
    let mut moved = (String::new(), clock.now());
    while clock.now().duration_since(moved.1) < Duration::from_secs(4) {
        let frames = last("frame=");
        if frames != moved.0 {
            moved = (frames, clock.now());
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    drop(output);
    ingest.wait().unwrap();
    let logged = read(&log);
    let (pushed, received) = (seconds * FPS, last("frame=").parse::<u64>().unwrap());
    println!(
        "{seconds} s on air: {received} of {pushed} pictures arrived, and {sounds} audio frames were pushed; the server's clock is at {}; resident {early} KiB after a tenth, {late} KiB at the end; its log: {logged:?}",
        last("out_time=")
    );
    // RTMP's own short timestamps end after 4 h 39 min; the server would log that times jump.
    assert!(!logged.contains("monoton") && !logged.contains("Invalid"), "{logged}");
    assert!(received * 1000 >= pushed * 999, "{received} of {pushed}");
    assert!(late * 100 <= early * 105, "{early} KiB, then {late} KiB");
}
