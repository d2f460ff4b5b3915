//! Renditions and encoders that change while the stream is on air, at a real nginx-rtmp and over SRT.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstreamer as gst;
use tokio::sync::mpsc::Receiver;

use crate::capture::compositor::Compositor;
use crate::capture::encoder::{EncoderControl, Profile, VideoEncoder, frame_sink};
use crate::capture::gst::Timebase;
use crate::capture::gst::plugins::make;
use crate::capture::guard_link::{EventSender, Lease};
use crate::capture::media::{Track, raw_video_caps};
use crate::capture::output::{Output, RunningOutput};
use crate::capture::queue::FrameQueue;
use crate::capture::session_context::SessionContext;
use crate::config::{Video, VideoSource, example_to};
use crate::ipc::FromCapture;
use crate::sync::LockExt;

use super::servers::{RecordedFrame, Server, recorded_frames, size, wait};
use bitrate::Rendition;

/// Spoils a frame of a working encoder; false: the frame is lost.
type Fault = fn(&mut gst::Buffer) -> bool;

fn inject(fault: Fault, encoder: &gst::Element) {
    let output = encoder.static_pad("src").unwrap();
    output.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let is_kept = info.buffer_mut().is_none_or(fault);
        if is_kept { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
    });
}

/// What the encoders have produced, whichever is at work. All is counted in the pictures' own time, so that a slow
/// machine changes nothing.
#[derive(Clone, Default)]
struct Progress(Arc<Mutex<Encoded>>);

#[derive(Clone, Copy, Default)]
struct Encoded {
    first: Option<gst::ClockTime>,
    latest: gst::ClockTime,
    bytes: u64,
}

impl Progress {
    fn observe(&self, sink: &gst::Element) {
        let this = self.clone();
        sink.static_pad("sink").unwrap().add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let segment = pad.sticky_event::<gst::event::Segment>(0);
            let segment = segment.as_ref().and_then(|segment| segment.segment().downcast_ref::<gst::ClockTime>());
            if let (Some(frame), Some(segment)) = (info.buffer(), segment)
                && let Some(at) = segment.to_running_time(frame.pts())
            {
                let mut state = this.0.lock_unpoisoned();
                state.first.get_or_insert(at);
                state.latest = state.latest.max(at);
                state.bytes += frame.size() as u64;
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// The first frame's time, in seconds.
    fn first(&self) -> f64 {
        self.0.lock_unpoisoned().first.unwrap().seconds_f64()
    }

    /// The latest frame's time, in seconds.
    fn time(&self) -> f64 {
        self.0.lock_unpoisoned().latest.seconds_f64()
    }

    fn bytes(&self) -> u64 {
        self.0.lock_unpoisoned().bytes
    }
}

/// A test picture on its way to a server.
struct LiveStream {
    source: gst::Pipeline,
    encoder: Arc<VideoEncoder>,
    control: EncoderControl,
    progress: Progress,
    queue: Arc<FrameQueue>,
    output: Option<RunningOutput>,
    events: Receiver<FromCapture>,
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        drop(self.output.take());
        let _ = self.source.set_state(gst::State::Null);
    }
}

impl LiveStream {
    /// Publishes a test picture of this `pattern`, encoded as `[video]` says with `keys` added.
    fn start(url: &str, pattern: &str, keys: &str, fault: Option<Fault>) -> Self {
        gst::init().unwrap();
        let config = example_to(
            url,
            &format!("[video]\nsource = \"test\"\nwidth = 640\nheight = 360\nbitrate-kbps = 1500\n{keys}"),
        );
        let (event_sender, events) = EventSender::with_receiver();
        let (queue, progress) = (Arc::new(FrameQueue::default()), Progress::default());
        let (lease, frames, observer) = (Arc::new(Lease::valid()), queue.clone(), progress.clone());
        let make_sink = Box::new(move || {
            let sink = frame_sink("video-tap", Track::Video, lease.clone(), vec![frames.clone()]).upcast();
            observer.observe(&sink);
            sink
        });
        // Pictures from a pipeline wait for the encoder.
        let video = Video { source: VideoSource::File, ..config.video.clone() };
        let prepare = |element: &gst::Element| fault.into_iter().for_each(|fault| inject(fault, element));
        let (profile, compositor) = (Profile::Main, Compositor::default());
        let encoder = VideoEncoder::start_with(&video, profile, compositor, make_sink, &event_sender, prepare).unwrap();
        let timebase = Timebase::start();
        let source = test_picture(pattern, &config.video, &encoder.input_sink().unwrap());
        timebase.apply_to(&source);
        source.set_state(gst::State::Playing).unwrap();
        let control = EncoderControl::default();
        control.attach(&encoder);
        let context = SessionContext { timebase, level_meter: None, encoder_control: control.clone() };
        // The tests request the renditions.
        let output = Output::start_fixed(&config, queue.clone(), &context, event_sender).unwrap();
        Self { source, encoder, control, progress, queue, output: Some(output), events }
    }

    /// Supervises the encoder until `condition` holds.
    #[track_caller]
    fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        wait(what, || {
            self.encoder.supervise().unwrap();
            condition()
        });
    }

    /// Waits until all that was encoded so far is recorded. Returns the time of the latest of these frames.
    #[track_caller]
    fn until_recorded(&self, server: &Server) -> f64 {
        let (end, bytes) = (self.progress.time(), self.progress.bytes());
        // FLV and MPEG-TS add less than 15 %.
        self.until("the last of it arrives", || size(&server.recording()) > bytes + bytes * 15 / 100 + 50_000);
        end
    }

    fn has_sent(&mut self, wanted: impl Fn(&FromCapture) -> bool) -> bool {
        std::iter::from_fn(|| self.events.try_recv().ok()).any(|event| wanted(&event))
    }
}

/// A pipeline with a live test picture in front of `sink`.
fn test_picture(pattern: &str, video: &Video, sink: &gst::Element) -> gst::Pipeline {
    let source = gst::Pipeline::with_name("test");
    let camera = make("videotestsrc", "video-source").unwrap();
    camera.set_property("is-live", true);
    camera.set_property_from_str("pattern", pattern);
    // Of the zone plate: rings that move, so that its bitrate is not zero.
    for (key, value) in [("kx2", 20), ("ky2", 20), ("kt", 3)] {
        camera.set_property(key, value);
    }
    let filter = make("capsfilter", "video-caps").unwrap();
    filter.set_property("caps", raw_video_caps(video));
    let all = [&camera, &filter, sink];
    source.add_many(all).unwrap();
    gst::Element::link_many(all).unwrap();
    source
}

fn assert_increasing(frames: &[RecordedFrame]) {
    assert!(frames.windows(2).all(|pair| pair[1].at > pair[0].at), "time goes on");
}

/// What is requested, one after the other, and for how many seconds.
const STEPS: [(Rendition, f64); 5] = [
    (Rendition { bitrate_kbps: 1500, fps: 30, width: 640, height: 360 }, 3.5),
    (Rendition { bitrate_kbps: 400, fps: 30, width: 640, height: 360 }, 3.0),
    (Rendition { bitrate_kbps: 400, fps: 15, width: 640, height: 360 }, 4.5),
    (Rendition { bitrate_kbps: 400, fps: 15, width: 426, height: 240 }, 3.0),
    (Rendition { bitrate_kbps: 1500, fps: 30, width: 640, height: 360 }, 3.0),
];

/// Requests all steps on the way to `server`, and checks what it recorded.
fn assert_steps_arrive(server: &Server, url: &str, encoder: &str) {
    let mut stream = LiveStream::start(url, "zone-plate", &format!("encoder = \"{encoder}\"\n"), None);
    stream.until("on air", || size(&server.recording()) > 100_000);
    let mut starts = Vec::new();
    for (rendition, seconds) in STEPS {
        let begin = stream.progress.time();
        starts.push(begin);
        stream.control.apply(&rendition).unwrap();
        // Requesting the present rendition again changes nothing.
        stream.control.apply(&rendition).unwrap();
        stream.until("a step passes", || stream.progress.time() > begin + seconds);
    }
    let end = stream.until_recorded(server);
    assert!(
        !stream.has_sent(|event| {
            matches!(event, FromCapture::EncoderFallback { .. } | FromCapture::Reconnecting { .. })
        })
    );
    let (queue, first) = (stream.queue.clone(), stream.progress.first());
    drop(stream);
    assert_eq!(queue.dropped_frames(), 0);
    let mut frames = recorded_frames(&server.recording(), end - 1.0);
    if url.starts_with("srt") {
        // MPEG-TS has an origin of its own.
        let offset = first - frames[0].at;
        for frame in &mut frames {
            frame.at += offset;
        }
    }
    assert_increasing(&frames);
    let ends = starts.iter().skip(1).copied().chain([end]);
    for ((begin, end_of_step), (rendition, _)) in starts.iter().zip(ends).zip(STEPS) {
        // The rate control needs the duration of its buffer to follow.
        let window = (begin + 1.0, (end_of_step - 0.2).min(end - 1.1));
        assert_rendition(&frames, window, rendition, encoder);
    }
    assert_keyframes(&frames, starts[1], encoder);
}

fn assert_rendition(frames: &[RecordedFrame], (begin, end): (f64, f64), rendition: Rendition, encoder: &str) {
    let frames: Vec<_> = frames.iter().filter(|frame| frame.at >= begin && frame.at < end).collect();
    let size = (rendition.width, rendition.height);
    assert!(frames.iter().all(|frame| (frame.width, frame.height) == size), "{rendition:?}");
    let fps = f64::from(u16::try_from(frames.len()).unwrap()) / (end - begin);
    assert!((fps - f64::from(rendition.fps)).abs() < 1.5, "{fps} {rendition:?}");
    let bytes: u32 = frames.iter().map(|frame| frame.bytes).sum();
    let share = f64::from(bytes) * 8.0 / 1000.0 / (end - begin) / f64::from(rendition.bitrate_kbps);
    eprintln!("{encoder} {rendition:?}: {fps:.1} fps, {share:.2} of the bitrate");
    assert!((0.7..1.4).contains(&share), "{share} {rendition:?}");
}

/// `bitrate_change` is when the bitrate changed, and nothing else.
fn assert_keyframes(frames: &[RecordedFrame], bitrate_change: f64, encoder: &str) {
    let keyframes: Vec<f64> = frames.iter().filter(|frame| frame.is_keyframe).map(|frame| frame.at).collect();
    // At 15 frames per second a keyframe is requested, and comes early by the pictures that wait in front of a busy
    // encoder: four at most. A keyframe interval that counted frames would be 4 s.
    let max_interval = 2.1 + 4.0 / 15.0;
    assert!(
        keyframes.windows(2).all(|pair| pair[1] - pair[0] < max_interval),
        "a keyframe each two seconds, whatever the rate: {keyframes:?}"
    );
    // openh264 answers another bitrate with a keyframe, x264 with nothing but other frames.
    let is_extra = |pair: &[f64]| (pair[1] - bitrate_change).abs() < 0.5 && (pair[1] - pair[0] - 2.0).abs() > 0.04;
    let has_extra = encoder == "x264enc" && keyframes.windows(2).any(is_extra);
    assert!(!has_extra, "a bitrate changes without a keyframe: {keyframes:?}, at {bitrate_change}");
}

#[test]
fn x264_follows_each_rendition_at_nginx() {
    let (server, url) = Server::nginx();
    assert_steps_arrive(&server, &url, "x264enc");
}

#[test]
fn openh264_follows_each_rendition_over_srt() {
    let (server, url) = Server::srt();
    assert_steps_arrive(&server, &url, "openh264enc");
}

/// An encoder with a fault is replaced, for a reason with these `words`, and the stream goes on.
fn assert_falls_back(fault: Fault, pattern: &str, words: &str) {
    let (server, url) = Server::nginx();
    let mut stream = LiveStream::start(&url, pattern, "encoder = \"x264enc\"\n", Some(fault));
    let (encoder, mut fallback) = (stream.encoder.clone(), None);
    wait("the encoder is replaced", || {
        encoder.supervise().unwrap();
        fallback = std::iter::from_fn(|| stream.events.try_recv().ok())
            .find(|event| matches!(event, FromCapture::EncoderFallback { .. }));
        fallback.is_some()
    });
    drop(encoder);
    let Some(FromCapture::EncoderFallback { from, to, why }) = fallback else { panic!("no event") };
    assert_eq!((from.as_str(), to.as_str()), ("x264enc", "openh264enc"));
    assert!(why.contains(words), "{why}");
    let before = size(&server.recording());
    stream.until("the stream goes on", || size(&server.recording()) > before + 500_000);
    let end = stream.until_recorded(&server) - 0.5;
    assert!(!stream.has_sent(|event| matches!(event, FromCapture::Reconnecting { .. })), "the server saw no end");
    drop(stream);
    let frames = recorded_frames(&server.recording(), end);
    assert_increasing(&frames);
    let last = &frames[frames.len() - 30..];
    assert!(last.windows(2).all(|pair| pair[1].at - pair[0].at < 0.05), "no gap once it goes on");
}

#[test]
fn frames_of_one_size_end_an_encoder_and_not_the_stream() {
    // As the firmware of a Pi 4 does: 4096 bytes each, and no picture in them but the first of each interval.
    let fault = |frame: &mut gst::Buffer| {
        let is_keyframe = !frame.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let mut bytes = frame.map_readable().unwrap().to_vec();
        bytes.resize(40_000, 0);
        let mut spoiled = gst::Buffer::from_mut_slice(bytes);
        let writable = spoiled.get_mut().unwrap();
        writable.set_pts(frame.pts());
        writable.set_dts(frame.dts());
        if !is_keyframe {
            writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        *frame = spoiled;
        true
    };
    assert_falls_back(fault, "smpte", "same size");
}

#[test]
fn an_encoder_that_falls_silent_is_replaced() {
    static FRAMES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let fault = |_: &mut gst::Buffer| FRAMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 60;
    assert_falls_back(fault, "snow", "no frame comes out");
}
