//! Pictures keep the times at which they were taken, whatever rate the camera names and gives: no error adds up.

use std::sync::{Arc, Mutex};

use gstreamer as gst;

use super::super::camera;
use super::super::transform::add_normalizer;
use crate::capture::media::{FrameDecimator, WantedRate};
use crate::capture::tests::element_bench::ElementBench;
use crate::config::{Video, VideoSource, example};

fn video(source: VideoSource) -> Video {
    Video { source, width: 64, height: 36, fps: 30, ..example("").video }
}

fn seconds(seconds: f64) -> gst::ClockTime {
    gst::ClockTime::from_seconds_f64(seconds)
}

/// Sends pictures with these times from a source that names the rate `named`. Returns the number and the time of each
/// that comes out.
fn normalized(video: &Video, named: gst::Fraction, times: &[gst::ClockTime]) -> Vec<(usize, gst::ClockTime)> {
    normalized_at(&WantedRate::default(), video, named, times)
}

/// The same where so many are wanted.
fn normalized_at(
    wanted: &WantedRate,
    video: &Video,
    named: gst::Fraction,
    times: &[gst::ClockTime],
) -> Vec<(usize, gst::ClockTime)> {
    gst::init().unwrap();
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", 64)
        .field("height", 36)
        .field("framerate", named)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    let bench = ElementBench::new(&caps, None, |pipeline, source| {
        if video.source == VideoSource::V4l2 {
            let camera_fps = u32::try_from(named.numer() / named.denom()).unwrap();
            let decimator = Arc::new(Mutex::new(FrameDecimator::capped(video.fps, camera_fps)));
            camera::limit_rate(source, &decimator, wanted).unwrap();
        }
        add_normalizer(pipeline, video).unwrap()
    });
    let pictures = (0_u32..).zip(times.to_vec()).map(|(number, time)| {
        // The number is in the first four pixels.
        let mut picture = vec![128_u8; 64 * 36 * 3 / 2];
        picture[..4].copy_from_slice(&number.to_le_bytes());
        (time, picture)
    });
    let number = |picture: &[u8]| u32::from_le_bytes(picture[..4].try_into().unwrap()) as usize;
    bench.run(pictures).iter().map(|(time, picture)| (number(picture), *time)).collect()
}

#[test]
fn a_camera_may_give_another_rate_than_it_names() {
    let video = video(VideoSource::V4l2);
    let mut random = fastrand::Rng::with_seed(1);
    let ntsc = gst::Fraction::new(30_000, 1001);
    for (named, fps) in
        [(ntsc, 29.97), (gst::Fraction::new(30, 1), 30_000.0 / 1001.0), (gst::Fraction::new(30, 1), 15.0)]
    {
        let times: Vec<_> = (0..2000).map(|n| seconds((f64::from(n) + 0.2 * random.f64()) / fps)).collect();
        let wanted: Vec<_> = times.iter().copied().enumerate().collect();
        assert_eq!(normalized(&video, named, &times), wanted, "{named:?} {fps}");
    }
}

#[test]
fn a_camera_never_exceeds_the_configured_rate() {
    let video = Video { fps: 25, ..video(VideoSource::V4l2) };
    // It may be opened late in a session, and it stalls.
    for start in [0.0, 3600.0] {
        for fps in [30, 50, 60] {
            // Of every third second, all but 0.2 s is missing.
            let times: Vec<_> = (0..fps * 12_u32)
                .map(|n| f64::from(n) / f64::from(fps))
                .filter(|at| at % 3.0 < 2.2)
                .map(|at| seconds(start + at))
                .collect();
            let named = gst::Fraction::new(i32::try_from(fps).unwrap(), 1);
            let pictures = normalized(&video, named, &times);
            let at: Vec<f64> = pictures.iter().map(|(_, time)| time.seconds_f64() - start).collect();
            for from in 0..110 {
                let from = f64::from(from) / 10.0;
                let within = at.iter().filter(|at| (from..from + 1.0).contains(*at)).count();
                assert!(within <= 26, "{within} pictures in the second from {from} of a camera that gives {fps}");
            }
            assert!(at.iter().filter(|at| (0.5..1.5).contains(*at)).count() >= 24, "{fps}");
        }
    }
}

#[test]
fn what_the_encoder_would_leave_out_is_not_decoded() {
    let times: Vec<_> = (0..90_u32).map(|number| seconds(f64::from(number) / 30.0)).collect();
    let (wanted, camera) = (WantedRate::default(), video(VideoSource::V4l2));
    let kept = |fps| {
        wanted.set(fps);
        normalized_at(&wanted, &camera, gst::Fraction::new(30, 1), &times).iter().map(|(number, _)| *number).collect()
    };
    let numbers: Vec<usize> = kept(15);
    assert_eq!(numbers, (0..90).step_by(2).collect::<Vec<_>>());
    let numbers: Vec<usize> = kept(30);
    assert_eq!(numbers.len(), 90);
}

#[test]
fn a_file_at_29_97_is_converted_to_30_and_stays_in_step() {
    const PICTURES: u32 = 6000;
    let time_of = |n: u32| f64::from(n) * 1001.0 / 30_000.0;
    let times: Vec<_> = (0..PICTURES).map(|n| seconds(time_of(n))).collect();
    let pictures = normalized(&video(VideoSource::File), gst::Fraction::new(30_000, 1001), &times);
    assert!(pictures.len() >= 6004, "{} pictures: three minutes and twenty seconds have six more", pictures.len());
    for (place, (number, time)) in (0_u32..).zip(&pictures) {
        let time = time.seconds_f64();
        assert!((time - f64::from(place) / 30.0).abs() < 0.001, "{place} at {time}");
        let age = time - times[*number].seconds_f64();
        assert!(age.abs() < 0.034, "picture {number} at {time}: {age}");
    }
    // Merely renumbered they would be a fifth of a second off by now.
    assert!(time_of(PICTURES) - f64::from(PICTURES) / 30.0 > 0.19);
}
