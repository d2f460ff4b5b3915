//! Incidents that are not over, and the lamp's notice of them. What they mean stands with [`Incident`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::program_check::ProgramCheck;
use crate::clock::ClockReading;
use crate::ipc::{Fact, Incident, IncidentText, OpenIncident};
use monotonic::Monotonic;

/// The lamp's notice ends by itself after this long.
const NOTICE_FOR: Duration = Duration::from_hours(24);
/// So many refusals within [`REFUSAL_WINDOW`] are an incident: more than a platform sends by mistake.
const MANY_REFUSALS: usize = 30;
/// See [`MANY_REFUSALS`].
const REFUSAL_WINDOW: Duration = Duration::from_mins(10);
/// A synchronised clock that goes back by more than this was set, or its server lies. Time servers differ by less, and
/// a clock without a battery is not synchronised while it is wrong.
const ROLLED_BACK: Duration = Duration::from_hours(2);

/// An incident that is not over.
#[derive(Debug)]
struct Open {
    what: String,
    since: Monotonic,
}

/// What is known of incidents.
#[derive(Debug)]
pub(super) struct Incidents {
    open: BTreeMap<Incident, Open>,
    /// Since when the lamp has to show that something is to be looked at.
    notice_since: Option<Monotonic>,
    /// When commands or connections were refused, the newest last.
    refusals: VecDeque<Monotonic>,
    /// The newest reading of a synchronised clock.
    synchronised_at: Option<Timestamp>,
    pub(super) programs: ProgramCheck,
}

impl Incidents {
    /// Nothing is known yet.
    pub(super) fn new(programs: ProgramCheck) -> Self {
        Self { open: BTreeMap::new(), notice_since: None, refusals: VecDeque::new(), synchronised_at: None, programs }
    }

    /// Takes up those that the ledger has as not over, and the time of its last synchronised clock.
    pub(super) fn restore(&mut self, now: Monotonic, open: &BTreeSet<Incident>, synchronised_at: Option<Timestamp>) {
        let known =
            |incident: &Incident| (*incident, Open { what: incident.english().happened.to_owned(), since: now });
        self.open = open.iter().map(known).collect();
        self.notice_since = open.iter().any(|incident| !incident.is_tampering()).then_some(now);
        self.synchronised_at = synchronised_at;
    }

    /// The entry about one that is new; `None`: it goes on.
    pub(super) fn detect(&mut self, now: Monotonic, incident: Incident, what: String) -> Option<Fact> {
        if let Some(known) = self.open.get_mut(&incident) {
            known.what = what;
            return None;
        }
        let IncidentText { happened: _, impact, done, advice } = incident.english();
        let fact = Fact::IncidentDetected {
            incident,
            what: what.clone(),
            impact: impact.to_owned(),
            done: done.to_owned(),
            advice: advice.to_owned(),
        };
        self.open.insert(incident, Open { what, since: now });
        if !incident.is_tampering() {
            self.notice_since = Some(now);
        }
        Some(fact)
    }

    /// The entry about one whose cause is gone.
    pub(super) fn clear(&mut self, incident: Incident) -> Option<Fact> {
        self.open.remove(&incident).map(|_| Fact::IncidentCleared { incident })
    }

    /// Somebody has seen the lamp: the notice ends, and so do incidents that happened once.
    pub(super) fn seen(&mut self) -> Vec<Fact> {
        if self.notice_since.take().is_none() {
            return Vec::new();
        }
        let once: Vec<_> = self.open.keys().copied().filter(|incident| !incident.lasts()).collect();
        once.into_iter().filter_map(|incident| self.clear(incident)).collect()
    }

    /// The same by itself, after a day.
    pub(super) fn expire(&mut self, now: Monotonic) -> Vec<Fact> {
        match self.notice_since {
            Some(since) if now.duration_since(since) >= NOTICE_FOR => self.seen(),
            Some(_) | None => Vec::new(),
        }
    }

    /// Whether the lamp has to show a notice.
    pub(super) fn has_notice(&self) -> bool {
        self.notice_since.is_some() && !self.open.is_empty()
    }

    /// Whether what the box claims cannot be trusted now.
    pub(super) fn is_tampered(&self) -> bool {
        self.open.keys().any(|incident| incident.is_tampering())
    }

    /// Those that are not over, for the status.
    pub(super) fn open(&self) -> Vec<OpenIncident> {
        let mut all: Vec<_> = self.open.iter().collect();
        all.sort_by_key(|(_, open)| open.since);
        all.into_iter().map(|(incident, open)| OpenIncident { incident: *incident, what: open.what.clone() }).collect()
    }

    /// Counts a refused command or connection. Returns whether they have become many.
    pub(super) fn count_refusal(&mut self, now: Monotonic) -> bool {
        self.refusals.push_back(now);
        while self.refusals.len() > MANY_REFUSALS {
            self.refusals.pop_front();
        }
        let first = self.refusals.front().copied().unwrap_or(now);
        let many = self.refusals.len() == MANY_REFUSALS && now.duration_since(first) <= REFUSAL_WINDOW;
        if many {
            self.refusals.clear();
        }
        many
    }

    /// Where a synchronised clock was, if it is far behind that now.
    pub(super) fn rolled_back_from(&mut self, reading: &ClockReading) -> Option<Timestamp> {
        if !reading.synchronised {
            return None;
        }
        let before = self.synchronised_at.replace(reading.utc)?;
        let back: Duration = before.duration_since(reading.utc).try_into().unwrap_or_default();
        (back > ROLLED_BACK).then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    fn fresh() -> Incidents {
        Incidents::new(ProgramCheck::new(Path::new("/nowhere"), at(0)))
    }

    #[test]
    fn an_incident_is_told_once_and_is_over_when_its_cause_is_gone() {
        let mut all = fresh();
        assert!(all.detect(at(1), Incident::CaseOpened, "x".to_owned()).is_some());
        assert!(all.detect(at(2), Incident::CaseOpened, "x".to_owned()).is_none());
        assert!(all.is_tampered() && !all.has_notice());
        assert!(all.seen().is_empty() && all.is_tampered(), "a touch does not close the case");
        assert_eq!(all.clear(Incident::CaseOpened), Some(Fact::IncidentCleared { incident: Incident::CaseOpened }));
        assert_eq!((all.clear(Incident::CaseOpened), all.is_tampered()), (None, false));
    }

    #[test]
    fn a_notice_ends_with_a_touch_or_a_day_and_what_lasts_stays_in_the_status() {
        let mut all = fresh();
        all.detect(at(1), Incident::UnitChanged, "unit".to_owned());
        all.detect(at(2), Incident::ClockRolledBack, "clock".to_owned());
        assert!(all.has_notice() && !all.is_tampered());
        assert_eq!(all.seen(), [Fact::IncidentCleared { incident: Incident::ClockRolledBack }]);
        assert!(!all.has_notice());
        assert_eq!(all.open(), [OpenIncident { incident: Incident::UnitChanged, what: "unit".to_owned() }]);
        all.detect(at(10), Incident::RepeatedRefusals, "many".to_owned());
        assert!(all.expire(at(10 + 86_399)).is_empty() && all.has_notice());
        assert_eq!(all.expire(at(10 + 86_400)).len(), 1);
        assert!(!all.has_notice());
    }

    #[test]
    fn thirty_refusals_in_ten_minutes_are_many_and_the_same_in_an_hour_are_not() {
        let mut all = fresh();
        assert_eq!((0..90).filter(|n| all.count_refusal(at(n * 20))).count(), 3);
        let mut all = fresh();
        assert_eq!((0..1000).filter(|n| all.count_refusal(at(n * 120))).count(), 0);
    }

    #[test]
    fn only_a_synchronised_clock_that_was_right_can_be_rolled_back() {
        let reading = |second: i64, synchronised: bool| ClockReading {
            utc: Timestamp::from_second(second).unwrap(),
            synchronised,
            boot: "b".into(),
            monotonic_ms: 0,
        };
        let (year, now) = (365 * 86_400, 1_800_000_000);
        let mut all = fresh();
        // A box without a battery starts in the past, and is set right.
        all.restore(at(0), &BTreeSet::new(), Some(Timestamp::from_second(now).unwrap()));
        assert_eq!(all.rolled_back_from(&reading(now - year, false)), None);
        assert_eq!(all.rolled_back_from(&reading(now + 60, true)), None);
        assert_eq!(all.rolled_back_from(&reading(now - 3600, true)), None, "an hour is a correction");
        let before = all.rolled_back_from(&reading(now - year, true));
        assert_eq!(before.map(Timestamp::as_second), Some(now - 3600));
        assert_eq!(all.rolled_back_from(&reading(now - year + 1, true)), None, "told once");
    }
}
