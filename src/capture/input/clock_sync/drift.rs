//! By how much sound has to be stretched so that it stays with the clock. Pure: measurements in, a correction out.
//!
//! What is measured is jittery, and late only: a sound card's samples are read some time after they were taken, never
//! before. So the earliest of a second counts, and a slow proportional and integral loop follows it.

/// Over how much sound the earliest measurement is sought, in seconds: of a hundred reads one is prompt, also on a busy
/// machine.
const WINDOW: f64 = 1.0;
/// Part of the distance that is made good in a second: so slow that what jitter remains moves the pitch by some ten ppm
/// only.
const PROPORTIONAL: f64 = 1.0 / 10.0;
/// Critically damped: a quarter of the other's square. The card's own deviation is learnt by this one.
const INTEGRAL: f64 = PROPORTIONAL * PROPORTIONAL / 4.0;
/// The most that sound is stretched, in ppm: 1.7 hundredths of a semitone, of which people hear 5. Sound cards are off
/// by 10 to 200.
pub(super) const MAX_CORRECTION_PPM: f64 = 1000.0;
/// Farther off than this, in seconds, is no drift: samples were lost. It is below what people notice, which is 40 ms.
const LOSS_THRESHOLD: f64 = 0.03;

/// The loop of one microphone, from its opening to its close.
#[derive(Debug, Default)]
pub(super) struct DriftController {
    /// The earliest measurement of the present window, and how much sound that window has had, both in seconds.
    earliest: Option<f64>,
    heard: f64,
    /// The last window's, where it was too far off for drift.
    lost: Option<f64>,
    integral_ppm: f64,
    ppm: f64,
}

impl DriftController {
    /// Takes a measurement: `late` is how much later a sample was taken by the clock than the stretched sound says, and
    /// `span` how much sound has come since the last measurement; both in seconds. Returns by how much the sound has to
    /// jump, which is only where samples were lost: two windows agree on it.
    pub(super) fn update(&mut self, late: f64, span: f64) -> Option<f64> {
        self.earliest = Some(self.earliest.map_or(late, |earliest| earliest.min(late)));
        self.heard += span;
        if self.heard < WINDOW {
            return None;
        }
        let late = self.earliest.take().unwrap_or(late);
        let span = core::mem::take(&mut self.heard);
        if late.abs() > LOSS_THRESHOLD {
            let before = self.lost.replace(late)?;
            if before.signum() != late.signum() {
                return None;
            }
            self.lost = None;
            return Some(if late.abs() < before.abs() { late } else { before });
        }
        self.lost = None;
        let wanted = 1e6 * PROPORTIONAL * late + self.integral_ppm;
        self.ppm = wanted.clamp(-MAX_CORRECTION_PPM, MAX_CORRECTION_PPM);
        // What cannot be followed is not learnt from.
        if wanted.abs() < MAX_CORRECTION_PPM {
            self.integral_ppm += 1e6 * INTEGRAL * late * span;
        }
        None
    }

    /// By how much the sound is to be made longer, in ppm.
    pub(super) fn ppm(&self) -> f64 {
        self.ppm
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sound is read in blocks of 10 ms.
    const BLOCK: f64 = 0.01;

    /// A sound card in front of the loop, in simulated time.
    struct Card {
        /// How much faster than the clock it is, in ppm.
        fast_ppm: f64,
        /// How late samples are read on average, in seconds; one read in a thousand is late by ten times as much.
        jitter: f64,
        random: fastrand::Rng,
        drift: DriftController,
        blocks: u32,
        /// The time that the next sample gets, in seconds.
        given: f64,
    }

    impl Card {
        fn new(fast_ppm: f64, jitter: f64, seed: u64) -> Self {
            let random = fastrand::Rng::with_seed(seed);
            Self { fast_ppm, jitter, random, drift: DriftController::default(), blocks: 0, given: 0.0 }
        }

        /// When the next sample is taken, by the clock, in seconds.
        fn captured_at(&self) -> f64 {
            f64::from(self.blocks) * BLOCK / (1.0 + self.fast_ppm * 1e-6)
        }

        /// What it would be given if samples were merely counted.
        fn counted(&self) -> f64 {
            f64::from(self.blocks) * BLOCK
        }

        /// One block; returns how far the sound is from the clock, in seconds.
        fn step(&mut self) -> f64 {
            let rare = if self.random.u32(..1000) == 0 { 10.0 } else { 1.0 };
            let late = -self.jitter * rare * (1.0 - self.random.f64()).ln();
            if let Some(jump) = self.drift.update(self.captured_at() + late - self.given, BLOCK) {
                self.given += jump;
            }
            self.blocks += 1;
            self.given += BLOCK * (1.0 + self.drift.ppm() * 1e-6);
            self.given - self.captured_at()
        }
    }

    impl Card {
        fn steps(&mut self, blocks: u32) {
            for _ in 0..blocks {
                let _ = self.step();
            }
        }
    }

    #[test]
    fn sound_and_picture_stay_together_for_4_hours() {
        const HOURS_4: u32 = 4 * 3600;
        for fast_ppm in [-100.0, 100.0] {
            let mut card = Card::new(fast_ppm, 0.005, 4);
            let (mut worst, mut camera) = (0.0f64, fastrand::Rng::with_seed(30));
            for second in 0..HOURS_4 {
                let sound = (0..100).fold(0.0f64, |worst, _| worst.max(card.step().abs()));
                // The camera says 30 and gives 29.97: its pictures are given the time at which they came, up to 5 ms
                // late.
                let picture = 0.005 * camera.f64();
                if second >= 60 {
                    worst = worst.max(sound + picture);
                }
            }
            let counted = card.counted() - card.captured_at();
            let pictures = f64::from(HOURS_4) * 30_000.0 / 1001.0 / 30.0 - f64::from(HOURS_4);
            println!(
                "{fast_ppm:+} ppm for 4 h: at most {:.1} ms apart; merely counted, sound {counted:+.2} s and pictures {pictures:+.1} s",
                worst * 1000.0
            );
            assert!(worst < 0.040, "{worst}");
            assert!((counted - f64::from(HOURS_4) * fast_ppm * 1e-6).abs() < 0.001, "{counted}");
            assert!(counted.abs() > 1.43 && pictures < -14.0, "without correction this test would be idle");
        }
    }

    #[test]
    fn lost_samples_are_made_good_within_3_s() {
        for lost in [-0.2, -0.05, 0.05, 1.5] {
            let mut card = Card::new(50.0, 0.003, 1);
            card.steps(12_000);
            // The clock went on, and the samples of that time never came, or came twice.
            card.given -= lost;
            card.steps(300);
            let left = card.step();
            assert!(left.abs() < 0.005, "{lost}: {left}");
        }
    }

    #[test]
    fn a_machine_that_reads_late_for_a_second_makes_no_jump() {
        let mut card = Card::new(50.0, 0.001, 1);
        card.steps(6000);
        let mut jumps = 0;
        for block in 0..6000 {
            let stalled = (1000..1100).contains(&block);
            let late = card.captured_at() - card.given + if stalled { 0.2 } else { 0.0 };
            jumps += u32::from(card.drift.update(late, BLOCK).is_some());
            card.blocks += 1;
            card.given += BLOCK * (1.0 + card.drift.ppm() * 1e-6);
        }
        assert_eq!(jumps, 0);
        assert!((card.given - card.captured_at()).abs() < 0.005);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_card_is_followed(fast_ppm in -500.0..500.0f64, jitter in 0.0..0.01f64, seed: u64, off in -0.025..0.025f64) {
            let mut card = Card::new(fast_ppm, jitter, seed);
            card.given = off;
            for block in 0..30_000 {
                let apart = card.step().abs();
                prop_assert!(apart < 0.040, "{apart} after {block} blocks");
                prop_assert!(block < 12_000 || apart < 0.008, "{apart} after {block} blocks");
                prop_assert!(card.drift.ppm().abs() <= MAX_CORRECTION_PPM);
            }
            // A fast card gives too many samples: its sound is made shorter.
            prop_assert!((card.drift.ppm() + fast_ppm).abs() < 150.0, "{} for {fast_ppm}", card.drift.ppm());
        }
    }
}
