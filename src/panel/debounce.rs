//! Debouncing: a level counts once it has held for long enough. Pure.

use core::time::Duration;

use monotonic::Monotonic;

/// A level that held long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebouncedLevel {
    /// Whether the button is down.
    pub down: bool,
    /// Up: length of the touch that has ended; down: time until its last edge. By the kernel's timestamps, where there
    /// are any.
    pub held: Option<Duration>,
}

/// Turns a bouncing level into a settled one.
#[derive(Debug)]
pub struct Debouncer {
    span: Duration,
    settled: bool,
    pending: Option<(bool, Monotonic)>,
    /// When the last edge was, by the kernel.
    edge: Option<Duration>,
    /// The same for the first and the last edge of the touch that is on.
    touch: Option<(Duration, Duration)>,
}

impl Debouncer {
    /// A level has to hold for `span` to be believed; `initial` is believed from the start.
    pub const fn new(span: Duration, initial: bool) -> Self {
        Self { span, settled: initial, pending: None, edge: None, touch: None }
    }

    /// The level was polled, in case an edge was lost. A level that is just settling has edges that are not processed
    /// yet. `at` is the time by the clock of the kernel's timestamps.
    pub fn on_polled_level(&mut self, now: Monotonic, level: bool, at: Duration) {
        if self.pending.is_some() {
            return;
        }
        // The release has no timestamp yet. It was before this look: the touch was that long at most, and the guard may
        // have heard of its beginning late.
        if self.settled && !level {
            self.touch = self.touch.map(|(began, last)| (began, last.max(at)));
        }
        self.on_level(now, level);
    }

    /// The raw level changed.
    pub fn on_level(&mut self, now: Monotonic, level: bool) {
        if level == self.settled {
            self.pending = None;
        } else if self.pending.is_none() {
            self.pending = Some((level, now));
        }
    }

    /// An edge with the kernel's timestamp. Returns the level before it if that held long enough and was not polled in
    /// time: on a busy machine all edges of a quick touch are processed at once, and a touch that stops must not be
    /// lost.
    pub fn on_edge(&mut self, now: Monotonic, level: bool, at: Duration) -> Option<DebouncedLevel> {
        let before = self.edge.replace(at);
        let held = before.is_some_and(|before| at.saturating_sub(before) >= self.span);
        let late = self.pending.filter(|&(was, _)| held && was != level).map(|(was, _)| self.believe(was));
        // A touch begins with the first of its bounces.
        let nothing_on = !self.settled && self.pending.is_none() && (held || before.is_none());
        self.touch = match self.touch.filter(|_| !nothing_on) {
            Some((began, _)) => Some((began, at)),
            None => level.then_some((at, at)),
        };
        self.on_level(now, level);
        late
    }

    /// The new settled level, once.
    pub fn poll(&mut self, now: Monotonic) -> Option<DebouncedLevel> {
        let (level, since) = self.pending?;
        (now.duration_since(since) >= self.span).then(|| self.believe(level))
    }

    fn believe(&mut self, down: bool) -> DebouncedLevel {
        self.pending = None;
        self.settled = down;
        let touch = if down { self.touch } else { self.touch.take() };
        DebouncedLevel { down, held: touch.map(|(began, last)| last.saturating_sub(began)) }
    }

    /// When the touch that is on began, by the kernel's timestamps, where there are any.
    pub fn touch_began(&self) -> Option<Duration> {
        self.touch.map(|(began, _)| began)
    }

    /// When [`Debouncer::poll`] will return a level, if nothing changes until then.
    pub fn deadline(&self) -> Option<Monotonic> {
        self.pending.map(|(_, since)| since.saturating_add(self.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    const fn settled(down: bool, held: u64) -> DebouncedLevel {
        DebouncedLevel { down, held: Some(Duration::from_millis(held)) }
    }

    #[test]
    fn a_level_that_holds_is_believed_once() {
        let mut button = Debouncer::new(Duration::from_millis(30), false);
        button.on_level(ms(0), true);
        assert_eq!(button.deadline(), Some(ms(30)));
        assert_eq!(button.poll(ms(29)), None);
        assert_eq!(button.poll(ms(30)).map(|settled| settled.down), Some(true));
        assert_eq!(button.poll(ms(31)), None);
        assert_eq!(button.deadline(), None);
    }

    #[test]
    fn a_bounce_starts_the_wait_anew() {
        let mut button = Debouncer::new(Duration::from_millis(30), false);
        for (at, level) in [(0, true), (5, false), (7, true), (20, false), (22, true)] {
            button.on_level(ms(at), level);
            assert_eq!(button.poll(ms(at)), None);
        }
        assert_eq!(button.poll(ms(51)), None);
        assert_eq!(button.poll(ms(52)).map(|settled| settled.down), Some(true));
    }

    #[test]
    fn a_touch_whose_edges_are_heard_too_late_counts_by_the_kernels_time() {
        let at = Duration::from_millis;
        let mut button = Debouncer::new(at(30), false);
        assert_eq!(button.on_edge(ms(500), true, at(7000)), None);
        assert_eq!(button.on_edge(ms(500), false, at(7031)), Some(settled(true, 0)));
        assert_eq!(button.poll(ms(530)), Some(settled(false, 31)));
        // A bounce and a spike are still nothing, however late.
        for (level, time) in [(true, 8000), (false, 8010), (true, 8015), (false, 8025)] {
            assert_eq!(button.on_edge(ms(900), level, at(time)), None);
        }
        assert_eq!((button.poll(ms(2000)), button.deadline()), (None, None));
        // Processed in time it is returned once, with its length.
        assert_eq!(button.on_edge(ms(3000), true, at(10_000)), None);
        assert_eq!(button.poll(ms(3030)), Some(settled(true, 0)));
        assert_eq!(button.on_edge(ms(3100), false, at(10_100)), None);
        assert_eq!(button.poll(ms(3130)), Some(settled(false, 100)));
    }

    #[test]
    fn each_of_two_touches_that_are_heard_at_once_has_its_own_length() {
        let at = Duration::from_millis;
        let mut button = Debouncer::new(at(30), false);
        assert_eq!(button.on_edge(ms(9000), true, at(1000)), None);
        assert_eq!(button.on_edge(ms(9000), false, at(7000)), Some(settled(true, 0)));
        assert_eq!(button.on_edge(ms(9000), true, at(7500)), Some(settled(false, 6000)));
        assert_eq!(button.on_edge(ms(9000), false, at(7700)), Some(settled(true, 0)));
        assert_eq!(button.poll(ms(9030)), Some(settled(false, 200)));
    }

    #[test]
    fn a_level_that_is_read_between_two_late_edges_hides_no_touch() {
        let at = Duration::from_millis;
        let mut button = Debouncer::new(at(30), false);
        assert_eq!(button.on_edge(ms(9000), true, at(1000)), None);
        button.on_polled_level(ms(9000), false, at(1250));
        assert_eq!(button.on_edge(ms(9001), false, at(1200)), Some(settled(true, 0)));
    }

    #[test]
    fn a_touch_whose_release_was_polled_is_as_long_as_it_may_have_been() {
        let at = Duration::from_millis;
        let mut button = Debouncer::new(at(30), false);
        // It begins 600 ms before that is heard, and ends 300 ms later.
        assert_eq!(button.on_edge(ms(9600), true, at(1000)), None);
        assert_eq!(button.poll(ms(9630)), Some(settled(true, 0)));
        button.on_polled_level(ms(9950), false, at(1950));
        assert_eq!(button.poll(ms(9980)), Some(settled(false, 950)), "too long for sound");
        // The release's own edge comes too late, and begins nothing.
        assert_eq!(button.on_edge(ms(10_500), false, at(1900)), None);
        assert_eq!((button.poll(ms(11_000)), button.deadline()), (None, None));
        // Where it comes in time, it counts.
        assert_eq!(button.on_edge(ms(12_000), true, at(4000)), None);
        assert_eq!(button.poll(ms(12_030)), Some(settled(true, 0)));
        button.on_polled_level(ms(12_300), false, at(4300));
        assert_eq!(button.on_edge(ms(12_310), false, at(4250)), None);
        assert_eq!(button.poll(ms(12_330)), Some(settled(false, 250)));
    }

    #[test]
    fn a_touch_that_was_found_by_its_level_has_no_length() {
        let mut button = Debouncer::new(Duration::from_millis(30), false);
        button.on_polled_level(ms(0), true, Duration::ZERO);
        assert_eq!(button.poll(ms(30)), Some(DebouncedLevel { down: true, held: None }));
        assert_eq!(button.on_edge(ms(100), false, Duration::from_secs(9)), None);
        assert_eq!(button.poll(ms(130)), Some(DebouncedLevel { down: false, held: None }));
    }

    #[test]
    fn a_spike_is_nothing() {
        let mut button = Debouncer::new(Duration::from_millis(30), false);
        button.on_level(ms(0), true);
        button.on_level(ms(10), false);
        assert_eq!(button.deadline(), None);
        assert_eq!(button.poll(ms(100)), None);
    }
}
