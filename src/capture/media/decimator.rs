//! Lowers a frame rate by dropping pictures. Only the time since the last pictures counts, so that after a gap, or
//! after an opening in mid-session, no more pass than the rate allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gstreamer as gst;

/// How many pictures a second an encoder wants at present, for whoever brings them: one that it would leave out need
/// not be decoded. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct WantedRate(Arc<AtomicU32>);

impl Default for WantedRate {
    /// All.
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(u32::MAX)))
    }
}

impl WantedRate {
    /// Wants `fps` from now on.
    pub(crate) fn set(&self, fps: u32) {
        self.0.store(fps, Ordering::Relaxed);
    }

    /// Pictures a second.
    pub(crate) fn fps(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps the pictures of a rate, spaced as evenly as they come.
#[derive(Debug, Default)]
pub(crate) struct FrameDecimator {
    /// From one kept picture to the next; `None`: all are kept.
    interval: Option<gst::ClockTime>,
    /// How much too early a picture may be: half of the interval at which they come.
    slack: gst::ClockTime,
    due: Option<gst::ClockTime>,
    /// The rate that [`FrameDecimator::capped`] names, and from one picture to the next of it.
    cap: Option<(u32, gst::ClockTime)>,
}

impl FrameDecimator {
    /// At most `max_fps`, whatever rate the source names. A source that names no more than that may be faster by one
    /// per cent, which is taken for a difference of clocks.
    pub(crate) fn capped(max_fps: u32, source_fps: u32) -> Self {
        let tolerance = if source_fps > max_fps { 0 } else { interval(max_fps) / 100 };
        let kept = gst::ClockTime::from_nseconds(interval(max_fps) - tolerance);
        let slack = gst::ClockTime::from_nseconds(interval(source_fps.max(max_fps)) / 2);
        Self { interval: Some(kept), slack, due: None, cap: Some((max_fps, kept)) }
    }

    /// Keeps no more than `fps` from now on, and no more than the cap either.
    pub(crate) fn limit_to(&mut self, fps: u32) {
        let Some((max_fps, kept)) = self.cap else { return };
        let interval = if fps < max_fps { gst::ClockTime::from_nseconds(interval(fps)) } else { kept };
        if self.interval != Some(interval) {
            (self.interval, self.due) = (Some(interval), None);
        }
    }

    /// Keeps `target_fps` of `source_fps` from now on.
    pub(crate) fn set_rate(&mut self, target_fps: u32, source_fps: u32) {
        self.interval = (target_fps < source_fps).then(|| gst::ClockTime::from_nseconds(interval(target_fps)));
        self.slack = gst::ClockTime::from_nseconds(interval(source_fps) / 2);
        self.due = None;
    }

    /// Whether to keep the picture with the timestamp `pts`.
    pub(crate) fn should_keep(&mut self, pts: gst::ClockTime) -> bool {
        let Some(interval) = self.interval else { return true };
        let due = self.due.unwrap_or(pts);
        if pts + self.slack < due {
            return false;
        }
        // After a gap it starts anew, and does not make up for the missed pictures.
        self.due = Some(if pts > due + interval { pts + interval } else { due + interval });
        true
    }
}

/// From one picture to the next, in nanoseconds.
fn interval(fps: u32) -> u64 {
    gst::ClockTime::SECOND.nseconds() / u64::from(fps.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(target_fps: u32, source_fps: u32, jitter: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut decimator = FrameDecimator::default();
        decimator.set_rate(target_fps, source_fps);
        let times = (0..u64::from(source_fps) * 4).map(|n| (n, n * 1000 / u64::from(source_fps) + jitter(n)));
        let kept = times.filter(|(_, millis)| decimator.should_keep(gst::ClockTime::from_mseconds(*millis)));
        kept.map(|(number, _)| number).collect()
    }

    #[test]
    fn kept_pictures_are_evenly_spaced() {
        assert_eq!(kept(30, 30, |_| 0).len(), 120);
        assert_eq!(kept(15, 30, |_| 0), (0..120).step_by(2).collect::<Vec<_>>());
        assert_eq!(kept(10, 30, |number| number * 7 % 9), (0..120).step_by(3).collect::<Vec<_>>());
        let twenty = kept(20, 30, |_| 0);
        assert!((79..=81).contains(&twenty.len()), "{twenty:?}");
        assert!(twenty.windows(2).all(|pair| pair[1] - pair[0] <= 2), "{twenty:?}");
    }

    #[test]
    fn a_capped_source_never_exceeds_the_rate() {
        for begin in [0, 3_600_000_000] {
            for (most, says, gives) in
                [(25, 30, 30), (25, 60, 60), (25, 25, 50), (30, 30, 60), (15, 30, 30), (25, 0, 100)]
            {
                let mut decimator = FrameDecimator::capped(most, says);
                let mut kept = Vec::new();
                // It stalls for 0.9 s of every 3 s.
                for micros in (0..10_000_000_u64).step_by(1_000_000 / gives).filter(|at| at % 3_000_000 < 2_100_000) {
                    if decimator.should_keep(gst::ClockTime::from_useconds(begin + micros)) {
                        kept.push(micros);
                    }
                }
                for from in (0..10_000_000).step_by(50_000) {
                    let second = kept.iter().filter(|at| (from..from + 1_000_000).contains(*at)).count();
                    assert!(
                        second <= most as usize + 1,
                        "{second} a second of {most}, which gives {gives} and says {says}"
                    );
                }
                let full = kept.iter().filter(|at| (500_000..1_500_000).contains(*at)).count();
                assert!(full >= most as usize - 1, "{full} of {most} a second");
            }
        }
    }

    #[test]
    fn a_cap_can_be_lowered_and_comes_back() {
        let mut decimator = FrameDecimator::capped(30, 60);
        let mut second = 0;
        let mut kept = |decimator: &mut FrameDecimator| {
            second += 1;
            let times = (0..60).map(|number| gst::ClockTime::from_mseconds(second * 1000 + number * 1000 / 60));
            times.filter(|at| decimator.should_keep(*at)).count()
        };
        for (limit, wanted) in [(u32::MAX, 30), (15, 15), (15, 15), (10, 10), (30, 30), (60, 30), (0, 1), (25, 25)] {
            decimator.limit_to(limit);
            let kept = kept(&mut decimator);
            assert!(kept.abs_diff(wanted) <= 1, "{kept} of {limit}");
        }
    }

    /// As the encoder's own, which leaves out what came too much before it heard of another rate.
    #[test]
    fn two_in_a_row_keep_what_one_keeps() {
        for (fps, late) in [(15, 0), (15, 1), (10, 2), (20, 1), (24, 3)] {
            let (mut first, mut second) = (FrameDecimator::capped(30, 30), FrameDecimator::default());
            let mut kept = 0;
            for number in 0..300_u64 {
                if number == 30 {
                    second.set_rate(fps, 30);
                }
                if number == 30 + late {
                    first.limit_to(fps);
                }
                let at = gst::ClockTime::from_mseconds(number * 1000 / 30 + number * 7 % 9);
                kept += u32::from(first.should_keep(at) && second.should_keep(at) && number >= 60);
            }
            assert!(kept.abs_diff(fps * 8) <= 2, "{kept} of {}", fps * 8);
        }
    }

    #[test]
    fn a_slightly_fast_clock_loses_no_picture() {
        let mut decimator = FrameDecimator::capped(30, 30);
        let times = (0..30_000_u64).map(|number| gst::ClockTime::from_nseconds(number * 33_333_333 * 999 / 1000));
        assert_eq!(times.filter(|at| !decimator.should_keep(*at)).count(), 0);
    }

    #[test]
    fn missed_pictures_are_not_made_up_for() {
        let mut decimator = FrameDecimator::default();
        decimator.set_rate(10, 30);
        assert!(decimator.should_keep(gst::ClockTime::ZERO));
        let after = (0..30).filter(|n| decimator.should_keep(gst::ClockTime::from_mseconds(60_000 + n * 33))).count();
        assert!((9..=11).contains(&after), "{after}");
    }
}
