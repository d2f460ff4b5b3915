//! Whether the box itself keeps up: a processor that gets hot is slowed down, and pictures then wait in front of the
//! encoder until there is no room for them. Before that, fewer and smaller ones are made.

use core::time::Duration;

use monotonic::Monotonic;

/// Pictures that wait: of one that has just come, another one may be under way.
const STANDING: u64 = 2;
/// So many that never go away for this long are a queue that grows; a processor that is stopped and let go by its quota
/// has them for a period of that (100 ms in Linux) now and then.
const OVERLOADED_AFTER: Duration = Duration::from_millis(300);
/// What was changed shows after this: the pictures that wait are of the kind before.
const SETTLES_AFTER: Duration = Duration::from_secs(1);
/// The encoder's share of the time is measured over this.
const SHARE_SPAN: Duration = Duration::from_secs(2);
/// A step up may bring it to this share: the next keyframe or a moving picture takes more.
const MAX_SHARE: f64 = 0.8;
/// A step up is tried after this, and after twice that each time the last one was too much.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// At most after this: by then a room has cooled down.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// The encoder, as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderLoad {
    /// Pictures that wait in front of it.
    pub waiting: u64,
    /// For how long it has worked since it began; `None`: it works beside the processor, on several pictures at once.
    pub busy: Option<Duration>,
}

/// What the ladder's rungs cost, and on which it stands.
pub(super) struct Rungs<'a> {
    /// The one that fits the link.
    pub(super) link: usize,
    /// Pixels per second of each.
    pub(super) costs: &'a [f64],
}

/// Finds the best rung that the encoder keeps up with.
#[derive(Clone, Debug)]
pub(super) struct Overload {
    /// No rung above this one.
    floor: usize,
    changed_at: Option<Monotonic>,
    standing_since: Option<Monotonic>,
    calm_since: Option<Monotonic>,
    share_since: Option<(Monotonic, Duration)>,
    share: Option<f64>,
    retry_after: Duration,
    /// The last step was one up.
    is_trial: bool,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            floor: 0,
            changed_at: None,
            standing_since: None,
            calm_since: None,
            share_since: None,
            share: None,
            retry_after: RETRY_AFTER,
            is_trial: false,
        }
    }
}

impl Overload {
    /// The best rung that the encoder may be asked for, from its load at `now`.
    pub(super) fn update(&mut self, now: Monotonic, load: EncoderLoad, rungs: &Rungs<'_>) -> usize {
        let since = |at: Monotonic| now.duration_since(at);
        if self.changed_at.is_some_and(|at| since(at) < SETTLES_AFTER) {
            return self.floor;
        }
        self.measure_share(now, load.busy);
        let present = self.floor.max(rungs.link);
        if load.waiting < STANDING {
            self.standing_since = None;
            let calm = since(*self.calm_since.get_or_insert(now));
            if self.is_trial && calm >= RETRY_AFTER {
                (self.is_trial, self.retry_after) = (false, RETRY_AFTER);
            }
            if self.floor > 0 && calm >= self.retry_after && self.has_room(present, rungs) {
                self.change(self.floor - 1, now);
                self.is_trial = true;
            }
        } else {
            self.calm_since = None;
            let standing = since(*self.standing_since.get_or_insert(now));
            if standing >= OVERLOADED_AFTER && present + 1 < rungs.costs.len() {
                if std::mem::take(&mut self.is_trial) {
                    self.retry_after = (self.retry_after * 2).min(MAX_RETRY_AFTER);
                }
                self.change(present + 1, now);
            }
        }
        self.floor
    }

    fn change(&mut self, floor: usize, now: Monotonic) {
        self.floor = floor;
        self.changed_at = Some(now);
        (self.standing_since, self.calm_since, self.share_since, self.share) = (None, None, None, None);
    }

    fn measure_share(&mut self, now: Monotonic, busy: Option<Duration>) {
        let Some(busy) = busy else {
            (self.share_since, self.share) = (None, None);
            return;
        };
        let (at, before) = *self.share_since.get_or_insert((now, busy));
        let elapsed = now.duration_since(at);
        if elapsed >= SHARE_SPAN {
            self.share = Some(busy.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64());
            self.share_since = Some((now, busy));
        }
    }

    /// Whether the rung above `present` fits, as far as the share of the time tells.
    fn has_room(&self, present: usize, rungs: &Rungs<'_>) -> bool {
        let next = (self.floor - 1).max(rungs.link);
        let ratio = rungs.costs[next] / rungs.costs[present];
        self.share.is_none_or(|share| share * ratio <= MAX_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels per second of 720p30 on the rungs of the ladder.
    const COSTS: [f64; 5] = [27.6e6, 13.8e6, 6.1e6, 3.5e6, 1.5e6];
    const RATES: [u64; 5] = [30, 15, 15, 15, 15];

    /// A camera of 30 pictures a second, an encoder with room for 4, and what controls it.
    struct Board {
        overload: Overload,
        floor: usize,
        tells_busy: bool,
        millis: u64,
        waiting: Vec<f64>,
        /// Seconds of work left on the picture that is being encoded.
        work: f64,
        busy: f64,
        dropped: u64,
        changes: Vec<usize>,
    }

    impl Board {
        fn new(tells_busy: bool) -> Self {
            Self {
                overload: Overload::default(),
                floor: 0,
                tells_busy,
                millis: 0,
                waiting: Vec::new(),
                work: 0.0,
                busy: 0.0,
                dropped: 0,
                changes: Vec::new(),
            }
        }

        /// `speed` in pixels per second. Returns how many pictures were dropped meanwhile.
        fn run(&mut self, seconds: u64, speed: f64) -> u64 {
            let before = self.dropped;
            for _ in 0..seconds * 1000 {
                self.millis += 1;
                if self.millis.is_multiple_of(1000 / RATES[self.floor]) {
                    #[allow(clippy::cast_precision_loss)]
                    self.waiting.push(COSTS[self.floor] / RATES[self.floor] as f64);
                    if self.waiting.len() > 4 {
                        self.waiting.remove(0);
                        self.dropped += 1;
                    }
                }
                if self.work <= 0.0 && !self.waiting.is_empty() {
                    self.work = self.waiting.remove(0);
                }
                if self.work > 0.0 {
                    self.work -= speed / 1000.0;
                    self.busy += 0.001;
                }
                if self.millis.is_multiple_of(100) {
                    self.look();
                }
            }
            self.dropped - before
        }

        fn look(&mut self) {
            let busy = self.tells_busy.then(|| Duration::from_secs_f64(self.busy));
            let load = EncoderLoad { waiting: self.waiting.len() as u64, busy };
            let rungs = Rungs { link: 0, costs: &COSTS };
            let now = Monotonic::default().saturating_add(Duration::from_millis(self.millis));
            let floor = self.overload.update(now, load, &rungs);
            if floor != std::mem::replace(&mut self.floor, floor) {
                self.changes.push(floor);
            }
        }
    }

    #[test]
    fn an_encoder_that_keeps_up_is_left_alone() {
        let mut board = Board::new(true);
        // 98 % of what it can do.
        assert_eq!((board.run(600, COSTS[0] / 0.98), board.changes.clone()), (0, vec![]));
    }

    #[test]
    fn a_slower_processor_gets_fewer_pictures_before_any_is_dropped_and_more_once_it_can() {
        let mut board = Board::new(true);
        let full = COSTS[0] / 0.7;
        board.run(20, full);
        // To 60 % of its speed: 1.17 times what it can do. A quarter of a second is queued before a look sees it.
        assert_eq!((board.run(60, full * 0.6), board.floor), (0, 1));
        assert_eq!((board.run(60, full * 0.3), board.floor), (0, 2));
        assert_eq!(board.run(60, full), 0);
        assert_eq!((board.floor, board.changes.clone()), (0, vec![1, 2, 1, 0]));
    }

    #[test]
    fn a_processor_that_stays_slow_is_not_asked_for_more_again_and_again() {
        let mut board = Board::new(true);
        board.run(600, COSTS[0] / 1.2);
        assert_eq!(board.changes, [1]);
        // Where the share of the time is unknown the way up is tried, ever less often.
        let mut board = Board::new(false);
        board.run(1800, COSTS[0] / 1.2);
        assert!((5..20).contains(&board.changes.len()), "{:?}", board.changes);
        board.run(700, COSTS[0] / 0.5);
        assert_eq!(board.floor, 0);
    }

    #[test]
    fn a_sudden_fall_goes_down_all_of_the_ladder() {
        let mut board = Board::new(true);
        let dropped = board.run(20, 2e6);
        assert_eq!((board.floor, board.changes.clone()), (4, vec![1, 2, 3, 4]));
        assert!(dropped < 120, "{dropped}");
        assert_eq!(board.run(60, 2e6), 0);
    }
}
