//! Which box is sent a command next, and when sending pauses. Pure: time comes with each call.
//!
//! A box that does not answer gives its place up at its deadline, one that is away never gets one, and "busy" is no
//! failure: it is asked again later, a few times.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use monotonic::Monotonic;

/// How often a box that is busy is asked in all, and how long to wait in between.
const BUSY_ATTEMPTS: u8 = 4;
const BUSY_PAUSE: Duration = Duration::from_secs(5);

/// What became of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It did what was asked.
    Done,
    /// It refused, and said why.
    Refused,
    /// It failed, or could not read the command.
    Failed,
    /// It was busy each time.
    Busy,
    /// It is online and did not answer in time.
    Silent,
    /// It is not online: nothing was sent.
    Away,
    /// Sending paused before its turn.
    NotSent,
}

/// When sending pauses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Boxes that have to be done before their share counts.
    pub(crate) minimum: u32,
    /// The share of failures that is too much: 0 to 1. More than one pauses never.
    pub(crate) share: f64,
}

/// One box that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    id: String,
    from: Monotonic,
    attempts: u8,
}

/// A box that was asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    until: Monotonic,
    attempts: u8,
}

/// A command on its way through many boxes.
#[derive(Debug)]
pub(crate) struct Dispatch {
    jobs: usize,
    timeout: Duration,
    budget: Budget,
    waiting: VecDeque<Waiting>,
    asked: BTreeMap<String, Asked>,
    outcomes: BTreeMap<String, Outcome>,
    counts: BTreeMap<Outcome, u32>,
    paused: Option<String>,
}

impl Dispatch {
    /// Of these boxes at most `jobs` are asked at once.
    pub(crate) fn new(boxes: impl IntoIterator<Item = String>, jobs: usize, timeout: Duration, budget: Budget) -> Self {
        let from = Monotonic::default();
        Self {
            jobs,
            timeout,
            budget,
            waiting: boxes.into_iter().map(|id| Waiting { id, from, attempts: 0 }).collect(),
            asked: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            counts: BTreeMap::new(),
            paused: None,
        }
    }

    /// The box to ask now, if there is a place.
    pub(crate) fn next(&mut self, now: Monotonic) -> Option<String> {
        if self.paused.is_some() || self.asked.len() >= self.jobs {
            return None;
        }
        let at = self.waiting.iter().position(|waiting| waiting.from <= now)?;
        let Waiting { id, attempts, .. } = self.waiting.remove(at)?;
        self.asked.insert(id.clone(), Asked { until: now.saturating_add(self.timeout), attempts: attempts + 1 });
        Some(id)
    }

    /// A box told its progress: it has its time anew.
    pub(crate) fn progressed(&mut self, now: Monotonic, id: &str, patience: Duration) {
        if let Some(asked) = self.asked.get_mut(id) {
            asked.until = now.saturating_add(patience);
        }
    }

    /// A box that was asked has its outcome.
    pub(crate) fn settle(&mut self, now: Monotonic, id: &str, outcome: Outcome) {
        let Some(Asked { attempts, .. }) = self.asked.remove(id) else { return };
        if outcome == Outcome::Busy && attempts < BUSY_ATTEMPTS {
            self.waiting.push_back(Waiting { id: id.to_owned(), from: now.saturating_add(BUSY_PAUSE), attempts });
            return;
        }
        self.outcomes.insert(id.to_owned(), outcome);
        *self.counts.entry(outcome).or_default() += 1;
        self.judge();
    }

    /// Boxes whose time is over: each is silent from now on.
    pub(crate) fn expire(&mut self, now: Monotonic) -> Vec<String> {
        let over: Vec<String> =
            self.asked.iter().filter(|(_, asked)| asked.until <= now).map(|(id, _)| id.clone()).collect();
        for id in &over {
            self.settle(now, id, Outcome::Silent);
        }
        over
    }

    fn judge(&mut self) {
        let count = |outcome| self.counts.get(&outcome).copied().unwrap_or(0);
        let failures = count(Outcome::Failed) + count(Outcome::Refused) + count(Outcome::Silent);
        let judged = failures + count(Outcome::Done);
        let too_many = f64::from(failures) > f64::from(judged) * self.budget.share;
        if judged >= self.budget.minimum.max(1) && too_many && self.paused.is_none() && !self.waiting.is_empty() {
            self.paused = Some(format!(
                "{failures} of {judged} boxes failed, and the budget is {:.0} %",
                self.budget.share * 100.0
            ));
        }
    }

    /// When something is due although nothing comes.
    pub(crate) fn due(&self) -> Option<Monotonic> {
        let until = self.asked.values().map(|asked| asked.until).min();
        let free = self.paused.is_none() && self.asked.len() < self.jobs;
        let from = self.waiting.iter().map(|waiting| waiting.from).min().filter(|_| free);
        until.into_iter().chain(from).min()
    }

    /// Nothing is to be done any more.
    pub(crate) fn is_over(&self) -> bool {
        self.asked.is_empty() && (self.waiting.is_empty() || self.paused.is_some())
    }

    /// Why sending paused.
    pub(crate) fn paused(&self) -> Option<&str> {
        self.paused.as_deref()
    }

    pub(crate) fn is_asked(&self, id: &str) -> bool {
        self.asked.contains_key(id)
    }

    /// Whether nothing more is done about a box.
    pub(crate) fn is_settled(&self, id: &str) -> bool {
        self.outcomes.contains_key(id)
    }

    /// Boxes that are asked, or wait for it.
    pub(crate) fn left(&self) -> usize {
        self.waiting.len() + self.asked.len()
    }

    pub(crate) fn done(&self) -> usize {
        self.outcomes.len()
    }

    /// Boxes whose turn did not come.
    pub(crate) fn not_sent(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|waiting| waiting.id.as_str())
    }

    /// How many boxes there are of each outcome.
    pub(crate) fn counts(&self) -> BTreeMap<Outcome, u32> {
        let mut counts = self.counts.clone();
        let left = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        if left > 0 {
            counts.insert(Outcome::NotSent, left);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { minimum: 4, share: 0.25 };

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    fn dispatch(boxes: usize, jobs: usize) -> Dispatch {
        Dispatch::new((0..boxes).map(|number| format!("box-{number:03}")), jobs, Duration::from_secs(10), BUDGET)
    }

    #[test]
    fn silent_boxes_give_their_places_up() {
        let mut all = dispatch(6, 2);
        assert_eq!(
            (all.next(at(0)), all.next(at(0)), all.next(at(0))),
            (Some("box-000".into()), Some("box-001".into()), None)
        );
        assert_eq!(all.due(), Some(at(10)));
        assert_eq!(all.expire(at(9)).len(), 0);
        assert_eq!(all.expire(at(10)), ["box-000", "box-001"]);
        assert!(all.paused().is_none(), "two are too few to judge by");
        assert!(all.next(at(10)).is_some());
        all.settle(at(10), "box-000", Outcome::Done);
        assert_eq!(all.counts()[&Outcome::Silent], 2, "a late answer changes nothing");
    }

    #[test]
    fn sending_pauses_only_when_enough_are_done_and_too_many_failed() {
        let mut all = dispatch(20, 1);
        for outcome in [Outcome::Failed, Outcome::Done, Outcome::Done] {
            let id = all.next(at(0)).unwrap();
            all.settle(at(0), &id, outcome);
        }
        assert!(all.paused().is_none(), "a third of three");
        for outcome in [Outcome::Done, Outcome::Done, Outcome::Refused] {
            let id = all.next(at(0)).unwrap();
            all.settle(at(0), &id, outcome);
        }
        assert_eq!(all.paused(), Some("2 of 6 boxes failed, and the budget is 25 %"));
        assert!(all.next(at(0)).is_none() && all.is_over());
        assert_eq!((all.not_sent().count(), all.counts()[&Outcome::NotSent]), (14, 14));
    }

    #[test]
    fn busy_is_no_failure_and_is_asked_again() {
        let mut all = dispatch(5, 5);
        for _ in 0..5 {
            let id = all.next(at(0)).unwrap();
            all.settle(at(0), &id, Outcome::Busy);
        }
        assert!(all.next(at(4)).is_none());
        assert_eq!(all.due(), Some(at(5)));
        for round in 1..u64::from(BUSY_ATTEMPTS) {
            let now = at(round * 5);
            while let Some(id) = all.next(now) {
                all.settle(now, &id, Outcome::Busy);
            }
        }
        assert!(all.is_over() && all.paused().is_none());
        assert_eq!(all.counts(), BTreeMap::from([(Outcome::Busy, 5)]));
    }
}
