//! Which pictures stay when fewer a second are wanted than come. Only the time since the last ones counts, so that a
//! gap, or an opening in the middle of a session, lets through no more than the rate afterwards.

use gstreamer as gst;

/// Lets through what a rate wants, as evenly as the pictures allow.
#[derive(Debug, Default)]
pub(crate) struct FrameDecimator {
    /// Time from one picture to the next; `None`: all stay.
    interval: Option<gst::ClockTime>,
    /// How much too early a picture may be: half of the time between two that come.
    slack: gst::ClockTime,
    due: Option<gst::ClockTime>,
}

impl FrameDecimator {
    /// At most `most` of the `coming` pictures a second stay, whatever the source says that it gives: one per cent more
    /// is taken for a difference of clocks where it does not say more.
    pub(crate) fn capped(most: u32, coming: u32) -> Self {
        let each = |fps: u32| gst::ClockTime::SECOND.nseconds() / u64::from(fps.max(1));
        let tolerance = if coming > most { 0 } else { each(most) / 100 };
        let interval = gst::ClockTime::from_nseconds(each(most) - tolerance);
        let slack = gst::ClockTime::from_nseconds(each(coming.max(most)) / 2);
        Self { interval: Some(interval), slack, due: None }
    }

    /// `wanted` of the `coming` pictures a second stay.
    pub(crate) fn set_rate(&mut self, wanted: u32, coming: u32) {
        let each = |fps: u32| gst::ClockTime::SECOND.nseconds() / u64::from(fps.max(1));
        self.interval = (wanted < coming).then(|| gst::ClockTime::from_nseconds(each(wanted)));
        self.slack = gst::ClockTime::from_nseconds(each(coming) / 2);
        self.due = None;
    }

    /// Whether a picture of the time `at` stays.
    pub(crate) fn should_keep(&mut self, at: gst::ClockTime) -> bool {
        let Some(interval) = self.interval else { return true };
        let due = self.due.unwrap_or(at);
        if at + self.slack < due {
            return false;
        }
        // After a gap it begins anew, instead of letting through all that was missed.
        self.due = Some(if at > due + interval { at + interval } else { due + interval });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(wanted: u32, coming: u32, jitter: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut decimator = FrameDecimator::default();
        decimator.set_rate(wanted, coming);
        let times =
            (0..u64::from(coming) * 4).map(|number| (number, number * 1000 / u64::from(coming) + jitter(number)));
        let kept = times.filter(|(_, millis)| decimator.should_keep(gst::ClockTime::from_mseconds(*millis)));
        kept.map(|(number, _)| number).collect()
    }

    #[test]
    fn the_rate_is_met_evenly() {
        assert_eq!(kept(30, 30, |_| 0).len(), 120);
        assert_eq!(kept(15, 30, |_| 0), (0..120).step_by(2).collect::<Vec<_>>());
        assert_eq!(kept(10, 30, |number| number * 7 % 9), (0..120).step_by(3).collect::<Vec<_>>());
        let twenty = kept(20, 30, |_| 0);
        assert!((79..=81).contains(&twenty.len()), "{twenty:?}");
        assert!(twenty.windows(2).all(|pair| pair[1] - pair[0] <= 2), "{twenty:?}");
    }

    #[test]
    fn a_source_never_gives_more_than_its_rate_whenever_it_begins_and_whatever_it_says() {
        for begin in [0, 3_600_000_000] {
            for (most, says, gives) in
                [(25, 30, 30), (25, 60, 60), (25, 25, 50), (30, 30, 60), (15, 30, 30), (25, 0, 100)]
            {
                let mut decimator = FrameDecimator::capped(most, says);
                let mut kept = Vec::new();
                // It stands still for 0.9 s in each third second.
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
    fn a_cameras_clock_may_be_a_little_fast() {
        let mut decimator = FrameDecimator::capped(30, 30);
        let times = (0..30_000_u64).map(|number| gst::ClockTime::from_nseconds(number * 33_333_333 * 999 / 1000));
        assert_eq!(times.filter(|at| !decimator.should_keep(*at)).count(), 0);
    }

    #[test]
    fn a_gap_is_not_made_up_for() {
        let mut decimator = FrameDecimator::default();
        decimator.set_rate(10, 30);
        assert!(decimator.should_keep(gst::ClockTime::ZERO));
        let after = (0..30).filter(|n| decimator.should_keep(gst::ClockTime::from_mseconds(60_000 + n * 33))).count();
        assert!((9..=11).contains(&after), "{after}");
    }
}
