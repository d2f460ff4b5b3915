//! Keeps a sound card's samples on the pipeline's clock. A card's own crystal is off by some 100 ppm against the clock
//! that times the pictures: 1.4 s in four hours. GStreamer's sources do not resample to correct this: their "resample"
//! is the same as "skew", which skips samples. So the samples are resampled right after the source.

mod drift;
mod resampler;

use std::sync::Mutex;

use gst::prelude::*;
use gstreamer as gst;

use drift::DriftController;
use resampler::Resampler;

/// The microphone's audio since it was opened.
struct ClockSync {
    rate: u32,
    channels: usize,
    drift: DriftController,
    resampler: Resampler,
    /// The clock's time of the first sample, and how many samples of one channel were produced since.
    start: gst::ClockTime,
    produced: u64,
    /// Samples of one channel that are still to be discarded, after a jump back.
    discard: usize,
}

/// How long `samples` last.
fn duration(samples: u64, rate: u32) -> gst::ClockTime {
    let second = gst::ClockTime::SECOND.nseconds();
    gst::ClockTime::from_nseconds(
        samples / u64::from(rate) * second + samples % u64::from(rate) * second / u64::from(rate),
    )
}

/// From one time to another in seconds. A session is hours long; a double resolves every nanosecond of that.
#[allow(clippy::cast_precision_loss)]
fn seconds(from: gst::ClockTime, to: gst::ClockTime) -> f64 {
    (i128::from(to.nseconds()) - i128::from(from.nseconds())) as f64 / 1e9
}

impl ClockSync {
    fn new(rate: u32, channels: usize, start: gst::ClockTime) -> Self {
        let (drift, resampler) = (DriftController::default(), Resampler::new(channels));
        Self { rate, channels, drift, resampler, start, produced: 0, discard: 0 }
    }

    fn next_time(&self) -> gst::ClockTime {
        self.start + duration(self.produced, self.rate)
    }

    /// Resamples `audio`, whose first sample was captured at `captured_at`, to the length that it has by the clock.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    fn resample(&mut self, audio: &[u8], captured_at: gst::ClockTime) -> Vec<i16> {
        let rate = f64::from(self.rate);
        let samples = audio.len() / 2 / self.channels;
        let offset =
            seconds(self.next_time(), captured_at) - self.resampler.pending() / rate + self.discard as f64 / rate;
        let jump = self.drift.update(offset, samples as f64 / rate).map_or(0.0, |jump| (jump * rate).round());
        let mut out = Vec::with_capacity((samples + 64) * self.channels);
        if jump != 0.0 {
            tracing::warn!("{:.0} ms of the microphone's sound were lost", jump / rate * 1000.0);
        }
        // Lost samples are replaced with silence; samples that came twice are discarded.
        out.resize(jump.max(0.0) as usize * self.channels, 0);
        self.discard += (-jump).max(0.0) as usize;
        let samples = audio.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]));
        self.resampler.push(samples, self.drift.correction_ppm(), &mut out);
        let discard = self.discard.min(out.len() / self.channels);
        self.discard -= discard;
        out.drain(..discard * self.channels);
        out
    }

    /// [`Self::resample`] for a whole buffer. `None`: all of it is discarded.
    fn process(&mut self, audio: &[u8], captured_at: gst::ClockTime) -> Option<gst::Buffer> {
        let out = self.resample(audio, captured_at);
        if out.is_empty() {
            return None;
        }
        let pts = self.next_time();
        self.produced += (out.len() / self.channels) as u64;
        let mut buffer =
            gst::Buffer::from_mut_slice(out.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>());
        let edit = buffer.make_mut();
        edit.set_pts(pts);
        edit.set_duration(self.next_time() - pts);
        Some(buffer)
    }
}

/// The caps ahead of [`attach`]: the card's own rate, and samples that it can compute with.
pub(super) fn input_caps() -> gst::Caps {
    gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("channels", gst::IntRange::new(1, 2))
        .build()
}

/// Synchronizes what passes `pad`. Its caps have to be within [`input_caps`], its timestamps readings of the pipeline's
/// clock.
pub(super) fn attach(pad: &gst::Pad) {
    let sync: Mutex<Option<ClockSync>> = Mutex::new(None);
    let format: Mutex<Option<(u32, usize)>> = Mutex::new(None);
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
    pad.add_probe(mask, move |_, info| {
        let (Ok(mut sync), Ok(mut format)) = (sync.lock(), format.lock()) else { return gst::PadProbeReturn::Ok };
        if let Some(event) = info.event() {
            if let gst::EventView::Caps(caps) = event.view() {
                let read = caps.caps().structure(0).and_then(rate_and_channels);
                if *format != read {
                    (*format, *sync) = (read, None);
                }
            } else if matches!(event.type_(), gst::EventType::FlushStop | gst::EventType::Segment) {
                *sync = None;
            }
            return gst::PadProbeReturn::Ok;
        }
        let Some((rate, channels)) = *format else { return gst::PadProbeReturn::Ok };
        let Some(buffer) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
        let Some(captured_at) = buffer.pts() else { return gst::PadProbeReturn::Drop };
        let sync = sync.get_or_insert_with(|| ClockSync::new(rate, channels, captured_at));
        let synced = buffer.map_readable().ok().and_then(|audio| sync.process(&audio, captured_at));
        let Some(synced) = synced else { return gst::PadProbeReturn::Drop };
        *buffer = synced;
        gst::PadProbeReturn::Ok
    });
}

fn rate_and_channels(caps: &gst::StructureRef) -> Option<(u32, usize)> {
    let number = |field| u32::try_from(caps.get::<i32>(field).ok()?).ok();
    Some((number("rate")?, usize::try_from(number("channels")?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_samples_become_silence_and_repeated_ones_are_discarded() {
        gst::init().unwrap();
        let block: Vec<u8> = [1000_i16; 80].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let step = gst::ClockTime::from_mseconds(10);
        for off_ms in [0, 100, -100, 2000, -500] {
            let begin = gst::ClockTime::from_seconds(10);
            let (mut sync, mut captured_at, mut silent) = (ClockSync::new(8000, 1, begin), begin, 0);
            for block_number in 0..900 {
                if block_number == 500 {
                    let off = gst::ClockTime::from_mseconds(u64::from(i32::unsigned_abs(off_ms)));
                    captured_at = if off_ms < 0 { captured_at - off } else { captured_at + off };
                }
                let next = sync.next_time();
                if let Some(buffer) = sync.process(&block, captured_at) {
                    assert_eq!(buffer.pts(), Some(next));
                    assert_eq!(buffer.duration(), Some(sync.next_time() - next));
                    let audio = buffer.map_readable().unwrap();
                    silent += audio.chunks_exact(2).filter(|sample| *sample == [0, 0]).count();
                }
                captured_at += step;
            }
            let apart = seconds(sync.next_time(), captured_at) - sync.resampler.pending() / 8000.0;
            assert!(apart.abs() < 0.002, "{off_ms} ms: {apart}");
            let wanted = usize::try_from(off_ms.max(0)).unwrap() * 8;
            assert!(silent.abs_diff(wanted) < 20, "{silent} silent samples after {off_ms} ms");
        }
    }
}
