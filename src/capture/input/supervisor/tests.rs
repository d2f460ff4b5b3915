//! Real pipelines whose source fails: what the switch sends is checked.

use std::sync::mpsc::channel;

use gst::prelude::*;
use gstreamer as gst;

use super::super::session_camera::SessionCamera;
use super::*;
use crate::config::{Audio, AudioSource, Encoder, Video, VideoSource};

const FPS: u32 = 25;

/// A buffer that the switch sent. Times are running time in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: u64,
    until: u64,
    is_fallback: bool,
    asks_for_keyframe: bool,
}

/// One device, a thread that supervises it as `DeviceSupervisor` does, and a log of what its switch sends.
struct Harness {
    device: Arc<Mutex<SupervisedDevice>>,
    errors: Receiver<CaptureError>,
    lease: Arc<Lease>,
    events: tokio::sync::mpsc::Receiver<FromCapture>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.device.lock().unwrap().close_current();
    }
}

fn video() -> Video {
    Video {
        source: VideoSource::Test,
        device: "/dev/video0".into(),
        width: 320,
        height: 180,
        fps: FPS,
        encoder: Encoder::Auto,
        bitrate_kbps: 500,
        adaptive: false,
        min_bitrate_kbps: 300,
        keyframe_interval: Duration::from_secs(2),
        ..crate::config::example("").video
    }
}

fn audio() -> Audio {
    Audio {
        source: AudioSource::Test,
        device: String::new(),
        bitrate_kbps: 128,
        noise_suppression: false,
        high_pass: false,
    }
}

impl Harness {
    fn start(device: CaptureDevice, lost_limit: Duration) -> Self {
        Self::start_at(device, lost_limit, Timebase::start())
    }

    fn start_at(device: CaptureDevice, lost_limit: Duration, timebase: Timebase) -> Self {
        gst::init().unwrap();
        let (clock, lease) = (Clock::start(), Arc::new(Lease::valid()));
        let (event_sender, events) = EventSender::with_receiver();
        let (switch, spec) = match device {
            CaptureDevice::Camera => (InputSwitch::video(FPS, clock), SourceSpec::Camera(SessionCamera::new(video()))),
            CaptureDevice::Microphone => (InputSwitch::audio(clock), SourceSpec::Microphone(audio())),
        };
        let (switch, sent) = (Arc::new(switch), Arc::new(Mutex::new(Vec::new())));
        let log = sent.clone();
        switch.connect(Box::new(move |buffer, _, asks_for_keyframe| {
            let map = buffer.map_readable().unwrap();
            // The slate's corner is dark grey, the test picture's is not; silence is zeros, the test tone is not.
            let is_fallback = match device {
                CaptureDevice::Camera => map[0] == 48,
                CaptureDevice::Microphone => map.iter().all(|value| *value == 0),
            };
            let at = buffer.pts().unwrap();
            let until = (at + buffer.duration().unwrap()).mseconds();
            log.lock().unwrap().push(Sent { at: at.mseconds(), until, is_fallback, asks_for_keyframe });
        }));
        let context = DeviceContext { timebase, lease: lease.clone(), event_sender, clock, lost_limit };
        let device = Arc::new(Mutex::new(SupervisedDevice::open(spec, switch, context).unwrap()));
        let errors = supervise_in_thread(&device);
        Self { device, errors, lease, events, sent }
    }

    fn wait(&self, what: &str, is_there: impl Fn(&[Sent]) -> bool) -> Vec<Sent> {
        for _ in 0..1500 {
            let sent = self.sent.lock().unwrap().clone();
            if is_there(&sent) {
                return sent;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let sent = self.sent.lock().unwrap();
        panic!("{what} did not come: {:?}", &sent[sent.len().saturating_sub(5)..]);
    }

    /// Waits until the device is open, and does something to its source.
    fn with_source(&self, act: fn(&gst::Element)) {
        for _ in 0..500 {
            if let Some(open) = &self.device.lock().unwrap().open {
                return act(&open.pipeline().iterate_sources().into_iter().flatten().next().unwrap());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nothing is open");
    }

    fn next_event(&mut self) -> FromCapture {
        for _ in 0..1500 {
            if let Ok(event) = self.events.try_recv() {
                return event;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("capture sent no event");
    }
}

/// Supervises the device for as long as its harness lives.
fn supervise_in_thread(device: &Arc<Mutex<SupervisedDevice>>) -> Receiver<CaptureError> {
    let (last_error, errors) = channel();
    let weak = Arc::downgrade(device);
    std::thread::spawn(move || {
        while let Some(device) = weak.upgrade() {
            let pause = {
                let mut device = device.lock().unwrap();
                if let Err(error) = device.check() {
                    let _ = last_error.send(error);
                    return;
                }
                device.feed_fallback()
            };
            std::thread::sleep(pause);
        }
    });
    errors
}

fn break_off(source: &gst::Element) {
    source.post_error_message(gst::error_msg!(gst::ResourceError::Read, ["unplugged by a test"]));
}

/// It stays open, and gives nothing any more.
fn fall_silent(source: &gst::Element) {
    let pad = source.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, |_, _| gst::PadProbeReturn::Drop);
}

/// Its driver hangs, so that it can neither be read nor closed for a while.
fn hang(source: &gst::Element) {
    let pad = source.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, |_, _| {
        std::thread::park_timeout(Duration::from_secs(5));
        gst::PadProbeReturn::Drop
    });
}

/// The camera fails in one way: the slate is sent until it is back.
fn slate_replaces_camera(harness: &mut Harness, fail: fn(&gst::Element)) {
    let last_are_pictures = |sent: &[Sent]| sent.iter().rev().take(5).filter(|one| !one.is_fallback).count() == 5;
    let from = harness.wait("pictures", last_are_pictures).len();
    // While it is lost it cannot be opened again: that takes consent, of which an expired lease is none.
    harness.lease.expire();
    harness.with_source(fail);
    let event = harness.next_event();
    assert!(
        matches!(&event, FromCapture::DeviceLost { device: CaptureDevice::Camera, why } if !why.is_empty()),
        "{event:?}"
    );
    let slates = |sent: &[Sent]| sent[from..].iter().filter(|one| one.is_fallback).count();
    let sent = harness.wait("slates", |sent| slates(sent) >= 10);
    let first = sent[from..].iter().position(|one| one.is_fallback).unwrap() + from;
    assert!(sent[first].asks_for_keyframe, "the slate starts with a keyframe");
    let gap = sent[first].at - sent[first - 1].at;
    assert!(gap < 2000, "the slate came after {gap} ms");
    assert!(sent[first..].iter().all(|one| one.is_fallback), "nothing is opened without a lease");
    harness.lease.grant();
    let sent = harness.wait("a picture again", |sent| !sent.last().unwrap().is_fallback);
    let back = sent.iter().rposition(|one| one.is_fallback).unwrap() + 1;
    assert!(sent[back].asks_for_keyframe, "the picture starts with a keyframe");
    assert!(matches!(harness.next_event(), FromCapture::DeviceRecovered { device: CaptureDevice::Camera }));
    for pair in sent.windows(2).skip(first) {
        let step = pair[1].at - pair[0].at;
        assert!((15..=1000).contains(&step), "{step} ms from {:?} to {:?}", pair[0], pair[1]);
    }
}

#[test]
fn the_slate_replaces_a_failed_camera_until_it_is_back() {
    let mut harness = Harness::start(CaptureDevice::Camera, Duration::from_mins(1));
    for fail in [break_off as fn(&gst::Element), fall_silent, hang, break_off] {
        slate_replaces_camera(&mut harness, fail);
    }
    assert_eq!(harness.errors.try_recv().err(), Some(TryRecvError::Empty));
}

#[test]
fn silence_without_a_gap_replaces_a_failed_microphone() {
    let mut harness = Harness::start(CaptureDevice::Microphone, Duration::from_mins(1));
    for fail in [break_off as fn(&gst::Element), fall_silent] {
        let from = harness.sent.lock().unwrap().len();
        harness.wait("audio", |sent| sent[from..].iter().filter(|one| !one.is_fallback).count() > 20);
        harness.with_source(fail);
        assert!(matches!(harness.next_event(), FromCapture::DeviceLost { device: CaptureDevice::Microphone, .. }));
        assert!(matches!(harness.next_event(), FromCapture::DeviceRecovered { device: CaptureDevice::Microphone }));
    }
    let from = harness.sent.lock().unwrap().len();
    let sent = harness.wait("audio", |sent| sent[from..].iter().filter(|one| !one.is_fallback).count() > 20);
    assert!(sent.iter().any(|one| one.is_fallback));
    for pair in sent.windows(2) {
        // The rest of a gap or an overlap around the return is for `audiorate`, after the switch.
        assert!(pair[1].at.abs_diff(pair[0].until) <= 60, "{:?} and {:?}", pair[0], pair[1]);
    }
}

/// A source that counts from the start of the session would produce all of the hour before.
#[test]
fn a_device_that_is_opened_late_gives_the_present() {
    const HOUR: u64 = 3_600_000;
    for device in [CaptureDevice::Camera, CaptureDevice::Microphone] {
        // Few machines have been up for that long: their clock may not go back so far.
        let hour = gst::ClockTime::from_mseconds(HOUR).min(gst::SystemClock::obtain().time());
        let harness = Harness::start_at(device, Duration::from_mins(1), Timebase::started_ago(hour));
        let sent = harness.wait("two seconds", |sent| sent.last().is_some_and(|last| last.at > sent[0].at + 2000));
        let (first, last) = (sent[0], sent[sent.len() - 1]);
        assert!(first.at + 10_000 > hour.mseconds(), "{device:?} begins at {} ms", first.at);
        let (most, span) = (u64::from(FPS), last.at - first.at);
        let count = u64::try_from(sent.len()).unwrap();
        assert!(device != CaptureDevice::Camera || count <= most * span / 1000 + 2, "{count} in {span} ms");
    }
}

#[test]
fn a_device_that_is_lost_for_too_long_ends_the_session() {
    for (device, kind) in
        [(CaptureDevice::Camera, FailureKind::CameraLost), (CaptureDevice::Microphone, FailureKind::MicrophoneLost)]
    {
        let mut harness = Harness::start(device, Duration::from_millis(600));
        harness.wait("something", |sent| !sent.is_empty());
        // Entirely open: an opening that consent interrupts fails in another way.
        harness.with_source(|_| ());
        harness.lease.expire();
        harness.with_source(break_off);
        assert!(matches!(harness.next_event(), FromCapture::DeviceLost { .. }));
        let error = harness.errors.recv_timeout(Duration::from_secs(15)).unwrap();
        assert_eq!(error.kind, kind);
        assert!(error.message.contains("device-lost-limit"), "{}", error.message);
    }
}

#[test]
fn a_camera_that_is_not_there_ends_the_session_at_once() {
    gst::init().unwrap();
    let (clock, lease, (event_sender, _events)) =
        (Clock::start(), Arc::new(Lease::valid()), EventSender::with_receiver());
    let camera = Video { source: VideoSource::V4l2, device: "/dev/no-such-camera".into(), ..video() };
    let context =
        DeviceContext { timebase: Timebase::start(), lease, event_sender, clock, lost_limit: Duration::from_mins(1) };
    let devices = vec![(SourceSpec::Camera(SessionCamera::new(camera)), Arc::new(InputSwitch::video(FPS, clock)))];
    let error = DeviceSupervisor::start(devices, &context).unwrap_err();
    assert_eq!(error.kind, FailureKind::Source);
    assert!(error.message.starts_with("there is no camera at /dev/no-such-camera"), "{}", error.message);
}
