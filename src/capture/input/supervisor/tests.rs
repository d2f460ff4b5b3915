//! Real pipelines whose source is taken away in the middle: what comes out at the other end of the lane is looked at.

use gst::prelude::*;
use gstreamer as gst;

use super::*;
use crate::config::{Audio, AudioSource, Encoder, Video, VideoSource};

const FPS: u32 = 25;

/// What came out: running time in milliseconds, whether it is the stand-in, whether a keyframe was asked for before it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: u64,
    until: u64,
    stand_in: bool,
    key: bool,
}

/// One device, a thread that keeps it as `DeviceSupervisor` does, and who takes what comes out of its lane.
struct Rig {
    device: Arc<Mutex<SupervisedDevice>>,
    ended: Receiver<CaptureError>,
    lease: Arc<Lease>,
    heard: tokio::sync::mpsc::Receiver<FromCapture>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Drop for Rig {
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

impl Rig {
    fn start(device: CaptureDevice, limit: Duration) -> Self {
        Self::start_at(device, limit, Timebase::start())
    }

    fn start_at(device: CaptureDevice, limit: Duration, time: Timebase) -> Self {
        gst::init().unwrap();
        let (clock, lease) = (Clock::start(), Arc::new(Lease::valid()));
        let (event_sender, heard) = EventSender::with_receiver();
        let (switch, spec) = match device {
            CaptureDevice::Camera => (InputSwitch::video(FPS, clock), SourceSpec::Camera(video())),
            CaptureDevice::Microphone => {
                let audio = Audio {
                    source: AudioSource::Test,
                    device: String::new(),
                    bitrate_kbps: 128,
                    noise_suppression: false,
                    high_pass: false,
                };
                (InputSwitch::audio(clock), SourceSpec::Microphone(audio))
            }
        };
        let switch = Arc::new(switch);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        switch.connect(Box::new(move |buffer, _, key| {
            let map = buffer.map_readable().unwrap();
            // The slate's corner is dark grey, the test picture's is not; silence is zeros, the test tone is not.
            let stand_in = match device {
                CaptureDevice::Camera => map[0] == 48,
                CaptureDevice::Microphone => map.iter().all(|value| *value == 0),
            };
            let at = buffer.pts().unwrap();
            let until = (at + buffer.duration().unwrap()).mseconds();
            log.lock().unwrap().push(Seen { at: at.mseconds(), until, stand_in, key });
        }));
        let context = DeviceContext { time, lease: lease.clone(), event_sender, clock, limit };
        let device = Arc::new(Mutex::new(SupervisedDevice::open(spec, switch, context).unwrap()));
        let (last, ended) = channel();
        let here = Arc::downgrade(&device);
        std::thread::spawn(move || {
            while let Some(device) = here.upgrade() {
                let pause = {
                    let mut device = device.lock().unwrap();
                    if let Err(failure) = device.check() {
                        let _ = last.send(failure);
                        return;
                    }
                    device.feed_fallback()
                };
                std::thread::sleep(pause);
            }
        });
        Self { device, ended, lease, heard, seen }
    }

    fn wait(&self, what: &str, there: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        for _ in 0..1500 {
            let seen = self.seen.lock().unwrap().clone();
            if there(&seen) {
                return seen;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let seen = self.seen.lock().unwrap();
        panic!("{what} did not come: {:?}", &seen[seen.len().saturating_sub(5)..]);
    }

    /// Does something to the source that is open.
    fn harm(&self, how: fn(&gst::Element)) {
        for _ in 0..500 {
            if let Some(open) = &self.device.lock().unwrap().open {
                return how(&open.pipeline.iterate_sources().into_iter().flatten().next().unwrap());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nothing is open");
    }

    fn said(&mut self) -> FromCapture {
        for _ in 0..1500 {
            if let Ok(message) = self.heard.try_recv() {
                return message;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("capture said nothing");
    }
}

fn break_off(source: &gst::Element) {
    source.post_error_message(gst::error_msg!(gst::ResourceError::Read, ["unplugged by a test"]));
}

/// It goes on being open, and gives nothing any more.
fn fall_silent(source: &gst::Element) {
    let pad = source.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, |_, _| gst::PadProbeReturn::Drop);
}

/// Its driver hangs, so that it can be neither read nor closed for a while.
fn hang(source: &gst::Element) {
    let pad = source.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, |_, _| {
        std::thread::park_timeout(Duration::from_secs(5));
        gst::PadProbeReturn::Drop
    });
}

#[test]
fn a_camera_that_breaks_off_hangs_or_falls_silent_is_a_slate_until_it_is_back() {
    let mut rig = Rig::start(CaptureDevice::Camera, Duration::from_mins(1));
    for (round, break_it) in [break_off as fn(&gst::Element), fall_silent, hang, break_off].into_iter().enumerate() {
        let before = rig.wait("a picture", |seen| seen.iter().rev().take(5).filter(|one| !one.stand_in).count() == 5);
        // While it is away it cannot be opened again: consent is needed for that, and a closed gate has none.
        rig.lease.expire();
        rig.harm(break_it);
        let said = rig.said();
        assert!(
            matches!(&said, FromCapture::DeviceLost { device: CaptureDevice::Camera, why } if !why.is_empty()),
            "{said:?}"
        );
        let from = before.len();
        let slates = |seen: &[Seen]| seen[from..].iter().filter(|one| one.stand_in).count();
        let seen = rig.wait("slates", |seen| slates(seen) >= 10);
        let first = seen[from..].iter().position(|one| one.stand_in).unwrap() + from;
        assert!(seen[first].key, "the slate begins with a keyframe");
        let gap = seen[first].at - seen[first - 1].at;
        assert!(gap < 2000, "round {round}: the slate was out after {gap} ms");
        assert!(seen[first..].iter().all(|one| one.stand_in), "nothing is opened while the gate is closed");
        rig.lease.grant();
        let seen = rig.wait("a picture again", |seen| !seen.last().unwrap().stand_in);
        let back = seen.iter().rposition(|one| one.stand_in).unwrap() + 1;
        assert!(seen[back].key, "the picture begins with a keyframe");
        assert!(matches!(rig.said(), FromCapture::DeviceRecovered { device: CaptureDevice::Camera }));
        for pair in seen.windows(2).skip(first) {
            let step = pair[1].at - pair[0].at;
            assert!((15..=1000).contains(&step), "{step} ms from {:?} to {:?}", pair[0], pair[1]);
        }
    }
    assert_eq!(rig.ended.try_recv().err(), Some(TryRecvError::Empty));
}

#[test]
fn a_microphone_that_breaks_off_is_silence_without_a_gap() {
    let mut rig = Rig::start(CaptureDevice::Microphone, Duration::from_mins(1));
    for break_it in [break_off as fn(&gst::Element), fall_silent] {
        let from = rig.seen.lock().unwrap().len();
        rig.wait("sound", |seen| seen[from..].iter().filter(|one| !one.stand_in).count() > 20);
        rig.harm(break_it);
        assert!(matches!(rig.said(), FromCapture::DeviceLost { device: CaptureDevice::Microphone, .. }));
        assert!(matches!(rig.said(), FromCapture::DeviceRecovered { device: CaptureDevice::Microphone }));
    }
    let from = rig.seen.lock().unwrap().len();
    let seen = rig.wait("sound", |seen| seen[from..].iter().filter(|one| !one.stand_in).count() > 20);
    assert!(seen.iter().any(|one| one.stand_in));
    for pair in seen.windows(2) {
        // What is left open or doubled around the return is made good behind the lane, by audiorate.
        assert!(pair[1].at.abs_diff(pair[0].until) <= 60, "{:?} and {:?}", pair[0], pair[1]);
    }
}

/// What counts from the session's beginning would make up for the hour before.
#[test]
fn a_device_that_is_opened_an_hour_into_a_session_gives_what_is_now() {
    const HOUR: u64 = 3_600_000;
    for device in [CaptureDevice::Camera, CaptureDevice::Microphone] {
        // Few machines have been up for that long: their clock may not go back so far.
        let hour = gst::ClockTime::from_mseconds(HOUR).min(gst::SystemClock::obtain().time());
        let rig = Rig::start_at(device, Duration::from_mins(1), Timebase::started_ago(hour));
        let seen = rig.wait("two seconds", |seen| seen.last().is_some_and(|last| last.at > seen[0].at + 2000));
        let (first, last) = (seen[0], seen[seen.len() - 1]);
        assert!(first.at + 10_000 > hour.mseconds(), "{device:?} begins at {} ms", first.at);
        let (most, span) = (u64::from(FPS), last.at - first.at);
        let count = u64::try_from(seen.len()).unwrap();
        assert!(device != CaptureDevice::Camera || count <= most * span / 1000 + 2, "{count} in {span} ms");
    }
}

#[test]
fn after_the_limit_it_ends_and_says_what_was_away() {
    for (device, kind) in
        [(CaptureDevice::Camera, FailureKind::CameraLost), (CaptureDevice::Microphone, FailureKind::MicrophoneLost)]
    {
        let mut rig = Rig::start(device, Duration::from_millis(600));
        rig.wait("something", |seen| !seen.is_empty());
        // Open altogether: an opening that consent leaves half-way is a failure of its own.
        rig.harm(|_| ());
        rig.lease.expire();
        rig.harm(break_off);
        assert!(matches!(rig.said(), FromCapture::DeviceLost { .. }));
        let failed = rig.ended.recv_timeout(Duration::from_secs(15)).unwrap();
        assert_eq!(failed.kind, kind);
        assert!(failed.message.contains("device-lost-limit"), "{}", failed.message);
    }
}

#[test]
fn what_breaks_before_anything_came_is_a_failure_as_ever() {
    gst::init().unwrap();
    let (clock, lease, (event_sender, _heard)) =
        (Clock::start(), Arc::new(Lease::valid()), EventSender::with_receiver());
    let spec = SourceSpec::Camera(Video { source: VideoSource::V4l2, device: "/dev/no-such-camera".into(), ..video() });
    let context = DeviceContext { time: Timebase::start(), lease, event_sender, clock, limit: Duration::from_mins(1) };
    let failed = DeviceSupervisor::start(vec![(spec, Arc::new(InputSwitch::video(FPS, clock)))], &context).unwrap_err();
    assert_eq!(failed.kind, FailureKind::Source);
    assert!(failed.message.starts_with("there is no camera at /dev/no-such-camera"), "{}", failed.message);
}
