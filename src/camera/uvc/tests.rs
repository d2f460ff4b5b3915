//! Webcams, and what each is made of their modes; descriptors that lie.

use super::super::webcams::{self, Intervals, Webcam};
use super::super::{Selection, select};
use super::*;

fn selected(descriptors: &[u8], width: u32, height: u32, fps: u32) -> String {
    let request = CameraRequest { width, height, fps };
    let offers = offers(descriptors, 0);
    let modes: Vec<_> = offers.iter().flat_map(|offer| offer.modes(request)).collect();
    let others: Vec<_> =
        offers.iter().filter(|offer| offer.modes(request).is_empty()).map(Offer::format_name).collect();
    match select(&modes, &others, request) {
        Ok(Selection { mode, reason }) => format!("{mode}: {reason}"),
        Err(error) => error.to_string(),
    }
}

/// The modes are those of the tests of `capture::input::camera_mode`, which gets them from GStreamer.
#[test]
fn the_best_mode_is_selected_and_the_reason_told() {
    for (camera, (width, height, fps), mode) in [
        (
            webcams::c920(),
            (1280, 720, 25),
            "JPEG 1280x720 at 30/s: exact size, no 25/s: the next rate above; JPEG, because raw is at most 10/s at this size",
        ),
        (
            webcams::c920(),
            (1280, 720, 30),
            "JPEG 1280x720 at 30/s: exact size and rate; JPEG, because raw is at most 10/s at this size",
        ),
        (webcams::c920(), (1280, 720, 10), "YUY2 1280x720 at 10/s: exact size and rate"),
        (webcams::c920(), (640, 480, 25), "YUY2 640x480 at 30/s: exact size, no 25/s: the next rate above"),
        (
            webcams::c920(),
            (1280, 720, 60),
            "JPEG 1280x720 at 30/s: exact size, and no rate as high as 60/s; JPEG, because raw is at most 10/s at this \
             size",
        ),
        (
            webcams::c920(),
            (3840, 2160, 30),
            "JPEG 1920x1080 at 30/s: no 3840x2160: 1920x1080 is scaled up; JPEG, because raw is at most 5/s at this size",
        ),
        (
            webcams::c920(),
            (1024, 576, 25),
            "JPEG 1280x720 at 30/s: no 1024x576: 1280x720 is scaled down; JPEG, because raw is at most 10/s at this size",
        ),
        (
            webcams::c270(),
            (1280, 720, 25),
            "JPEG 1280x720 at 25/s: exact size and rate; JPEG, because raw is at most 7.5/s at this size",
        ),
        (
            webcams::cheap(),
            (1280, 720, 30),
            "JPEG 1280x720 at 15/s: exact size, and no rate as high as 30/s; JPEG, because there is no raw 1280x720",
        ),
        (
            webcams::only_h264(),
            (1280, 720, 30),
            "gives only H.264, and tallybox takes raw pictures or JPEG: use a camera that has one of them (v4l2-ctl \
             --list-formats shows it)",
        ),
    ] {
        assert_eq!(selected(&camera, width, height, fps), mode, "{width}x{height} at {fps}");
    }
}

#[test]
fn modes_are_listed_by_format_and_highest_rate() {
    assert_eq!(
        listed(&offers(&webcams::c920(), 0)),
        [
            "YUY2 up to 30/s: 640x480, 640x360, 160x90; up to 10/s: 1280x720; up to 5/s: 1920x1080; up to 2/s: 2304x1536",
            "H.264 (not used) up to 30/s: 1920x1080, 1280x720, 640x480, 640x360, 160x90",
            "JPEG up to 30/s: 1920x1080, 1280x720, 640x480, 640x360, 160x90",
        ]
    );
}

#[test]
fn a_range_of_rates_gives_the_nearest() {
    let range = Intervals::Continuous([166_666, 2_000_000, 1]);
    let camera = Webcam::new(0).format(*b"NV12", false).frame(0x05, (1280, 720), range).bytes();
    for (fps, mode) in
        [(25, "at 25/s: exact size and rate"), (120, "at 60/s: exact size, and no"), (2, "at 5/s: exact size, no 2/s")]
    {
        let selected = selected(&camera, 1280, 720, fps);
        assert!(selected.starts_with(&format!("NV12 1280x720 {mode}")), "{selected}");
    }
}

/// uvcvideo reduces intervals to fractions so.
#[test]
fn an_interval_is_the_rate_that_the_driver_tells() {
    for (interval, expected) in [
        (333_333, Some((30, 1))),
        (333_667, Some((2997, 100))),
        (400_000, Some((25, 1))),
        (416_666, Some((24, 1))),
        (666_666, Some((15, 1))),
        (1_333_333, Some((15, 2))),
        (10_000_000, Some((1, 1))),
        (1, Some((10_000_000, 1))),
        (u32::MAX, Some((1, 429))),
        (0, None),
    ] {
        assert_eq!(rate(interval), expected, "{interval}");
    }
}

#[test]
fn each_function_has_its_own_modes() {
    let camera = webcams::with_infrared();
    assert_eq!(listed(&offers(&camera, 0)), ["JPEG up to 30/s: 1280x720"]);
    assert_eq!(listed(&offers(&camera, 2)), ["GRAY8 up to 15/s: 640x360"]);
    assert_eq!(offers(&camera, 1), [], "a stream is no camera");
}

/// Behind the first frame, a byte is missing or a length is wrong: what came before counts, and nothing else.
#[test]
fn what_does_not_fit_is_left_out() {
    let (whole, count) = (webcams::c920(), offers(&webcams::c920(), 0).len());
    for end in 0..whole.len() {
        let cut = offers(&whole[..end], 0);
        assert!(cut.len() <= count && offers(&whole, 0).starts_with(&cut), "{end}");
    }
    for length in [0, 1, 255] {
        let one = Intervals::These(&[333_333]);
        let mut bytes = Webcam::new(0).mjpeg().frame(0x07, (640, 480), one).frame(0x07, (320, 240), one).bytes();
        let second = bytes.windows(4).rposition(|four| four == [30, 0x24, 0x07, 1]).unwrap();
        bytes[second] = length;
        assert_eq!(listed(&offers(&bytes, 0)), ["JPEG up to 30/s: 640x480"], "{length}");
    }
    // More intervals are said than are there, no size, no interval, a frame of another format.
    let frame = |size, all| Webcam::new(0).mjpeg().frame(0x07, size, Intervals::These(all)).bytes();
    let mut more = frame((640, 480), &[333_333]);
    let at = more.windows(4).position(|four| four == [30, 0x24, 0x07, 1]).unwrap();
    more[at + 25] = 2;
    assert_eq!(offers(&more, 0), []);
    assert_eq!(offers(&frame((0, 480), &[333_333]), 0), []);
    assert_eq!(offers(&frame((640, 480), &[0]), 0), []);
    assert_eq!(offers(&Webcam::new(0).mjpeg().frame(0x05, (64, 48), Intervals::These(&[1])).bytes(), 0), []);
}

#[test]
fn the_list_is_bounded() {
    let one = Intervals::These(&[333_333]);
    let camera = (1..=1000).fold(Webcam::new(0).mjpeg(), |camera, width| camera.frame(0x07, (width, 480), one));
    assert_eq!(offers(&camera.bytes(), 0).len(), MOST_OFFERS);
}
