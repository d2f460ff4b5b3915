//! Pictures keep the times at which they were taken, whatever rate the camera says and gives: nothing adds up.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::input::camera;
use crate::capture::media::FrameDecimator;
use crate::config::{Config, Video, VideoSource};

fn video_of(source: VideoSource) -> Video {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tallybox.toml");
    std::fs::write(&path, "[ingest]\nurl = \"rtmp://127.0.0.1/live/key\"\n").unwrap();
    Video { source, width: 64, height: 36, fps: 30, ..Config::load(&path).unwrap().video }
}

fn ns(seconds: f64) -> gst::ClockTime {
    gst::ClockTime::from_seconds_f64(seconds)
}

/// Gives pictures with these times; returns the number and the time of each that comes out.
fn shaped(video: &Video, says: gst::Fraction, times: &[gst::ClockTime]) -> Vec<(usize, gst::ClockTime)> {
    gst::init().unwrap();
    let pipeline = gst::Pipeline::new();
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", 64)
        .field("height", 36)
        .field("framerate", says)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    let entry = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).block(true).build();
    let exit = gst_app::AppSink::builder().sync(false).build();
    pipeline.add_many([entry.upcast_ref::<gst::Element>(), exit.upcast_ref()]).unwrap();
    if video.source == VideoSource::V4l2 {
        let coming = u32::try_from(says.numer() / says.denom()).unwrap();
        let decimator = Arc::new(Mutex::new(FrameDecimator::capped(video.fps, coming)));
        camera::limit_rate(entry.upcast_ref(), &decimator).unwrap();
    }
    let (first, last) = crate::capture::input::add_normalizer(&pipeline, video).unwrap();
    entry.link(&first).unwrap();
    last.link(&exit).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let given = times.to_vec();
    let feeder = std::thread::spawn(move || {
        for (number, time) in (0_u32..).zip(given) {
            // The number stands in the first four points.
            let mut picture = vec![128_u8; 64 * 36 * 3 / 2];
            picture[..4].copy_from_slice(&number.to_le_bytes());
            let mut buffer = gst::Buffer::from_mut_slice(picture);
            buffer.get_mut().unwrap().set_pts(time);
            entry.push_buffer(buffer).unwrap();
        }
        entry.end_of_stream().unwrap();
    });
    let mut all = Vec::new();
    while let Ok(sample) = exit.pull_sample() {
        let buffer = sample.buffer().unwrap();
        let picture = buffer.map_readable().unwrap();
        let number = u32::from_le_bytes(picture[..4].try_into().unwrap());
        all.push((number as usize, buffer.pts().unwrap()));
    }
    feeder.join().unwrap();
    pipeline.set_state(gst::State::Null).unwrap();
    all
}

#[test]
fn a_camera_may_give_another_rate_than_it_says() {
    let video = video_of(VideoSource::V4l2);
    let mut random = fastrand::Rng::with_seed(1);
    let ntsc = gst::Fraction::new(30_000, 1001);
    for (says, gives) in
        [(ntsc, 29.97), (gst::Fraction::new(30, 1), 30_000.0 / 1001.0), (gst::Fraction::new(30, 1), 15.0)]
    {
        let times: Vec<_> = (0..2000).map(|n| ns((f64::from(n) + 0.2 * random.f64()) / gives)).collect();
        let shaped = shaped(&video, says, &times);
        let wanted: Vec<_> = times.iter().copied().enumerate().collect();
        assert_eq!(shaped, wanted, "{says:?} {gives}");
    }
}

#[test]
fn a_camera_that_is_opened_late_or_stood_still_gives_no_more_than_the_configured_rate() {
    let video = Video { fps: 25, ..video_of(VideoSource::V4l2) };
    for begin in [0.0, 3600.0] {
        for gives in [30, 50, 60] {
            // Every third second but for 0.2 s of it is missing.
            let times: Vec<_> = (0..gives * 12_u32)
                .map(|n| f64::from(n) / f64::from(gives))
                .filter(|at| at % 3.0 < 2.2)
                .map(|at| ns(begin + at))
                .collect();
            let shaped = shaped(&video, gst::Fraction::new(i32::try_from(gives).unwrap(), 1), &times);
            let at: Vec<f64> = shaped.iter().map(|(_, time)| time.seconds_f64() - begin).collect();
            for from in 0..110 {
                let from = f64::from(from) / 10.0;
                let within = at.iter().filter(|at| (from..from + 1.0).contains(*at)).count();
                assert!(within <= 26, "{within} pictures in the second from {from} of a camera that gives {gives}");
            }
            assert!(at.iter().filter(|at| (0.5..1.5).contains(*at)).count() >= 24, "{gives}");
        }
    }
}

#[test]
fn a_file_at_29_97_is_filled_up_to_30_and_stays_in_step() {
    const PICTURES: u32 = 6000;
    let given = |n: u32| f64::from(n) * 1001.0 / 30_000.0;
    let times: Vec<_> = (0..PICTURES).map(|n| ns(given(n))).collect();
    let shaped = shaped(&video_of(VideoSource::File), gst::Fraction::new(30_000, 1001), &times);
    assert!(shaped.len() >= 6004, "{} pictures: three minutes and twenty seconds have six more", shaped.len());
    for (turn, (number, time)) in (0_u32..).zip(&shaped) {
        let time = time.seconds_f64();
        assert!((time - f64::from(turn) / 30.0).abs() < 0.001, "{turn} at {time}");
        let age = time - times[*number].seconds_f64();
        assert!(age.abs() < 0.034, "picture {number} at {time}: {age}");
    }
    // Merely renumbered they would be a fifth of a second off by now.
    assert!(given(PICTURES) - f64::from(PICTURES) / 30.0 > 0.19);
}
