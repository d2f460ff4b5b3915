//! By how much audio has to be resampled to stay on the clock. Pure: measured offsets in, a correction out.
//!
//! Offsets have jitter, and are only ever too late: a sound card's samples are read some time after they were captured,
//! never before. So the smallest offset of a second counts, and a slow PI controller follows it.

/// The smallest offset is searched in so much audio, in seconds. Of a hundred reads one is prompt, even on a busy
/// machine.
const WINDOW: f64 = 1.0;
/// The part of the offset that is corrected per second. So slow, the jitter that remains moves the pitch by some ten
/// ppm.
const PROPORTIONAL: f64 = 1.0 / 10.0;
/// It learns the card's own deviation. A quarter of the other's square makes the loop critically damped.
const INTEGRAL: f64 = PROPORTIONAL * PROPORTIONAL / 4.0;
/// 1.7 hundredths of a semitone, of which people hear 5. Sound cards are off by 10 to 200 ppm.
pub(super) const MAX_CORRECTION_PPM: f64 = 1000.0;
/// A larger offset, in seconds, is no drift: samples were lost. People notice 40 ms.
const LOSS_THRESHOLD: f64 = 0.03;

/// The controller of one microphone, from its opening to its close.
#[derive(Debug, Default)]
pub(super) struct DriftController {
    /// The smallest offset of the present window, and the length of audio in it, both in seconds.
    smallest: Option<f64>,
    window_span: f64,
    /// The last window's offset, if it was too large for drift.
    outlier: Option<f64>,
    integral_ppm: f64,
    ppm: f64,
}

impl DriftController {
    /// Takes a measurement, both parts in seconds. `offset`: by how much later a sample was captured by the clock than
    /// by the audio that was produced so far. `span`: the length of the audio since the last measurement. Returns by
    /// how much the audio has to jump, if samples were lost, of which two windows in a row have to give evidence.
    pub(super) fn update(&mut self, offset: f64, span: f64) -> Option<f64> {
        self.smallest = Some(self.smallest.map_or(offset, |smallest| smallest.min(offset)));
        self.window_span += span;
        if self.window_span < WINDOW {
            return None;
        }
        let offset = self.smallest.take().unwrap_or(offset);
        let span = core::mem::take(&mut self.window_span);
        if offset.abs() > LOSS_THRESHOLD {
            let before = self.outlier.replace(offset)?;
            if before.signum() != offset.signum() {
                return None;
            }
            self.outlier = None;
            return Some(if offset.abs() < before.abs() { offset } else { before });
        }
        self.outlier = None;
        let wanted = 1e6 * PROPORTIONAL * offset + self.integral_ppm;
        self.ppm = wanted.clamp(-MAX_CORRECTION_PPM, MAX_CORRECTION_PPM);
        // Anti-windup: what exceeds the limit is not integrated.
        if wanted.abs() < MAX_CORRECTION_PPM {
            self.integral_ppm += 1e6 * INTEGRAL * offset * span;
        }
        None
    }

    /// By how much the audio is to be made longer, in ppm.
    pub(super) fn correction_ppm(&self) -> f64 {
        self.ppm
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sound is read in blocks of 10 ms.
    const BLOCK: f64 = 0.01;

    /// A sound card and the controller, in simulated time.
    struct Card {
        /// How much faster than the clock it is, in ppm.
        fast_ppm: f64,
        /// How late samples are read on average, in seconds; one read in a thousand is late by ten times as much.
        jitter: f64,
        random: fastrand::Rng,
        drift: DriftController,
        blocks: u32,
        /// The time that the next sample gets, in seconds.
        next_time: f64,
    }

    impl Card {
        fn new(fast_ppm: f64, jitter: f64, seed: u64) -> Self {
            let random = fastrand::Rng::with_seed(seed);
            Self { fast_ppm, jitter, random, drift: DriftController::default(), blocks: 0, next_time: 0.0 }
        }

        /// When the next sample is captured, by the clock, in seconds.
        fn captured_at(&self) -> f64 {
            f64::from(self.blocks) * BLOCK / (1.0 + self.fast_ppm * 1e-6)
        }

        /// The time that it would get if samples were merely counted.
        fn counted(&self) -> f64 {
            f64::from(self.blocks) * BLOCK
        }

        /// One block. Returns how far the audio is from the clock, in seconds.
        fn step(&mut self) -> f64 {
            let rare = if self.random.u32(..1000) == 0 { 10.0 } else { 1.0 };
            let late = -self.jitter * rare * (1.0 - self.random.f64()).ln();
            if let Some(jump) = self.drift.update(self.captured_at() + late - self.next_time, BLOCK) {
                self.next_time += jump;
            }
            self.blocks += 1;
            self.next_time += BLOCK * (1.0 + self.drift.correction_ppm() * 1e-6);
            self.next_time - self.captured_at()
        }

        fn steps(&mut self, blocks: u32) {
            for _ in 0..blocks {
                let _ = self.step();
            }
        }
    }

    #[test]
    fn audio_and_pictures_stay_together_for_4_hours() {
        const HOURS_4: u32 = 4 * 3600;
        for fast_ppm in [-100.0, 100.0] {
            let mut card = Card::new(fast_ppm, 0.005, 4);
            let (mut worst, mut camera) = (0.0f64, fastrand::Rng::with_seed(30));
            for second in 0..HOURS_4 {
                let audio = (0..100).fold(0.0f64, |worst, _| worst.max(card.step().abs()));
                // The camera names 30 and gives 29.97. Its pictures get the time at which they came, up to 5 ms late.
                let picture = 0.005 * camera.f64();
                if second >= 60 {
                    worst = worst.max(audio + picture);
                }
            }
            let counted = card.counted() - card.captured_at();
            let pictures = f64::from(HOURS_4) * 30_000.0 / 1001.0 / 30.0 - f64::from(HOURS_4);
            assert!(worst < 0.040, "{worst}");
            assert!((counted - f64::from(HOURS_4) * fast_ppm * 1e-6).abs() < 0.001, "{counted}");
            assert!(counted.abs() > 1.43 && pictures < -14.0, "without correction this test would be idle");
        }
    }

    #[test]
    fn lost_samples_are_corrected_within_3_s() {
        for lost in [-0.2, -0.05, 0.05, 1.5] {
            let mut card = Card::new(50.0, 0.003, 1);
            card.steps(12_000);
            // The clock went on, and the samples of that time are missing, or came twice.
            card.next_time -= lost;
            card.steps(300);
            let left = card.step();
            assert!(left.abs() < 0.005, "{lost}: {left}");
        }
    }

    #[test]
    fn a_second_of_late_reads_causes_no_jump() {
        let mut card = Card::new(50.0, 0.001, 1);
        card.steps(6000);
        let mut jumps = 0;
        for block in 0..6000 {
            let stalled = (1000..1100).contains(&block);
            let late = card.captured_at() - card.next_time + if stalled { 0.2 } else { 0.0 };
            jumps += u32::from(card.drift.update(late, BLOCK).is_some());
            card.blocks += 1;
            card.next_time += BLOCK * (1.0 + card.drift.correction_ppm() * 1e-6);
        }
        assert_eq!(jumps, 0);
        assert!((card.next_time - card.captured_at()).abs() < 0.005);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_card_is_followed(
            fast_ppm in -500.0..500.0f64,
            jitter in 0.0..0.01f64,
            seed: u64,
            offset in -0.025..0.025f64,
        ) {
            let mut card = Card::new(fast_ppm, jitter, seed);
            card.next_time = offset;
            for block in 0..30_000 {
                let apart = card.step().abs();
                prop_assert!(apart < 0.040, "{apart} after {block} blocks");
                prop_assert!(block < 12_000 || apart < 0.008, "{apart} after {block} blocks");
                prop_assert!(card.drift.correction_ppm().abs() <= MAX_CORRECTION_PPM);
            }
            // A fast card gives too many samples: its audio is made shorter.
            let correction = card.drift.correction_ppm();
            prop_assert!((correction + fast_ppm).abs() < 150.0, "{correction} for {fast_ppm}");
        }
    }
}
