//! Drives the lamp in the rhythm of its pattern.

use core::time::Duration;
use monotonic::Monotonic;

use crate::panel::{PanelDriver, PanelError};
use consent::LampPattern;

/// How long the `identify` pattern shows.
const IDENTIFY_DURATION: Duration = Duration::from_secs(10);
/// How often a steady lamp is driven again, so that a dead one is detected: with each renewal of the lease.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The lamp's pattern, its beginning, and when the lamp has to be driven next.
#[derive(Debug)]
pub(super) struct LampDriver {
    pattern: LampPattern,
    since: Monotonic,
    identify_until: Option<Monotonic>,
    /// Something is to be looked at.
    notice: bool,
    next: Monotonic,
    /// What it was last driven to.
    shown: LampPattern,
}

impl LampDriver {
    pub(super) fn new(now: Monotonic) -> Self {
        let dark = LampPattern::Dark;
        Self { pattern: dark, since: now, identify_until: None, notice: false, next: now, shown: dark }
    }

    /// Shows `pattern` from now on.
    pub(super) fn show(
        &mut self,
        panel: &mut dyn PanelDriver,
        now: Monotonic,
        pattern: LampPattern,
    ) -> Result<(), PanelError> {
        if pattern != self.pattern {
            self.pattern = pattern;
            self.since = now;
            self.identify_until = None;
        }
        self.drive(panel, now)
    }

    /// Shows the `identify` pattern for some seconds, unless the present pattern means that capture may exist.
    pub(super) fn identify(&mut self, panel: &mut dyn PanelDriver, now: Monotonic) -> Result<(), PanelError> {
        if !self.pattern.says_capturing() {
            self.identify_until = Some(now.saturating_add(IDENTIFY_DURATION));
            self.since = now;
        }
        self.drive(panel, now)
    }

    pub(super) fn has_notice(&self) -> bool {
        self.notice
    }

    /// Whether the `notice` pattern shows wherever the lamp would be dark.
    pub(super) fn set_notice(
        &mut self,
        panel: &mut dyn PanelDriver,
        now: Monotonic,
        notice: bool,
    ) -> Result<(), PanelError> {
        self.notice = notice;
        if self.pattern == LampPattern::Dark && self.identify_until.is_none() {
            self.since = now;
        }
        self.drive(panel, now)
    }

    /// The pattern that the lamp shows: what comes next counts once the lamp was driven to it.
    pub(super) fn shown(&self) -> LampPattern {
        self.shown
    }

    fn wanted(&self, now: Monotonic) -> LampPattern {
        match self.identify_until {
            Some(until) if now < until => LampPattern::Identify,
            Some(_) | None if self.notice && self.pattern == LampPattern::Dark => LampPattern::Notice,
            Some(_) | None => self.pattern,
        }
    }

    /// Drives the lamp to its present level, and reads it back where it has a sense pin.
    pub(super) fn drive(&mut self, panel: &mut dyn PanelDriver, now: Monotonic) -> Result<(), PanelError> {
        if self.identify_until.is_some_and(|until| now >= until) {
            self.identify_until = None;
            self.since = now;
        }
        self.shown = self.wanted(now);
        let (lit, change) = self.shown.lit(now.duration_since(self.since));
        // A little after the change, so that the clock has surely passed it.
        self.next = now.saturating_add(
            change.map_or(REFRESH_INTERVAL, |change| (change + Duration::from_millis(1)).min(REFRESH_INTERVAL)),
        );
        panel.drive(self.shown, lit)
    }

    /// Tests whether the lamp goes on and off. Its present level alone would not do: a dead lamp passes in every dark
    /// moment.
    pub(super) fn test(&mut self, panel: &mut dyn PanelDriver, now: Monotonic) -> Result<(), PanelError> {
        let shown = self.wanted(now);
        panel.drive(shown, true)?;
        panel.drive(shown, false)?;
        self.drive(panel, now)
    }

    /// When to call [`LampDriver::drive`] next.
    pub(super) fn deadline(&self) -> Monotonic {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::Button;

    /// A lamp that stays at one level, and a sense pin that reports it.
    #[derive(Debug)]
    struct Stuck(bool);

    impl PanelDriver for Stuck {
        fn name(&self) -> &'static str {
            "stuck"
        }

        fn drive(&mut self, _lamp: LampPattern, lit: bool) -> Result<(), PanelError> {
            if lit == self.0 { Ok(()) } else { Err(PanelError("it does not obey".to_owned())) }
        }

        fn is_down(&mut self, _button: Button) -> Result<bool, PanelError> {
            Ok(false)
        }
    }

    #[test]
    fn it_says_what_it_was_driven_to() {
        let at = |seconds| Monotonic::from_start(Duration::from_secs(seconds));
        let mut lamp = LampDriver::new(at(0));
        let mut panel = Stuck(false);
        let _ = lamp.identify(&mut panel, at(0));
        assert_eq!(lamp.shown(), LampPattern::Identify);
        let _ = lamp.drive(&mut panel, at(9));
        assert_eq!(lamp.shown(), LampPattern::Identify, "until somebody drives it again");
        let _ = lamp.drive(&mut panel, at(10));
        assert_eq!(lamp.shown(), LampPattern::Dark);
    }

    #[test]
    fn a_lamp_that_is_stuck_does_not_pass_in_any_moment_of_its_rhythm() {
        for level in [false, true] {
            for moment in 0..100 {
                let start = Monotonic::from_start(Duration::ZERO);
                let mut lamp = LampDriver::new(start);
                let _ = lamp.show(&mut Stuck(level), start, LampPattern::Sos);
                let now = Monotonic::from_start(Duration::from_millis(moment * 50));
                assert!(lamp.test(&mut Stuck(level), now).is_err(), "stuck at {level}, {now:?}");
            }
        }
    }
}
