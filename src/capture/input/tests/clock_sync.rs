//! Sound through the real elements: a card whose clock is off, the mute, noise and hum.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::audio::measure;
use crate::capture::audio::processing;
use crate::capture::audio::{AudioCodec, add_audio_encoder, add_audio_processing, silence_while_muted};
use crate::capture::input::clock_sync;
use crate::config::{Audio, AudioSource};

fn audio(noise_suppression: bool, high_pass: bool) -> Audio {
    Audio { source: AudioSource::Test, device: String::new(), bitrate_kbps: 128, noise_suppression, high_pass }
}

fn pcm(rate: u32, channels: i32) -> gst::Caps {
    gst::init().unwrap();
    let rate = i32::try_from(rate).unwrap();
    gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", rate)
        .field("channels", channels)
        .build()
}

/// Sound given to elements and taken from them as fast as they go.
struct Bench {
    pipeline: gst::Pipeline,
    entry: gst_app::AppSrc,
    exit: gst_app::AppSink,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Bench {
    fn new(
        given: &gst::Caps,
        captured_at: &gst::Caps,
        between: impl FnOnce(&gst::Pipeline) -> Vec<gst::Element>,
    ) -> Self {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let entry =
            gst_app::AppSrc::builder().caps(given).format(gst::Format::Time).max_bytes(10_000).block(true).build();
        let exit = gst_app::AppSink::builder().caps(captured_at).sync(false).build();
        let between = between(&pipeline);
        pipeline.add_many([entry.upcast_ref::<gst::Element>(), exit.upcast_ref()]).unwrap();
        let first = std::iter::once(entry.upcast_ref());
        gst::Element::link_many(first.chain(&between).chain([exit.upcast_ref()])).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, entry, exit }
    }

    /// Gives `blocks`, each with its time, and returns what comes out with its time.
    fn through(
        &self,
        blocks: impl Iterator<Item = (gst::ClockTime, Vec<i16>)> + Send + 'static,
    ) -> Vec<(gst::ClockTime, Vec<i16>)> {
        let entry = self.entry.clone();
        let feeder = std::thread::spawn(move || {
            for (time, words) in blocks {
                let mut buffer = gst::Buffer::from_mut_slice(bytes(&words));
                buffer.get_mut().unwrap().set_pts(time);
                entry.push_buffer(buffer).unwrap();
            }
            entry.end_of_stream().unwrap();
        });
        let mut all = Vec::new();
        while let Ok(sample) = self.exit.pull_sample() {
            let buffer = sample.buffer().unwrap();
            all.push((buffer.pts().unwrap(), words(&buffer.map_readable().unwrap())));
        }
        feeder.join().unwrap();
        all
    }
}

fn bytes(words: &[i16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn words(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}

fn make(pipeline: &gst::Pipeline, factory: &str) -> gst::Element {
    let element = gst::ElementFactory::make(factory).build().unwrap();
    pipeline.add(&element).unwrap();
    element
}

fn nanos(seconds: f64) -> gst::ClockTime {
    gst::ClockTime::from_seconds_f64(seconds.max(0.0))
}

/// What a card gives whose samples are taken `fast_ppm` too fast: a beep in each second of the real clock, read late.
fn beeps(rate: u32, fast_ppm: f64, seconds: u32) -> impl Iterator<Item = (gst::ClockTime, Vec<i16>)> {
    let block = rate / 100;
    let mut random = fastrand::Rng::with_seed(7);
    (0..seconds * 100).map(move |turn| {
        let captured_at = |sample: u32| 1.0 + f64::from(sample) / (f64::from(rate) * (1.0 + fast_ppm * 1e-6));
        let sound = (turn * block..(turn + 1) * block).map(|sample| {
            let captured_at = captured_at(sample);
            let on = captured_at.fract() < 0.1;
            #[allow(clippy::cast_possible_truncation)]
            let word = if on { (captured_at * 1000.0 * core::f64::consts::TAU).cos() * 10_000.0 } else { 0.0 } as i16;
            word
        });
        let late = -0.004 * (1.0 - random.f64()).ln();
        (nanos(captured_at(turn * block) + late), sound.collect())
    })
}

/// How far the beeps of such a card are from the clock's seconds behind the real elements, in seconds: at most, and at
/// most once it has settled. Without `synced` there is only `audiorate`, as behind GStreamer's own slaving.
fn beeps_off(rate: u32, fast_ppm: f64, seconds: u32, synced: bool) -> (f64, f64) {
    let bench = Bench::new(&pcm(rate, 1), &pcm(48_000, 1), |pipeline| {
        let (first, filter) = (make(pipeline, "audioconvert"), make(pipeline, "capsfilter"));
        filter.set_property("caps", clock_sync::input_caps());
        if synced {
            clock_sync::attach(&filter.static_pad("src").unwrap());
        }
        let behind = ["audioresample", "audiorate"].map(|factory| make(pipeline, factory));
        [first, filter].into_iter().chain(behind).collect()
    });
    let sound = bench.through(beeps(rate, fast_ppm, seconds));
    let start = sound[0].0;
    let given: Vec<i16> = sound.iter().flat_map(|(_, words)| words.iter().copied()).collect();
    // No gap and no overlap: time is what the samples take.
    let mut samples = 0;
    for (time, words) in &sound {
        let counted = start + gst::ClockTime::from_nseconds(samples * 1_000_000_000 / 48_000);
        assert!(time.absdiff(counted) < gst::ClockTime::from_mseconds(1), "{time} and {counted}");
        samples += words.len() as u64;
    }
    let at = |sample: usize| start.seconds_f64() + f64::from(u32::try_from(sample).unwrap()) / 48_000.0;
    let (mut last_loud, mut begun) = (0, Vec::new());
    for (sample, _) in given.iter().enumerate().filter(|(_, word)| word.unsigned_abs() > 2000) {
        // A beep has no pause of 20 ms in it.
        if sample > last_loud + 960 {
            begun.push(at(sample));
        }
        last_loud = sample;
    }
    assert!(begun.len() + 2 >= seconds as usize, "{begun:?}");
    let off = |time: &f64| (time - time.round()).abs();
    let settled = begun.iter().filter(|time| **time > f64::from(seconds) / 2.0).map(off).fold(0.0, f64::max);
    (begun.iter().map(off).fold(0.0, f64::max), settled)
}

#[test]
fn a_cards_beeps_stay_on_the_clocks_seconds() {
    for (rate, fast_ppm) in [(48_000, 800.0), (44_100, -800.0)] {
        let (worst, settled) = beeps_off(rate, fast_ppm, 60, true);
        println!(
            "{rate} Hz, {fast_ppm:+} ppm: beeps are at most {:.1} ms off, {:.1} ms once settled",
            worst * 1e3,
            settled * 1e3
        );
        assert!(worst < 0.020 && settled < 0.010, "{worst} {settled}");
    }
    let (worst, _) = beeps_off(48_000, 800.0, 60, false);
    println!("without it: {:.1} ms, by skipping", worst * 1e3);
    assert!(worst > 0.035, "{worst}: this test would be idle");
}

#[test]
fn muted_is_digital_silence_within_a_tenth_of_a_second_and_time_runs_on() {
    gst::init().unwrap();
    let pipeline = gst::Pipeline::new();
    let source = make(&pipeline, "audiotestsrc");
    source.set_property("is-live", true);
    let (first, last) = add_audio_processing(&pipeline, &audio(false, false)).unwrap();
    let lease = std::sync::Arc::new(crate::capture::guard_link::Lease::valid());
    silence_while_muted(&last, &lease).unwrap();
    let coded = add_audio_encoder(&pipeline, &audio(false, false), AudioCodec::Aac).unwrap();
    let level = std::sync::Arc::default();
    measure(&level, &last).unwrap();
    let decode = make(&pipeline, "avdec_aac");
    let convert = make(&pipeline, "audioconvert");
    // It would add noise of its own.
    convert.set_property_from_str("dithering", "none");
    let exit = gst_app::AppSink::builder().caps(&pcm(48_000, 2)).sync(false).build();
    pipeline.add(&exit).unwrap();
    source.link(&first).unwrap();
    gst::Element::link_many([&coded, &decode, &convert, exit.upcast_ref()]).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let (mut heard, mut muted_at, mut loud, mut next) = (Vec::new(), None, None, None);
    loop {
        let sample = exit.pull_sample().unwrap();
        let buffer = sample.buffer().unwrap();
        let (pts, sound) = (buffer.pts().unwrap(), words(&buffer.map_readable().unwrap()));
        if let Some(next) = next.replace(pts + buffer.duration().unwrap()) {
            assert!(pts.absdiff(next) < gst::ClockTime::from_mseconds(1), "{pts} after {next}");
        }
        heard.push((pts, sound.iter().all(|word| *word == 0)));
        if pts > gst::ClockTime::from_mseconds(1500) && muted_at.is_none() {
            loud = level.level_db();
            lease.set_muted(true);
            muted_at = pipeline.current_running_time();
        }
        if pts > gst::ClockTime::from_mseconds(4000) {
            break;
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    let muted_at = muted_at.unwrap();
    let last = heard.iter().rfind(|(_, silent)| !silent).unwrap().0 + gst::ClockTime::from_mseconds(21);
    println!(
        "sound for {} ms after it was muted at {muted_at}; {loud:?} dB, then {:?} dB",
        last.saturating_sub(muted_at).mseconds(),
        level.level_db()
    );
    assert!(last < muted_at + gst::ClockTime::from_mseconds(100), "{last}");
    assert!(heard.iter().rfind(|(_, silent)| *silent).unwrap().0 > muted_at + gst::ClockTime::SECOND);
    assert!((loud.unwrap() + 5.0).abs() < 0.5 && level.level_db() == Some(-100.0), "a tone of 0.8 has -5 dB");
}

/// `seconds` of syllables, four a second, of a voice of 150 Hz, with noise and hum added; both as a part of full scale.
#[allow(clippy::cast_possible_truncation)]
fn syllables(seconds: u32, noise: f64, hum: f64) -> Vec<i16> {
    let mut random = fastrand::Rng::with_seed(3);
    let turn = |hertz: f64, time: f64| (time * hertz * core::f64::consts::TAU).sin();
    let word = |sample: u32| {
        let time = f64::from(sample) / 48_000.0;
        let on = if (time * 2.0).fract() < 0.5 { turn(2.0, time).abs() } else { 0.0 };
        let voice: f64 = (1..=20).map(|n| turn(150.0 * f64::from(n), time) / f64::from(n)).sum();
        let all = 0.15 * on * voice + noise * (2.0 * random.f64() - 1.0) + hum * turn(50.0, time);
        (all * 32_767.0) as i16
    };
    (0..seconds * 48_000).map(word).collect()
}

fn processed(sound: &[i16], audio: &Audio) -> Vec<i16> {
    let bench = Bench::new(&pcm(48_000, 2), &pcm(48_000, 2), |pipeline| {
        let mut all = vec![make(pipeline, "audioconvert")];
        all.extend(processing::add(pipeline, audio).unwrap());
        all
    });
    let both = |words: &[i16]| words.iter().flat_map(|word| [*word, *word]).collect();
    let blocks: Vec<Vec<i16>> = sound.chunks(480).map(both).collect();
    let timed = (0..).zip(blocks).map(|(n, words)| (gst::ClockTime::from_mseconds(10 * n), words));
    bench.through(timed).into_iter().flat_map(|(_, words)| words).step_by(2).collect()
}

/// Loudness in dB of the half seconds with syllables (`on`) or without, the first seconds left out: it learns from
/// them.
fn db(sound: &[i16], on: bool) -> f64 {
    let half = |turn: usize| &sound[turn * 12_000 + 2400..(turn + 1) * 12_000 - 1200];
    let chosen = (16..sound.len() / 12_000).filter(|turn| turn.is_multiple_of(2) == on).flat_map(half);
    let (sum, count) = chosen.fold((0.0, 0.0), |(sum, count), word| (sum + f64::from(*word).powi(2), count + 1.0));
    10.0 * (sum / count / 32_768.0f64.powi(2) + 1e-10).log10()
}

#[test]
fn noise_suppression_leaves_voices_and_little_noise() {
    let sound = syllables(10, 0.02, 0.0);
    let (plain, clean) = (processed(&sound, &audio(false, false)), processed(&sound, &audio(true, false)));
    assert_eq!(plain, sound, "off, nothing is there");
    let (noise, voice) = ([db(&plain, false), db(&clean, false)], [db(&plain, true), db(&clean, true)]);
    println!("pauses {:.1} dB -> {:.1} dB, syllables {:.1} dB -> {:.1} dB", noise[0], noise[1], voice[0], voice[1]);
    assert!(noise[1] < noise[0] - 6.0, "{noise:?}");
    assert!((voice[1] - voice[0]).abs() < 3.0, "{voice:?}");
}

#[test]
fn the_high_pass_cuts_hum_and_leaves_voices() {
    let humming = syllables(6, 0.0, 0.05);
    let clean = processed(&humming, &audio(false, true));
    let (hum, voice) = ([db(&humming, false), db(&clean, false)], [db(&humming, true), db(&clean, true)]);
    println!("hum {:.1} dB -> {:.1} dB, syllables {:.1} dB -> {:.1} dB", hum[0], hum[1], voice[0], voice[1]);
    assert!(hum[1] < hum[0] - 6.0, "{hum:?}");
    assert!((voice[1] - voice[0]).abs() < 3.0, "{voice:?}");
}
