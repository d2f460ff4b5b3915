//! How loud the sound is that leaves the box: one number a second, of which nothing can be heard.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstreamer as gst;

/// What silence counts as: below the quietest step of 16 bits, which is -90 dB.
const SILENCE_DB: f32 = -100.0;

/// The root mean square of the last full second, in dB relative to full scale: a tone as loud as can be has -3.
#[derive(Debug)]
pub(crate) struct LevelMeter(AtomicU32);

impl Default for LevelMeter {
    fn default() -> Self {
        Self(AtomicU32::new(f32::NAN.to_bits()))
    }
}

impl LevelMeter {
    /// In dB, from -100 to 0; none before there has been a second of sound.
    pub(crate) fn level_db(&self) -> Option<f32> {
        let db = f32::from_bits(self.0.load(Ordering::Relaxed));
        (!db.is_nan()).then_some(db)
    }

    fn set(&self, db: f32) {
        self.0.store(db.to_bits(), Ordering::Relaxed);
    }
}

/// The squares of a second, on their way to their mean.
#[derive(Default)]
struct RmsAccumulator {
    squares: f64,
    samples: u32,
}

impl RmsAccumulator {
    fn add(&mut self, sample_value: f64) {
        self.squares += sample_value * sample_value;
        self.samples += 1;
    }

    /// In dB, once a second of `samples` is full; then anew.
    fn sample(&mut self, samples: u32) -> Option<f32> {
        if self.samples < samples {
            return None;
        }
        let mean = core::mem::take(self).mean();
        #[allow(clippy::cast_possible_truncation)]
        let db = (10.0 * mean.log10()) as f32;
        // Rounded: a tenth of a dB says all that there is to say.
        Some((db.clamp(SILENCE_DB, 0.0) * 10.0).round() / 10.0)
    }

    fn mean(&self) -> f64 {
        self.squares / f64::from(self.samples)
    }
}

/// Measures what `element` gives.
pub(crate) fn measure(meter: &Arc<LevelMeter>, element: &gst::Element) -> Option<()> {
    let pad = element.static_pad("src")?;
    let (published, accumulator, format) = (meter.clone(), Mutex::new(RmsAccumulator::default()), Mutex::new(None));
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let (Ok(mut accumulator), Ok(mut format)) = (accumulator.lock(), format.lock()) else {
            return gst::PadProbeReturn::Ok;
        };
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) {
            *format = caps.caps().structure(0).and_then(sample_format);
        }
        let (Some(buffer), Some((samples, float))) = (info.buffer(), *format) else { return gst::PadProbeReturn::Ok };
        let Ok(sound) = buffer.map_readable() else { return gst::PadProbeReturn::Ok };
        if float {
            let all = sound.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            all.for_each(|sample_value| accumulator.add(f64::from(sample_value)));
        } else {
            let all = sound.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]));
            all.for_each(|sample_value| accumulator.add(f64::from(sample_value) / 32_768.0));
        }
        if let Some(db) = accumulator.sample(samples) {
            published.set(db);
        }
        gst::PadProbeReturn::Ok
    });
    Some(())
}

/// Words a second, and whether they are floating-point: the two formats that AAC encoders here take.
fn sample_format(caps: &gst::StructureRef) -> Option<(u32, bool)> {
    let number = |field| u32::try_from(caps.get::<i32>(field).ok()?).ok();
    let float = match caps.get::<&str>("format").ok()? {
        "F32LE" => true,
        "S16LE" => false,
        _ => return None,
    };
    Some((number("rate")? * number("channels")?, float))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: impl Iterator<Item = f64>) -> f32 {
        let mut accumulator = RmsAccumulator::default();
        samples.for_each(|sample_value| accumulator.add(sample_value));
        accumulator.sample(1).unwrap()
    }

    #[test]
    fn loudness_is_that_of_the_textbook() {
        let tone = |height: f64| of((0..48_000).map(move |n| height * (f64::from(n) * 0.1309).sin()));
        let found = [of([0.0; 100].into_iter()), of([1.0, -1.0].into_iter()), tone(1.0), tone(0.1), tone(1e-9)];
        assert_eq!(found.map(|db| format!("{db:.1}")), ["-100.0", "0.0", "-3.0", "-23.0", "-100.0"]);
        assert_eq!(RmsAccumulator::default().sample(1), None);
    }
}
