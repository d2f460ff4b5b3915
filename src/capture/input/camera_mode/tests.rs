//! Caps as GStreamer's v4l2src reports them for common cameras, and the mode to select for each.

use std::str::FromStr;

use gstreamer as gst;

use super::*;

/// Logitech C920: raw slowly above VGA, JPEG and H.264 at 30, 24, 20, 15 ... and never 25.
const C920: &str = "video/x-raw, format=YUY2, width=1920, height=1080, framerate={ 5/1 }; \
     video/x-raw, format=YUY2, width=1280, height=720, framerate={ 10/1, 15/2, 5/1 }; \
     video/x-raw, format=YUY2, width=640, height=480, framerate={ 30/1, 24/1, 20/1, 15/1, 10/1, 15/2, 5/1 }; \
     image/jpeg, width=1920, height=1080, framerate={ 30/1, 24/1, 20/1, 15/1, 10/1, 15/2, 5/1 }; \
     image/jpeg, width=1280, height=720, framerate={ 30/1, 24/1, 20/1, 15/1, 10/1, 15/2, 5/1 }; \
     image/jpeg, width=640, height=480, framerate={ 30/1, 24/1, 20/1, 15/1, 10/1, 15/2, 5/1 }; \
     video/x-h264, width=1280, height=720, framerate={ 30/1, 24/1 }";
/// Logitech C270: the last raw size is 960 lines at 7.5.
const C270: &str = "video/x-raw, format=YUY2, width=1280, height=960, framerate={ 15/2, 5/1 }; \
     video/x-raw, format=YUY2, width=1280, height=720, framerate={ 15/2, 5/1 }; \
     video/x-raw, format=YUY2, width=640, height=480, framerate={ 30/1, 25/1, 20/1, 15/1, 10/1, 5/1 }; \
     image/jpeg, width=1280, height=960, framerate={ 30/1, 25/1, 20/1, 15/1, 10/1, 5/1 }; \
     image/jpeg, width=1280, height=720, framerate={ 30/1, 25/1, 20/1, 15/1, 10/1, 5/1 }";
const ONLY_JPEG: &str = "image/jpeg, parsed=true, width=1920, height=1080, framerate=30/1; \
     image/jpeg, width=640, height=480, framerate=30/1";
const NTSC: &str = "video/x-raw, format=UYVY, width=720, height=480, framerate=30000/1001; \
     video/x-raw, format=UYVY, width=1280, height=720, framerate={ 60000/1001, 60/1, 50/1 }";
/// A driver whose sizes and rates are ranges, as vivid's and libcamera's are.
const RANGES: &str = "video/x-raw, format={ NV12, I420 }, width=[ 16, 1920, 2 ], height=[ 16, 1080, 2 ], \
     framerate=[ 1/1, 60/1 ]";
const NO_RATE: &str = "video/x-raw, format=NV12, width=[ 32, 4056, 2 ], height=[ 32, 3040, 2 ]";
const INFRARED: &str = "video/x-raw, format=GRAY8, width=640, height=480, framerate=30/1; \
     image/jpeg, width=640, height=480, framerate=30/1";
/// Only in a graphics chip's memory, and once more where it can be read.
const DMABUF: &str = "video/x-raw(memory:DMABuf), format=NV12, width=1280, height=720, framerate=30/1; \
     video/x-raw, format=YUY2, width=1280, height=720, framerate=30/1";

fn selected(offered: &str, width: u32, height: u32, fps: u32) -> String {
    gst::init().unwrap();
    let offered = gst::Caps::from_str(offered).unwrap();
    let mode = select(&offered, CameraRequest { width, height, fps });
    if let Ok(Selection { mode, .. }) = &mode {
        assert!(offered.can_intersect(&caps_of(mode)), "the camera has no {mode}");
    }
    mode.map_or_else(|error| error.to_string(), |selection| selection.mode.to_string())
}

#[test]
fn the_best_mode_is_selected() {
    for (camera, (width, height, fps), mode) in [
        // A regression: 25 is not among its rates, and raw pictures come at 10.
        (C920, (1280, 720, 25), "JPEG 1280x720 at 30/s"),
        (C920, (1280, 720, 30), "JPEG 1280x720 at 30/s"),
        (C920, (1280, 720, 24), "JPEG 1280x720 at 24/s"),
        (C920, (1280, 720, 20), "JPEG 1280x720 at 20/s"),
        (C920, (1280, 720, 15), "JPEG 1280x720 at 15/s"),
        (C920, (1280, 720, 12), "JPEG 1280x720 at 15/s"),
        (C920, (1280, 720, 10), "YUY2 1280x720 at 10/s"),
        (C920, (1280, 720, 8), "YUY2 1280x720 at 10/s"),
        (C920, (1280, 720, 60), "JPEG 1280x720 at 30/s"),
        (C920, (1920, 1080, 25), "JPEG 1920x1080 at 30/s"),
        (C920, (640, 480, 25), "YUY2 640x480 at 30/s"),
        // No such size: the next one that has all its pixels and its aspect ratio.
        (C920, (1024, 576, 25), "JPEG 1280x720 at 30/s"),
        (C920, (3840, 2160, 30), "JPEG 1920x1080 at 30/s"),
        (C270, (1280, 720, 25), "JPEG 1280x720 at 25/s"),
        (C270, (1280, 720, 24), "JPEG 1280x720 at 25/s"),
        (C270, (640, 480, 25), "YUY2 640x480 at 25/s"),
        (C270, (1920, 1080, 25), "JPEG 1280x720 at 25/s"),
        (ONLY_JPEG, (1920, 1080, 25), "JPEG 1920x1080 at 30/s"),
        (ONLY_JPEG, (1280, 720, 25), "JPEG 1920x1080 at 30/s"),
        (ONLY_JPEG, (1920, 1080, 50), "JPEG 1920x1080 at 30/s"),
        (NTSC, (720, 480, 30), "UYVY 720x480 at 29.97/s"),
        (NTSC, (1280, 720, 25), "UYVY 1280x720 at 50/s"),
        (NTSC, (1280, 720, 60), "UYVY 1280x720 at 60/s"),
        (RANGES, (1280, 720, 25), "I420 1280x720 at 25/s"),
        (RANGES, (1280, 720, 120), "I420 1280x720 at 60/s"),
        (NO_RATE, (1280, 720, 25), "NV12 1280x720"),
        (INFRARED, (640, 480, 25), "JPEG 640x480 at 30/s"),
        (DMABUF, (1280, 720, 30), "YUY2 1280x720 at 30/s"),
    ] {
        assert_eq!(selected(camera, width, height, fps), mode, "{width}x{height} at {fps} of {camera}");
    }
}

#[test]
fn a_camera_without_usable_modes_is_an_error() {
    let only = selected("video/x-h264, width=1280, height=720, framerate=30/1; video/x-h264, width=640", 1280, 720, 25);
    assert!(only.starts_with("gives only H.264, and tallybox takes raw pictures or JPEG"), "{only}");
    let two = selected("video/x-bayer, format=rggb, width=640; video/x-h265, width=640", 1280, 720, 25);
    assert!(two.starts_with("gives only Bayer patterns, H.265, "), "{two}");
    assert!(selected("EMPTY", 1280, 720, 25).starts_with("offers no pictures"));
}
