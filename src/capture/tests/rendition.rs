//! Renditions and encoders that change while the stream is on air, at a real nginx-rtmp and over SRT.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use tokio::sync::mpsc::Receiver;

use crate::capture::compositor::Compositor;
use crate::capture::encoder::frame_sink::tap;
use crate::capture::encoder::{EncoderControl, Fault, VideoEncoder};
use crate::capture::gst::Timebase;
use crate::capture::guard_link::{EventSender, Lease};
use crate::capture::media::Track;
use crate::capture::output::credentials::IngestCredentials;
use crate::capture::output::publisher::{Publisher, StatusReporter};
use crate::capture::output::rate_adapter::RateAdapter;
use crate::capture::output::target::IngestTarget;
use crate::capture::queue::FrameQueue;
use crate::config::{Video, VideoSource, example_to};
use crate::ipc::FromCapture;
use bitrate::Rendition;

#[track_caller]
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if done() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    panic!("{what}: not within a minute");
}

fn free_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that ends with the test.
struct Server(Child, tempfile::TempDir);

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

impl Server {
    /// nginx, which records what it is sent; and its URL.
    fn nginx() -> (Self, String) {
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

    /// srt-live-transmit, which writes down what it is sent; and its URL.
    fn srt() -> (Self, String) {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = std::fs::File::create(dir.path().join("key.ts")).unwrap();
        let mut command = Command::new("srt-live-transmit");
        command.args(["-q", &format!("srt://127.0.0.1:{port}?mode=listener"), "file://con"]);
        let child = command.stdin(Stdio::null()).stdout(file).stderr(Stdio::null()).spawn().unwrap();
        (Self(child, dir), format!("srt://127.0.0.1:{port}?mode=caller"))
    }

    fn recording(&self) -> PathBuf {
        let found = ["key.flv", "key.ts"].map(|name| self.1.path().join(name)).into_iter().find(|path| path.exists());
        found.unwrap_or_default()
    }
}

/// A test picture on its way to a server.
struct Air {
    source: gst::Pipeline,
    coding: std::sync::Arc<VideoEncoder>,
    knobs: EncoderControl,
    queue: std::sync::Arc<FrameQueue>,
    push: Option<Publisher>,
    told: Receiver<FromCapture>,
}

impl Drop for Air {
    fn drop(&mut self) {
        drop(self.push.take());
        let _ = self.source.set_state(gst::State::Null);
    }
}

impl Air {
    /// Goes on air with a picture that `pattern` tells the test source, encoded as `more` configures.
    fn go(url: &str, pattern: &str, more: &str, fault: Option<Fault>) -> Self {
        gst::init().unwrap();
        let config = example_to(
            url,
            &format!("[video]\nsource = \"test\"\nwidth = 640\nheight = 360\nbitrate-kbps = 1500\n{more}"),
        );
        let source = gst::Pipeline::with_name("test");
        let camera = crate::capture::gst::plugins::make("videotestsrc", "video-source").unwrap();
        camera.set_property("is-live", true);
        camera.set_property_from_str("pattern", pattern);
        // Of the zone plate: rings that move, which a picture's bits depend on.
        for (key, value) in [("kx2", 20), ("ky2", 20), ("kt", 3)] {
            camera.set_property(key, value);
        }
        let filter = crate::capture::gst::plugins::make("capsfilter", "video-caps").unwrap();
        filter.set_property("caps", crate::capture::media::raw_video_caps(&config.video));
        source.add_many([&camera, &filter]).unwrap();
        let (event_sender, told) = EventSender::with_receiver();
        let queue = std::sync::Arc::new(FrameQueue::default());
        let (lease, frames) = (std::sync::Arc::new(Lease::valid()), queue.clone());
        let make_tap = Box::new(move || tap("video-tap", Track::Video, lease.clone(), vec![frames.clone()]).upcast());
        let (profile, cover) = (crate::capture::encoder::backend::MAIN, Compositor::default());
        // What comes through a pipeline waits for the encoder.
        let video = Video { source: VideoSource::File, ..config.video.clone() };
        let coding = VideoEncoder::start_with(&video, profile, cover, make_tap, &event_sender, fault).unwrap();
        let entry = coding.input_sink().unwrap();
        source.add(&entry).unwrap();
        gst::Element::link_many([&camera, &filter, &entry]).unwrap();
        let time = Timebase::start();
        time.apply_to(&source);
        source.set_state(gst::State::Playing).unwrap();
        let to = &config.ingest.first;
        let keys = IngestCredentials::resolve(to).unwrap();
        let knobs = EncoderControl::default();
        knobs.attach(&coding);
        // The tests turn the knobs themselves.
        let (target, steer) = (IngestTarget::new(&config, to, keys, false, time), RateAdapter::disabled());
        let push =
            Publisher::start(target, queue.clone(), None, StatusReporter::First(event_sender), knobs.clone(), steer)
                .unwrap();
        Self { source, coding, knobs, queue, push: Some(push), told }
    }

    /// Looks after the encoder until `done`.
    #[track_caller]
    fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        wait(what, || {
            self.coding.supervise().unwrap();
            done()
        });
    }

    fn told(&mut self, wanted: impl Fn(&FromCapture) -> bool) -> bool {
        std::iter::from_fn(|| self.told.try_recv().ok()).any(|said| wanted(&said))
    }
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |data| data.len())
}

/// What ffprobe makes of each decoded frame of the first `seconds`: time, whether it is a keyframe, size in bytes,
/// width and height. What comes last was cut off by the end of the test.
fn frames(file: &Path, seconds: f64) -> Vec<(f64, bool, u32, u32, u32)> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args([
        "-read_intervals",
        &format!("%+{seconds:.1}"),
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-of",
        "csv=p=0",
    ]);
    ffprobe.args(["-show_entries", "frame=pts_time,key_frame,pkt_size,width,height"]);
    let output = ffprobe.arg(file).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| -> Option<_> {
        let words: Vec<&str> = line.split(',').collect();
        let number = |at: usize| words.get(at)?.parse::<u32>().ok();
        Some((words.get(1)?.parse().ok()?, number(0)? == 1, number(2)?, number(3)?, number(4)?))
    };
    text.lines().filter_map(row).collect()
}

/// Bits a second of the frames from `begin` to `end`, in kbit/s.
fn kbps(frames: &[(f64, bool, u32, u32, u32)], begin: f64, end: f64) -> f64 {
    let bytes: u32 = frames.iter().filter(|frame| frame.0 >= begin && frame.0 < end).map(|frame| frame.2).sum();
    f64::from(bytes) * 8.0 / 1000.0 / (end - begin)
}

/// What is asked for, one after the other, and for how many seconds.
const STEPS: [(Rendition, f64); 5] = [
    (Rendition { bitrate_kbps: 1500, fps: 30, width: 640, height: 360 }, 3.5),
    (Rendition { bitrate_kbps: 400, fps: 30, width: 640, height: 360 }, 3.0),
    (Rendition { bitrate_kbps: 400, fps: 15, width: 640, height: 360 }, 4.5),
    (Rendition { bitrate_kbps: 400, fps: 15, width: 426, height: 240 }, 3.0),
    (Rendition { bitrate_kbps: 1500, fps: 30, width: 640, height: 360 }, 3.0),
];

/// Goes through all steps on the way to `server`, and judges what arrived there.
fn steps_arrive(server: &Server, url: &str, encoder: &str) {
    let mut air = Air::go(url, "zone-plate", &format!("encoder = \"{encoder}\"\n"), None);
    air.until("on air", || size(&server.recording()) > 100_000);
    let knobs = air.knobs.clone();
    let now = |air: &Air| air.source.current_running_time().unwrap().seconds_f64();
    let mut starts = Vec::new();
    for (rendition, seconds) in STEPS {
        let begin = now(&air);
        starts.push(begin);
        knobs.apply(&rendition).unwrap();
        // What is so already may be asked for as often as one likes.
        knobs.apply(&rendition).unwrap();
        air.until("a step passes", || now(&air) > begin + seconds);
    }
    let end = now(&air);
    let before = size(&server.recording());
    air.until("the last of it arrives", || size(&server.recording()) > before + 50_000);
    assert!(!air.told(|said| matches!(said, FromCapture::EncoderFallback { .. } | FromCapture::Reconnecting { .. })));
    let queue = air.queue.clone();
    drop(air);
    assert_eq!(queue.dropped_frames(), 0);
    let frames = frames(&server.recording(), end - 1.0);
    // MPEG-TS counts from a beginning of its own.
    let first = if url.starts_with("srt") { frames[0].0 } else { 0.0 };
    let frames: Vec<_> =
        frames.into_iter().map(|(at, key, size, width, height)| (at - first, key, size, width, height)).collect();
    assert!(frames.windows(2).all(|pair| pair[1].0 > pair[0].0), "time goes on");
    let keys: Vec<f64> = frames.iter().filter(|frame| frame.1).map(|frame| frame.0).collect();
    assert!(
        keys.windows(2).all(|pair| pair[1] - pair[0] < 2.1),
        "a keyframe each two seconds, whatever the rate: {keys:?}"
    );
    let last = end - 1.1;
    let ends = starts.iter().skip(1).copied().chain([end]);
    for ((begin, end), (rendition, _)) in starts.iter().zip(ends).zip(STEPS) {
        // The rate control takes its buffer's time to get there.
        let (begin, end) = (begin + 1.0, (end - 0.2).min(last));
        let these: Vec<_> = frames.iter().filter(|frame| frame.0 >= begin && frame.0 < end).collect();
        assert!(these.iter().all(|frame| (frame.3, frame.4) == (rendition.width, rendition.height)), "{rendition:?}");
        let fps = f64::from(u16::try_from(these.len()).unwrap()) / (end - begin);
        assert!((fps - f64::from(rendition.fps)).abs() < 1.5, "{fps} {rendition:?}");
        let share = kbps(&frames, begin, end) / f64::from(rendition.bitrate_kbps);
        eprintln!("{encoder} {rendition:?}: {fps:.1} fps, {share:.2} of the bitrate");
        assert!((0.7..1.4).contains(&share), "{share} {rendition:?}");
    }
    // openh264 answers another bitrate with a keyframe, x264 with nothing but other frames.
    let change =
        |at: f64| encoder == "x264enc" && (at - starts[1]).abs() < 0.5 && (at / 2.0 - (at / 2.0).round()).abs() > 0.02;
    assert!(!keys.iter().copied().any(change), "a bitrate changes without a keyframe: {keys:?}");
}

#[test]
fn x264_follows_each_rendition_at_nginx() {
    let (server, url) = Server::nginx();
    steps_arrive(&server, &url, "x264enc");
}

#[test]
fn openh264_follows_each_rendition_over_srt() {
    let (server, url) = Server::srt();
    steps_arrive(&server, &url, "openh264enc");
}

/// An encoder with a fault, and what is said of it.
fn falls_back(fault: Fault, pattern: &str, said: &str) {
    let (server, url) = Server::nginx();
    let mut air = Air::go(&url, pattern, "encoder = \"x264enc\"\n", Some(fault));
    let (coding, mut fell) = (air.coding.clone(), None);
    wait("the encoder is given up", || {
        coding.supervise().unwrap();
        fell = std::iter::from_fn(|| air.told.try_recv().ok())
            .find(|said| matches!(said, FromCapture::EncoderFallback { .. }));
        fell.is_some()
    });
    drop(coding);
    let Some(FromCapture::EncoderFallback { from, to, why }) = fell else { panic!("nothing was said") };
    assert_eq!((from.as_str(), to.as_str()), ("x264enc", "openh264enc"));
    assert!(why.contains(said), "{why}");
    let before = size(&server.recording());
    air.until("the stream goes on", || size(&server.recording()) > before + 500_000);
    assert!(!air.told(|said| matches!(said, FromCapture::Reconnecting { .. })), "the server saw no end");
    let end = air.source.current_running_time().unwrap().seconds_f64() - 0.5;
    drop(air);
    let frames = frames(&server.recording(), end);
    assert!(frames.windows(2).all(|pair| pair[1].0 > pair[0].0), "time goes on");
    let last = &frames[frames.len() - 30..];
    assert!(last.windows(2).all(|pair| pair[1].0 - pair[0].0 < 0.05), "no gap once it goes on");
}

#[test]
fn frames_of_one_size_end_an_encoder_and_not_the_stream() {
    // As the firmware of a Pi 4 does: 4096 bytes each, and no picture in them but the first of each interval.
    falls_back(
        |frame| {
            let key = !frame.flags().contains(gst::BufferFlags::DELTA_UNIT);
            let edit = frame.make_mut();
            let mut bytes = edit.map_readable().unwrap().to_vec();
            bytes.resize(40_000, 0);
            *frame = {
                let mut spoilt = gst::Buffer::from_mut_slice(bytes);
                let edit = spoilt.get_mut().unwrap();
                edit.set_pts(frame.pts());
                edit.set_dts(frame.dts());
                if !key {
                    edit.set_flags(gst::BufferFlags::DELTA_UNIT);
                }
                spoilt
            };
            true
        },
        "smpte",
        "same size",
    );
}

#[test]
fn an_encoder_that_falls_silent_is_replaced() {
    static SEEN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    falls_back(|_| SEEN.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 60, "snow", "no frame comes out");
}
