//! Makes audio a little longer or shorter without a click: a polyphase filter computes each new sample from the 32
//! around its position.

/// Samples that each new one is computed from.
const TAPS: usize = 32;
/// So many of them are before its position, apart from the one at it.
const TAPS_BEFORE: usize = TAPS / 2 - 1;
/// Positions between two samples for which there are weights. In between they are interpolated, with an error below
/// -100 dB.
const PHASES: usize = 512;

/// The weights: a sinc in a Blackman window, one row for each phase. Its passband ends at 0.8 of half the rate.
fn weights() -> Vec<[f32; TAPS]> {
    let row = |phase: usize| {
        let mut row = [0.0f64; TAPS];
        for (tap, weight) in row.iter_mut().enumerate() {
            let x = to_f64(tap) - to_f64(TAPS_BEFORE) - to_f64(phase) / to_f64(PHASES);
            let angle = core::f64::consts::PI * x;
            let sinc = if x.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
            let turn = 2.0 * angle / to_f64(TAPS);
            *weight = sinc * (0.42 + 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos());
        }
        // The same gain for all phases.
        let sum: f64 = row.iter().sum();
        #[allow(clippy::cast_possible_truncation)]
        row.map(|weight| (weight / sum) as f32)
    };
    (0..=PHASES).map(row).collect()
}

/// For small numbers, which are exact.
#[allow(clippy::cast_precision_loss)]
fn to_f64(number: usize) -> f64 {
    number as f64
}

/// An asynchronous sample rate converter, whose ratio may change with each call.
pub(super) struct Resampler {
    channels: usize,
    weights: Vec<[f32; TAPS]>,
    /// Samples of all channels that are still needed, interleaved.
    history: Vec<f32>,
    /// The position of the next new sample in `history`, in samples of one channel.
    position: f64,
}

impl Resampler {
    /// For audio of so many channels.
    pub(super) fn new(channels: usize) -> Self {
        Self { channels, weights: weights(), history: vec![0.0; TAPS_BEFORE * channels], position: to_f64(TAPS_BEFORE) }
    }

    /// How many samples of one channel have been pushed and are not in the output: about half of `TAPS`.
    pub(super) fn pending(&self) -> f64 {
        to_f64(self.history.len() / self.channels) - self.position
    }

    /// Appends `samples` to `out`, longer by `ppm`.
    pub(super) fn push(&mut self, samples: impl Iterator<Item = i16>, ppm: f64, out: &mut Vec<i16>) {
        self.history.extend(samples.map(f32::from));
        let step = 1.0 / (1.0 + ppm * 1e-6);
        let samples = self.history.len() / self.channels;
        loop {
            // Never negative, and never large.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let whole = self.position as usize;
            if whole + TAPS - TAPS_BEFORE > samples {
                break;
            }
            self.sample(whole, self.position - to_f64(whole), out);
            self.position += step;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let over = (self.position as usize).saturating_sub(TAPS_BEFORE).min(samples);
        self.history.drain(..over * self.channels);
        self.position -= to_f64(over);
    }

    /// The new sample of each channel, `part` of a sample after `whole`.
    fn sample(&self, whole: usize, part: f64, out: &mut Vec<i16>) {
        let phase = part * to_f64(PHASES);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let row = (phase as usize).min(PHASES - 1);
        #[allow(clippy::cast_possible_truncation)]
        let between = (phase - to_f64(row)) as f32;
        let (Some(here), Some(next)) = (self.weights.get(row), self.weights.get(row + 1)) else { return };
        let first = (whole - TAPS_BEFORE) * self.channels;
        let Some(around) = self.history.get(first..first + TAPS * self.channels) else { return };
        for channel in 0..self.channels {
            let mut sum = 0.0;
            for ((tap, here), next) in around.chunks_exact(self.channels).zip(here).zip(next) {
                sum += tap[channel] * (here + (next - here) * between);
            }
            #[allow(clippy::cast_possible_truncation)]
            out.push(sum.round() as i16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 48_000.0;

    #[allow(clippy::cast_possible_truncation)]
    fn tone(hertz: f64, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| (16_000.0 * (to_f64(n) * hertz * core::f64::consts::TAU / RATE).sin()) as i16).collect()
    }

    /// What of `samples` is not a tone of `hertz`, relative to the tone, in dB.
    fn rest_db(samples: &[i16], hertz: f64) -> f64 {
        let turns = samples.iter().enumerate().map(|(n, sample)| {
            let angle = to_f64(n) * hertz * core::f64::consts::TAU / RATE;
            (f64::from(*sample), angle.sin(), angle.cos())
        });
        // Least squares: the tone's two parts are not quite orthogonal over a broken number of turns.
        let sum = |of: fn((f64, f64, f64)) -> f64| turns.clone().map(of).sum::<f64>();
        let (ss, sc, cc) = (sum(|(_, s, _)| s * s), sum(|(_, s, c)| s * c), sum(|(_, _, c)| c * c));
        let (xs, xc, all) = (sum(|(x, s, _)| x * s), sum(|(x, _, c)| x * c), sum(|(x, _, _)| x * x));
        let both = ss * cc - sc * sc;
        let (sin, cos) = ((xs * cc - xc * sc) / both, (xc * ss - xs * sc) / both);
        let rest: f64 = turns.map(|(x, s, c)| (x - sin * s - cos * c).powi(2)).sum();
        10.0 * (rest / all).log10()
    }

    #[test]
    fn a_tone_stays_clean() {
        for (hertz, ppm, block) in [
            (1000.0, 100.0, 480),
            (1000.0, -100.0, 480),
            (440.0, 1000.0, 37),
            (10_000.0, -1000.0, 1024),
            (997.0, 0.0, 480),
        ] {
            let (mut resampler, mut out) = (Resampler::new(1), Vec::new());
            for block in tone(hertz, 96_000).chunks(block) {
                resampler.push(block.iter().copied(), ppm, &mut out);
            }
            let wanted = 96_000.0 * (1.0 + ppm * 1e-6);
            let all = to_f64(out.len()) + resampler.pending();
            assert!((all - wanted).abs() < 1.1, "{all} for {wanted}");
            let rest = rest_db(&out[1000..], hertz / (1.0 + ppm * 1e-6));
            assert!(rest < -80.0, "{hertz} Hz, {ppm} ppm: {rest}");
        }
    }

    #[test]
    fn a_change_of_the_ratio_is_no_click() {
        // The second difference of the output is that of the tone itself.
        let (mut resampler, mut out) = (Resampler::new(1), Vec::new());
        for (turn, block) in tone(1000.0, 96_000).chunks(480).enumerate() {
            let ppm = if turn % 2 == 0 { 1000.0 } else { -1000.0 };
            resampler.push(block.iter().copied(), ppm, &mut out);
        }
        let bend = |three: &[i16]| i32::from(three[0]) - 2 * i32::from(three[1]) + i32::from(three[2]);
        let most = out[1000..].windows(3).map(|three| bend(three).abs()).max().unwrap();
        let own = tone(1000.0, 96_000).windows(3).map(|three| bend(three).abs()).max().unwrap();
        assert!(most <= own + 3, "{most} against {own}");
    }

    #[test]
    fn channels_stay_separate_and_do_not_wrap() {
        let (mut resampler, mut out) = (Resampler::new(2), Vec::new());
        let square = |n: usize| if (n / 50).is_multiple_of(2) { i16::MAX } else { i16::MIN };
        resampler.push((0..4800).flat_map(|n| [square(n), 0]), 300.0, &mut out);
        assert!(out.chunks_exact(2).all(|both| both[1] == 0));
        let middle = out.chunks_exact(2).skip(120).step_by(100).take(20).map(|both| both[0]);
        assert!(middle.clone().all(|sample| sample > 30_000), "{:?}", middle.collect::<Vec<_>>());
    }
}
