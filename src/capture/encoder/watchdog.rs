//! Whether the encoder does its work: what goes in, what comes out, and what is wrong with that. Pure: time is given.
//!
//! On boxes in the field hardware encoders hang (nothing comes out), send no keyframe any more, or give frames that are
//! all of one size and no picture; each keeps a connection alive that nobody can watch.

use std::time::Duration;

use monotonic::Monotonic;

/// More time than this between two looks was not the encoder's: this process itself did not run.
const LONGEST_LOOK: Duration = Duration::from_millis(250);
/// A source that gave nothing for this long is not waited for.
const SOURCE: Duration = Duration::from_secs(1);
/// So many keyframe intervals without a keyframe are too many; one late keyframe is not.
const INTERVALS: u32 = 3;

/// What is wrong with an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EncoderStall {
    /// Pictures go in, and no frame comes out.
    Silent,
    /// Frames come out, and no keyframe among them.
    NoKeyframe,
    /// Keyframes and others are all of one size: no encoder that sees pictures does that.
    ConstantSize,
}

impl EncoderStall {
    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Silent => "pictures go in and no frame comes out",
            Self::NoKeyframe => "no keyframe comes out any more",
            Self::ConstantSize => "every frame has the same size, keyframe or not",
        }
    }
}

/// Watches one encoder.
#[derive(Debug)]
pub(crate) struct EncoderWatchdog {
    patience: Duration,
    /// Frames in a keyframe interval.
    interval: u32,
    looked: Option<Monotonic>,
    /// A picture is being handed over: the encoder has room for no more.
    handing: bool,
    /// When a picture last went in.
    fed: Option<Monotonic>,
    /// For how long pictures have gone in without a frame coming out.
    silent: Duration,
    /// Frames since the last keyframe.
    without_key: u32,
    size: usize,
    same: u32,
    same_key: bool,
    same_other: bool,
}

impl EncoderWatchdog {
    /// `patience`: how long an encoder may give nothing. `interval`: frames from one keyframe to the next.
    pub(crate) fn new(patience: Duration, interval: u32) -> Self {
        Self {
            patience,
            interval: interval.max(1),
            looked: None,
            handing: false,
            fed: None,
            silent: Duration::ZERO,
            without_key: 0,
            size: 0,
            same: 0,
            same_key: false,
            same_other: false,
        }
    }

    /// A picture is about to go in.
    pub(crate) fn hand(&mut self, now: Monotonic) {
        self.fed = Some(now);
        self.handing = true;
    }

    /// It went in.
    pub(crate) fn handed(&mut self, now: Monotonic) {
        self.fed = Some(now);
        self.handing = false;
    }

    /// A frame went past the parser: it looks like one.
    pub(crate) fn arrived(&mut self, key: bool) {
        self.silent = Duration::ZERO;
        self.without_key = if key { 0 } else { self.without_key.saturating_add(1) };
    }

    /// The encoder gave a frame of `size` bytes.
    pub(crate) fn gave(&mut self, size: usize, key: bool) {
        if size != self.size {
            (self.size, self.same, self.same_key, self.same_other) = (size, 0, false, false);
        }
        self.same = self.same.saturating_add(1);
        self.same_key |= key;
        self.same_other |= !key;
    }

    /// Looks, a few times a second at least; what is wrong, if something is.
    pub(crate) fn look(&mut self, now: Monotonic) -> Option<EncoderStall> {
        let passed = self.looked.map_or(Duration::ZERO, |looked| now.duration_since(looked)).min(LONGEST_LOOK);
        self.looked = Some(now);
        if self.handing || self.fed.is_some_and(|fed| now.duration_since(fed) < SOURCE) {
            self.silent += passed;
        }
        if self.silent >= self.patience {
            return Some(EncoderStall::Silent);
        }
        if self.without_key > INTERVALS.saturating_mul(self.interval) {
            return Some(EncoderStall::NoKeyframe);
        }
        // A picture that stands still gives frames of one size, but a keyframe is larger than they are.
        let long = self.same > self.interval && self.same > 30;
        (long && self.same_key && self.same_other).then_some(EncoderStall::ConstantSize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(50);

    /// Plays `frames` (bytes and whether it is a keyframe, or nothing) one each 50 ms; what is found, and at which.
    fn play(frames: impl IntoIterator<Item = Option<(usize, bool)>>) -> Option<(usize, EncoderStall)> {
        let mut vigil = EncoderWatchdog::new(Duration::from_secs(3), 40);
        let mut now = Monotonic::default();
        frames.into_iter().enumerate().find_map(|(number, frame)| {
            now = now.saturating_add(STEP);
            vigil.hand(now);
            vigil.handed(now);
            if let Some((size, key)) = frame {
                vigil.gave(size, key);
                vigil.arrived(key);
            }
            Some((number, vigil.look(now)?))
        })
    }

    #[allow(clippy::unnecessary_wraps)] // as `play` takes them
    fn usual(number: usize) -> Option<(usize, bool)> {
        let key = number.is_multiple_of(40);
        Some((if key { 9_000 } else { 700 + number % 13 }, key))
    }

    #[test]
    fn nothing_is_found_where_nothing_is_wrong() {
        assert_eq!(play((0..10_000).map(usual)), None);
        // A picture that stands still, in the dark: small frames of one size, and keyframes.
        assert_eq!(
            play((0..1000).map(|number| Some((if number % 40 == 0 { 300 } else { 31 }, number % 40 == 0)))),
            None
        );
        // Every frame a keyframe, all alike: there is nothing to compare them with.
        assert_eq!(play((0..1000).map(|_| Some((300, true)))), None);
        // A keyframe that is late by an interval and a half.
        assert_eq!(play((0..1000).map(|number| Some((700 + number % 13, number % 100 == 0)))), None);
    }

    #[test]
    fn silence_is_found_after_three_seconds() {
        let from_the_beginning = play((0..1000).map(|_| None)).unwrap();
        assert_eq!(from_the_beginning, (60, EncoderStall::Silent));
        let later = play((0..1000).map(|number| usual(number).filter(|_| number < 100))).unwrap();
        assert_eq!(later, (158, EncoderStall::Silent));
    }

    #[test]
    fn an_encoder_that_takes_no_more_is_silent_too() {
        let mut vigil = EncoderWatchdog::new(Duration::from_secs(3), 40);
        let mut now = Monotonic::default();
        vigil.hand(now);
        let mut looks = 0;
        while vigil.look(now).is_none() {
            (now, looks) = (now.saturating_add(STEP), looks + 1);
            assert!(looks < 100);
        }
        assert_eq!(looks, 60);
    }

    #[test]
    fn a_source_that_gives_nothing_is_not_the_encoders_fault() {
        let mut vigil = EncoderWatchdog::new(Duration::from_secs(3), 40);
        let mut now = Monotonic::default();
        vigil.hand(now);
        vigil.handed(now);
        for _ in 0..1000 {
            now = now.saturating_add(STEP);
            assert_eq!(vigil.look(now), None);
        }
    }

    #[test]
    fn time_in_which_the_process_did_not_run_does_not_count() {
        let mut vigil = EncoderWatchdog::new(Duration::from_secs(3), 40);
        let now = Monotonic::default();
        vigil.look(now);
        vigil.hand(now);
        assert_eq!(vigil.look(now.saturating_add(Duration::from_mins(1))), None);
    }

    #[test]
    fn missing_keyframes_are_found_within_three_intervals() {
        let found = play((0..1000).map(|number| Some((700 + number % 13, number == 0)))).unwrap();
        assert_eq!(found, (121, EncoderStall::NoKeyframe));
    }

    #[test]
    fn frames_of_one_size_are_found_once_a_keyframe_is_among_them() {
        let found = play((0..1000).map(|number| Some((4096, number % 40 == 0)))).unwrap();
        assert_eq!(found, (40, EncoderStall::ConstantSize));
    }
}
