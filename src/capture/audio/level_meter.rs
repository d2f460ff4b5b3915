//! The level of the audio that is sent: one number a second, from which no speech can be recovered.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use gstreamer as gst;

/// The level of silence. The smallest step of 16 bits is -90 dB.
const SILENCE_DB: f32 = -100.0;

/// The RMS of the last full second, in dB relative to full scale. A sine at full scale has -3 dB.
#[derive(Debug)]
pub(crate) struct LevelMeter(AtomicU32);

impl Default for LevelMeter {
    fn default() -> Self {
        Self(AtomicU32::new(f32::NAN.to_bits()))
    }
}

impl LevelMeter {
    /// From -100 to 0 dB; `None` before the first full second.
    pub(crate) fn level_db(&self) -> Option<f32> {
        let db = f32::from_bits(self.0.load(Ordering::Relaxed));
        (!db.is_nan()).then_some(db)
    }

    fn set(&self, db: f32) {
        self.0.store(db.to_bits(), Ordering::Relaxed);
    }
}

/// Accumulates the squares of a second's samples.
#[derive(Default)]
struct RmsAccumulator {
    squares: f64,
    samples: u32,
}

impl RmsAccumulator {
    /// Adds a sample; full scale is 1.
    fn add(&mut self, sample: f64) {
        self.squares += sample * sample;
        self.samples += 1;
    }

    /// The level in dB once there are `samples` of them. The next ones count anew.
    fn sample(&mut self, samples: u32) -> Option<f32> {
        if self.samples < samples {
            return None;
        }
        let mean = core::mem::take(self).mean();
        #[allow(clippy::cast_possible_truncation)]
        let db = (10.0 * mean.log10()) as f32;
        // A tenth of a dB is exact enough.
        Some((db.clamp(SILENCE_DB, 0.0) * 10.0).round() / 10.0)
    }

    fn mean(&self) -> f64 {
        self.squares / f64::from(self.samples)
    }
}

/// Samples per second of all channels, and whether they are floating-point.
#[derive(Clone, Copy)]
struct SampleFormat {
    per_second: u32,
    is_float: bool,
}

impl SampleFormat {
    /// `None`: neither of the two formats that the AAC encoders here take.
    fn from_caps(caps: &gst::StructureRef) -> Option<Self> {
        let number = |field| u32::try_from(caps.get::<i32>(field).ok()?).ok();
        let is_float = match caps.get::<&str>("format").ok()? {
            "F32LE" => true,
            "S16LE" => false,
            _ => return None,
        };
        Some(Self { per_second: number("rate")? * number("channels")?, is_float })
    }
}

/// Has `meter` measure what `element` gives.
pub(crate) fn measure(meter: &Arc<LevelMeter>, element: &gst::Element) -> Option<()> {
    let pad = element.static_pad("src")?;
    let (meter, accumulator, format) = (meter.clone(), Mutex::new(RmsAccumulator::default()), Mutex::new(None));
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let (Ok(mut accumulator), Ok(mut format)) = (accumulator.lock(), format.lock()) else {
            return gst::PadProbeReturn::Ok;
        };
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) {
            *format = caps.caps().structure(0).and_then(SampleFormat::from_caps);
        }
        let (Some(buffer), Some(SampleFormat { per_second, is_float })) = (info.buffer(), *format) else {
            return gst::PadProbeReturn::Ok;
        };
        let Ok(bytes) = buffer.map_readable() else { return gst::PadProbeReturn::Ok };
        if is_float {
            let samples = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            samples.for_each(|sample| accumulator.add(f64::from(sample)));
        } else {
            let samples = bytes.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]));
            samples.for_each(|sample| accumulator.add(f64::from(sample) / 32_768.0));
        }
        if let Some(db) = accumulator.sample(per_second) {
            meter.set(db);
        }
        gst::PadProbeReturn::Ok
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(samples: impl Iterator<Item = f64>) -> f32 {
        let mut accumulator = RmsAccumulator::default();
        samples.for_each(|sample| accumulator.add(sample));
        accumulator.sample(1).unwrap()
    }

    #[test]
    fn levels_are_those_of_the_textbook() {
        let tone = |amplitude: f64| level((0..48_000).map(move |n| amplitude * (f64::from(n) * 0.1309).sin()));
        let square = level([1.0, -1.0].into_iter());
        let found = [level([0.0; 100].into_iter()), square, tone(1.0), tone(0.1), tone(1e-9)];
        assert_eq!(found.map(|db| format!("{db:.1}")), ["-100.0", "0.0", "-3.0", "-23.0", "-100.0"]);
    }

    #[test]
    fn without_samples_there_is_no_level() {
        assert_eq!(RmsAccumulator::default().sample(1), None);
    }
}
