//! Audio through the real elements: the mute, noise and hum.

use std::sync::Arc;

use super::processing::add_voice_filters;
use super::*;
use crate::capture::guard_link::Lease;
use crate::capture::tests::element_bench::{ElementBench, add, link, pcm, to_bytes, to_samples};
use crate::config::AudioSource;

fn audio(noise_suppression: bool, high_pass: bool) -> Audio {
    Audio { source: AudioSource::Test, device: String::new(), bitrate_kbps: 128, noise_suppression, high_pass }
}

/// A live tone through processing, mute, AAC and back.
struct MutedTone {
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
    lease: Arc<Lease>,
    meter: Arc<LevelMeter>,
}

impl Drop for MutedTone {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl MutedTone {
    fn start() -> Self {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let source = add(&pipeline, "audiotestsrc");
        source.set_property("is-live", true);
        let (first, last) = add_audio_processing(&pipeline, &audio(false, false)).unwrap();
        let (lease, meter) = (Arc::new(Lease::valid()), Arc::default());
        silence_while_muted(&last, &lease).unwrap();
        let encoder = add_audio_encoder(&pipeline, &audio(false, false), AudioCodec::Aac).unwrap();
        measure(&meter, &last).unwrap();
        let decoder = add(&pipeline, "avdec_aac");
        let convert = add(&pipeline, "audioconvert");
        // It would add noise of its own.
        convert.set_property_from_str("dithering", "none");
        let sink = gst_app::AppSink::builder().caps(&pcm(48_000, 2)).sync(false).build();
        pipeline.add(&sink).unwrap();
        source.link(&first).unwrap();
        gst::Element::link_many([&encoder, &decoder, &convert, sink.upcast_ref()]).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, sink, lease, meter }
    }

    /// The time and duration of the next buffer, and whether it is digital silence.
    fn next(&self) -> (gst::ClockTime, gst::ClockTime, bool) {
        let sample = self.sink.pull_sample().unwrap();
        let buffer = sample.buffer().unwrap();
        let is_silent = buffer.map_readable().unwrap().iter().all(|byte| *byte == 0);
        (buffer.pts().unwrap(), buffer.duration().unwrap(), is_silent)
    }
}

#[test]
fn mute_is_digital_silence_within_100_ms() {
    let tone = MutedTone::start();
    let (mut buffers, mut muted, mut end) = (Vec::new(), None, None);
    loop {
        let (pts, duration, is_silent) = tone.next();
        if let Some(end) = end.replace(pts + duration) {
            assert!(pts.absdiff(end) < gst::ClockTime::from_mseconds(1), "time goes on: {pts} after {end}");
        }
        buffers.push((pts, is_silent));
        if pts > gst::ClockTime::from_mseconds(1500) && muted.is_none() {
            let level = tone.meter.level_db().unwrap();
            tone.lease.set_muted(true);
            muted = tone.pipeline.current_running_time().map(|at| (at, level));
        }
        if pts > gst::ClockTime::from_mseconds(4000) {
            break;
        }
    }
    let (muted_at, level) = muted.unwrap();
    let audible_until = buffers.iter().rfind(|(_, silent)| !silent).unwrap().0 + gst::ClockTime::from_mseconds(21);
    assert!(audible_until < muted_at + gst::ClockTime::from_mseconds(100), "{audible_until}, muted at {muted_at}");
    assert!(buffers.iter().rfind(|(_, silent)| *silent).unwrap().0 > muted_at + gst::ClockTime::SECOND);
    assert!((level + 5.0).abs() < 0.5, "a tone of 0.8 has -5 dB, and not {level}");
    assert_eq!(tone.meter.level_db(), Some(-100.0), "muted");
}

/// `seconds` of syllables, four a second, of a voice of 150 Hz, with noise and hum added; both as a part of full scale.
#[allow(clippy::cast_possible_truncation)]
fn syllables(seconds: u32, noise: f64, hum: f64) -> Vec<i16> {
    let mut random = fastrand::Rng::with_seed(3);
    let sine = |hertz: f64, time: f64| (time * hertz * core::f64::consts::TAU).sin();
    let sample = |number: u32| {
        let time = f64::from(number) / 48_000.0;
        let envelope = if (time * 2.0).fract() < 0.5 { sine(2.0, time).abs() } else { 0.0 };
        let voice: f64 = (1..=20).map(|n| sine(150.0 * f64::from(n), time) / f64::from(n)).sum();
        let all = 0.15 * envelope * voice + noise * (2.0 * random.f64() - 1.0) + hum * sine(50.0, time);
        (all * 32_767.0) as i16
    };
    (0..seconds * 48_000).map(sample).collect()
}

/// `samples` through the voice filters that `audio` has on.
fn filtered(samples: &[i16], audio: &Audio) -> Vec<i16> {
    let bench = ElementBench::new(&pcm(48_000, 2), Some(&pcm(48_000, 2)), |pipeline, _| {
        let mut elements = vec![add(pipeline, "audioconvert")];
        elements.extend(add_voice_filters(pipeline, audio).unwrap());
        link(&elements)
    });
    let stereo = |samples: &[i16]| to_bytes(&samples.iter().flat_map(|value| [*value; 2]).collect::<Vec<_>>());
    let blocks: Vec<_> = samples.chunks(480).map(stereo).collect();
    let timed = (0..).zip(blocks).map(|(n, bytes)| (gst::ClockTime::from_mseconds(10 * n), bytes));
    bench.run(timed).iter().flat_map(|(_, bytes)| to_samples(bytes)).step_by(2).collect()
}

/// Levels in dB.
#[derive(Debug)]
struct Levels {
    syllables: f64,
    pauses: f64,
}

impl Levels {
    /// Without the first seconds, from which the filters learn.
    fn of(samples: &[i16]) -> Self {
        Self { syllables: Self::db(samples, true), pauses: Self::db(samples, false) }
    }

    fn db(samples: &[i16], on: bool) -> f64 {
        let half = |number: usize| &samples[number * 12_000 + 2400..(number + 1) * 12_000 - 1200];
        let chosen = (16..samples.len() / 12_000).filter(|number| number.is_multiple_of(2) == on).flat_map(half);
        let (sum, count) =
            chosen.fold((0.0, 0.0), |(sum, count), value| (sum + f64::from(*value).powi(2), count + 1.0));
        10.0 * (sum / count / 32_768.0f64.powi(2) + 1e-10).log10()
    }
}

#[test]
fn filters_that_are_off_change_nothing() {
    let samples = syllables(2, 0.02, 0.0);
    assert_eq!(filtered(&samples, &audio(false, false)), samples);
}

#[test]
fn noise_suppression_leaves_voices_and_little_noise() {
    let samples = syllables(10, 0.02, 0.0);
    let (before, after) = (Levels::of(&samples), Levels::of(&filtered(&samples, &audio(true, false))));
    assert!(after.pauses < before.pauses - 6.0, "{before:?}, {after:?}");
    assert!((after.syllables - before.syllables).abs() < 3.0, "{before:?}, {after:?}");
}

#[test]
fn the_high_pass_filter_cuts_hum_and_leaves_voices() {
    let samples = syllables(6, 0.0, 0.05);
    let (before, after) = (Levels::of(&samples), Levels::of(&filtered(&samples, &audio(false, true))));
    assert!(after.pauses < before.pauses - 6.0, "{before:?}, {after:?}");
    assert!((after.syllables - before.syllables).abs() < 3.0, "{before:?}, {after:?}");
}
