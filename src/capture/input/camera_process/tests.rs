//! Children that are none of ours, and what they may make of capture.

use std::process::Command;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer as gst;

use super::super::session_camera::SessionCamera;
use super::super::switch::InputSwitch;
use super::parent::CameraProcess;
use super::protocol::{
    HEADER, MAX_TEXT, PictureFormat, Record, RecordReader, Request, Violation, failure_record, format_record,
    picture_header,
};
use crate::capture::error::CaptureError;
use crate::capture::gst::Timebase;
use crate::capture::guard_link::Lease;
use crate::capture::media::raw_video_caps;
use crate::clock::Clock;
use crate::config::{Crop, Video, VideoSource, example};

/// Bytes of a picture of 64x36.
const SIZE: usize = 64 * 36 * 3 / 2;

fn video() -> Video {
    Video { source: VideoSource::Libcamera, width: 64, height: 36, fps: 25, ..example("").video }
}

fn format() -> PictureFormat {
    PictureFormat { rate: Some((15, 1)), colorimetry: Some("bt709".to_owned()), mode: Some("NV12 64x36".to_owned()) }
}

fn picture(at: gst::ClockTime) -> Vec<u8> {
    [&picture_header(u32::try_from(SIZE).unwrap(), at)[..], &[7; SIZE]].concat()
}

/// What a reader makes of `data`.
fn read(data: &[u8]) -> Result<Vec<Record<Vec<u8>>>, Violation> {
    let (mut reader, mut records) = (RecordReader::new(SIZE), Vec::new());
    let mut rest = data;
    while !rest.is_empty() {
        let space = reader.space();
        let now = space.len().min(rest.len());
        space[..now].copy_from_slice(&rest[..now]);
        rest = &rest[now..];
        records.extend(reader.advance(now, || Some(vec![0; SIZE]))?);
    }
    Ok(records)
}

#[test]
fn a_request_arrives_as_it_was_sent() {
    let crop = Crop { left: 1, right: 2, top: 3, bottom: 4 };
    let video = Video { rotation: 90, mirror: true, crop, ..video() };
    let request = Request::new(&video, gst::ClockTime::from_nseconds(12));
    let mut line = Vec::new();
    request.write(&mut line).unwrap();
    line.extend(b"what follows is not read");
    let arrived = Request::read(&line[..]).unwrap();
    assert_eq!((&arrived, arrived.base().nseconds()), (&request, 12));
    let same = arrived.video();
    assert_eq!((same.width, same.height, same.fps), (64, 36, 25));
    assert_eq!((same.rotation, same.mirror, same.crop, same.source), (90, true, crop, VideoSource::Libcamera));
    assert!(Request::read(&vec![b'x'; 1 << 20][..]).is_err());
    assert!(Request::read(&b"{}\n"[..]).is_err());
}

#[test]
fn records_arrive_as_they_were_sent() {
    let at = gst::ClockTime::from_mseconds(40);
    let sent = [format_record(&format()), picture(at), failure_record("gone\nfor good")].concat();
    let wanted =
        [Record::Format(format()), Record::Picture(at, vec![7; SIZE]), Record::Failure("gone for good".to_owned())];
    assert_eq!(read(&sent).unwrap(), wanted);
    assert!(failure_record(&"x".repeat(1 << 20)).len() <= HEADER + MAX_TEXT);
}

#[test]
fn nothing_else_is_taken() {
    let header = |bytes: [u8; HEADER]| read(&[format_record(&format()), bytes.to_vec()].concat()).unwrap_err();
    let at = gst::ClockTime::ZERO;
    for length in [0, 1, SIZE - 1, SIZE + 1, usize::try_from(u32::MAX).unwrap()] {
        assert_eq!(header(picture_header(u32::try_from(length).unwrap(), at)), Violation::Size, "{length}");
    }
    let good = picture_header(u32::try_from(SIZE).unwrap(), at);
    for (byte, value, wanted) in
        [(0, 0, Violation::Header), (0, 4, Violation::Header), (0, 2, Violation::Order), (1, 1, Violation::Header)]
    {
        let mut bad = good;
        bad[byte] = value;
        assert_eq!(header(bad), wanted, "{byte} {value}");
    }
    let mut never = good;
    never[8..].fill(0xff);
    assert_eq!(header(never), Violation::Header, "no time");
    assert_eq!(read(&picture(at)), Err(Violation::Order), "a picture ahead of the format");
    let mut text = format_record(&format());
    text[HEADER] = b'[';
    assert_eq!(read(&text), Err(Violation::Text));
    let mut long = failure_record("x");
    long[4..8].copy_from_slice(&u32::try_from(MAX_TEXT + 1).unwrap().to_le_bytes());
    assert_eq!(read(&long), Err(Violation::Text));
}

#[test]
fn a_format_changes_nothing_but_rate_and_colours() {
    gst::init().unwrap();
    let caps = raw_video_caps(&video());
    let applied = |format: &PictureFormat| format.apply_to(caps.clone(), 25).to_string();
    assert!(
        applied(&format())
            .contains("framerate=(fraction)15/1, pixel-aspect-ratio=(fraction)1/1, colorimetry=(string)bt709")
    );
    for rate in [Some((0, 1)), Some((-5, 1)), Some((5, 0)), Some((i32::MAX, 1)), None] {
        let colorimetry = Some("1:2:3; width=(int)7".to_owned());
        assert_eq!(applied(&PictureFormat { rate, colorimetry, mode: None }), caps.to_string(), "{rate:?}");
    }
}

/// A process for which `script` (shell) stands in for the camera.
struct Stand {
    camera: SessionCamera,
    switch: Arc<InputSwitch>,
    lease: Arc<Lease>,
    timebase: Timebase,
    dir: tempfile::TempDir,
    arrived: Arc<Mutex<Vec<gst::ClockTime>>>,
}

impl Stand {
    fn new() -> Self {
        gst::init().unwrap();
        let switch = Arc::new(InputSwitch::video(25, Clock::start()));
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let log = arrived.clone();
        switch.connect(Box::new(move |buffer, _, _| log.lock().unwrap().push(buffer.pts().unwrap())));
        Self {
            camera: SessionCamera::new(video()),
            switch,
            lease: Arc::new(Lease::valid()),
            timebase: Timebase::start(),
            dir: tempfile::tempdir().unwrap(),
            arrived,
        }
    }

    /// A child that writes `data`, and then does what `script` says.
    fn start(&self, data: &[u8], script: &str) -> Result<CameraProcess, CaptureError> {
        let file = self.dir.path().join("data");
        std::fs::write(&file, data).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("cat {}; {script}", file.display())]);
        CameraProcess::start(command, &self.camera, &self.switch, &self.timebase, &self.lease)
    }
}

/// What a condition gives within a minute.
fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6000 {
        if let Some(found) = probe() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not come");
}

#[test]
fn a_child_that_dies_lies_or_gives_up_is_told_and_reaped() {
    let stand = Stand::new();
    let kill = "kill -SEGV $$";
    for (data, script, crashed, wanted) in [
        (Vec::new(), kill, true, "SIGSEGV"),
        (format_record(&format()), "exit 3", true, "exit status: 3"),
        (b"nonsense that is long enough".to_vec(), "exec sleep 1000", true, "a header that is none"),
        (failure_record("it was unplugged"), "exec sleep 1000", false, "it was unplugged"),
        (Vec::new(), "exec >&-; exec sleep 1000", true, "SIGKILL"),
    ] {
        let process = wait_for("a place", || stand.start(&data, script).ok());
        let error = wait_for("an error", || process.take_error());
        assert!(error.message.contains(wanted), "{script}: {}", error.message);
        assert_eq!(process.has_crashed(), crashed, "{}", error.message);
        assert!(process.close().recv().is_err(), "it was reaped");
    }
}

#[test]
fn there_is_one_child_at_a_time() {
    let stand = Stand::new();
    let process = stand.start(&[], "exec sleep 1000").unwrap();
    let error = stand.start(&[], "exec sleep 1000").unwrap_err();
    assert!(error.message.contains("has not ended"), "{}", error.message);
    let closed = process.close().recv_timeout(Duration::from_mins(1));
    assert_eq!(closed, Err(RecvTimeoutError::Disconnected));
    let next = stand.start(&[], "exec sleep 1000").unwrap();
    // Consent ends.
    stand.lease.expire();
    wait_for("its end", || stand.camera.process_slot().occupy());
    assert!(next.take_error().is_none(), "that is no failure");
    let late = stand.start(&[], "exec sleep 1000").unwrap();
    assert!(late.close().recv().is_err(), "without consent there is no process");
}

#[test]
fn pictures_come_at_no_more_than_the_rate_and_never_from_the_future() {
    let stand = Stand::new();
    let far = gst::ClockTime::from_seconds(1 << 30);
    let many: Vec<u8> = (0..2000).flat_map(|n| picture(far + gst::ClockTime::from_seconds(n))).collect();
    let process = stand.start(&[format_record(&format()), many].concat(), "exec sleep 1000").unwrap();
    wait_for("a picture", || stand.arrived.lock().unwrap().first().copied());
    assert_eq!(wait_for("a mode", || process.take_mode()), "NV12 64x36");
    process.close().recv().unwrap_err();
    let (arrived, now) = (stand.arrived.lock().unwrap().clone(), stand.timebase.running_time());
    assert!(arrived.iter().all(|at| *at <= now), "{arrived:?}");
    let most = now.mseconds() * 25 / 1000 + 2;
    assert!(u64::try_from(arrived.len()).unwrap() <= most, "{} pictures in {now}", arrived.len());
}
