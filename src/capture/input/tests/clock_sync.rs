//! A sound card whose clock is off, through the real elements.

use gst::prelude::*;
use gstreamer as gst;

use super::super::clock_sync;
use crate::capture::tests::element_bench::{ElementBench, Timed, add, link, pcm, to_bytes, to_samples};

/// What a card gives that samples `fast_ppm` too fast: a beep at each second of the real clock. It is read late.
fn beeps(rate: u32, fast_ppm: f64, seconds: u32) -> impl Iterator<Item = Timed> {
    let block = rate / 100;
    let mut random = fastrand::Rng::with_seed(7);
    (0..seconds * 100).map(move |number| {
        let captured_at = |sample: u32| 1.0 + f64::from(sample) / (f64::from(rate) * (1.0 + fast_ppm * 1e-6));
        let samples = (number * block..(number + 1) * block).map(|sample| {
            let time = captured_at(sample);
            let on = time.fract() < 0.1;
            #[allow(clippy::cast_possible_truncation)]
            let value = if on { (time * 1000.0 * core::f64::consts::TAU).cos() * 10_000.0 } else { 0.0 } as i16;
            value
        });
        let late = -0.004 * (1.0 - random.f64()).ln();
        let time = gst::ClockTime::from_seconds_f64(captured_at(number * block) + late);
        (time, to_bytes(&samples.collect::<Vec<_>>()))
    })
}

/// How far beeps are from the clock's seconds, in seconds.
struct BeepError {
    worst: f64,
    /// The worst of the second half.
    settled: f64,
}

/// Without `synced` there is only `audiorate`, as after GStreamer's own synchronisation.
fn beep_error(rate: u32, fast_ppm: f64, seconds: u32, synced: bool) -> BeepError {
    let bench = ElementBench::new(&pcm(rate, 1), Some(&pcm(48_000, 1)), |pipeline, _| {
        let (first, filter) = (add(pipeline, "audioconvert"), add(pipeline, "capsfilter"));
        filter.set_property("caps", clock_sync::input_caps());
        if synced {
            clock_sync::attach(&filter.static_pad("src").unwrap());
        }
        let after = ["audioresample", "audiorate"].map(|factory| add(pipeline, factory));
        let [resample, rate] = after;
        link(&[first, filter, resample, rate])
    });
    let buffers = bench.run(beeps(rate, fast_ppm, seconds));
    let start = buffers[0].0;
    let mut samples = Vec::new();
    for (time, bytes) in &buffers {
        // No gap and no overlap: samples take the time that they say.
        let counted = start + gst::ClockTime::from_nseconds(samples.len() as u64 * 1_000_000_000 / 48_000);
        assert!(time.absdiff(counted) < gst::ClockTime::from_mseconds(1), "{time} and {counted}");
        samples.extend(to_samples(bytes));
    }
    let beeps = beep_times(&samples, start.seconds_f64());
    assert!(beeps.len() + 2 >= seconds as usize, "{beeps:?}");
    let error = |time: &f64| (time - time.round()).abs();
    let worst = beeps.iter().map(error).fold(0.0, f64::max);
    let settled = beeps.iter().filter(|time| **time > f64::from(seconds) / 2.0).map(error).fold(0.0, f64::max);
    BeepError { worst, settled }
}

/// When the beeps in `samples`, the first of which is of the time `start`, begin; in seconds.
fn beep_times(samples: &[i16], start: f64) -> Vec<f64> {
    let (mut last_loud, mut times) = (0, Vec::new());
    for (number, _) in samples.iter().enumerate().filter(|(_, value)| value.unsigned_abs() > 2000) {
        // A beep has no pause of 20 ms in it.
        if number > last_loud + 960 {
            times.push(start + f64::from(u32::try_from(number).unwrap()) / 48_000.0);
        }
        last_loud = number;
    }
    times
}

#[test]
fn beeps_stay_on_the_clocks_seconds() {
    for (rate, fast_ppm) in [(48_000, 800.0), (44_100, -800.0)] {
        let BeepError { worst, settled } = beep_error(rate, fast_ppm, 60, true);
        assert!(worst < 0.020 && settled < 0.010, "{rate} Hz, {fast_ppm:+} ppm: {worst} s, {settled} s once settled");
    }
}

#[test]
fn without_clock_sync_beeps_leave_the_clocks_seconds() {
    let BeepError { worst, .. } = beep_error(48_000, 800.0, 60, false);
    assert!(worst > 0.035, "{worst}: the test above would be idle");
}
