//! Ledger entries on their way to the broker: one at a time and in order, again after a refusal, and never in the way
//! of anything else. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ipc::{LedgerCursor, LedgerEntry};
use crate::token_bucket::TokenBucket;
use monotonic::Monotonic;

/// Entries that are held here at once; the rest stay in the ledger.
const MAX_HELD_ENTRIES: usize = 16;
/// Entries that are sent without a pause: those of a session with its start, end and what happened in between.
const BURST: u32 = 16;
/// Beyond these one is sent in each of these intervals. A backlog of a month, some 5,000 entries, is through in nine
/// minutes; a broker whose 100,000 boxes all have one takes a hundredth of what they could send at once.
const BACKLOG_INTERVAL: Duration = Duration::from_millis(100);
/// The first pause after a refusal, and the longest: whoever mends an access rule wants to see it work soon.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// Connections in a row that the broker ended with an event on its way, before events are blamed for it.
const STRIKES: u32 = 2;

/// Entries that the broker has not accepted, oldest first. The second is sent once the broker has the first: with
/// several under way the ones behind a refused one would overtake it.
#[derive(Debug)]
pub(super) struct EventQueue {
    entries: VecDeque<(LedgerCursor, LedgerEntry)>,
    /// The first of them is on its way.
    under_way: bool,
    /// Nothing is sent before this.
    resume_at: Option<Monotonic>,
    pause: Option<Duration>,
    strikes: u32,
    pace: TokenBucket,
}

impl EventQueue {
    pub(super) fn new(now: Monotonic) -> Self {
        Self {
            entries: VecDeque::new(),
            under_way: false,
            resume_at: None,
            pause: None,
            strikes: 0,
            pace: TokenBucket::new(BURST, BACKLOG_INTERVAL, now),
        }
    }

    /// Whether another entry may be handed in.
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < MAX_HELD_ENTRIES
    }

    /// Hands in the next entry, with its place in its ledger.
    pub(super) fn push(&mut self, entry: (LedgerCursor, LedgerEntry)) {
        self.entries.push_back(entry);
    }

    /// How many the broker has not accepted, of those that are held here.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry to send now, if there is one. It is on its way from then on.
    pub(super) fn next(&mut self, now: Monotonic) -> Option<&(LedgerCursor, LedgerEntry)> {
        if self.under_way || self.entries.is_empty() || self.resume_at.is_some_and(|at| now < at) {
            return None;
        }
        self.resume_at = None;
        if !self.pace.try_take(now) {
            self.resume_at = Some(self.pace.available_at(now));
            return None;
        }
        self.under_way = true;
        self.entries.front()
    }

    /// When the pause after a refusal, or between two entries of a backlog, is over, and something is to be sent then.
    pub(super) fn resume_at(&self) -> Option<Monotonic> {
        self.resume_at.filter(|_| !self.under_way && !self.entries.is_empty())
    }

    /// The broker has the entry that was on its way; it is given back, with its place.
    pub(super) fn accepted(&mut self) -> Option<(LedgerCursor, LedgerEntry)> {
        if !std::mem::take(&mut self.under_way) {
            return None;
        }
        (self.pause, self.strikes) = (None, 0);
        self.entries.pop_front()
    }

    /// The broker refused the entry that was on its way, or cannot be sent it: it waits, and so do those behind it.
    pub(super) fn refused(&mut self, now: Monotonic) {
        if std::mem::take(&mut self.under_way) {
            self.begin_pause(now);
        }
    }

    /// The box ended the connection: what was under way is sent again.
    pub(super) fn connection_ended(&mut self) {
        self.under_way = false;
    }

    /// The connection was lost: what was under way is sent again. Returns whether events are blamed for it.
    pub(super) fn connection_lost(&mut self, now: Monotonic) -> bool {
        if !std::mem::take(&mut self.under_way) {
            return false;
        }
        self.strikes = self.strikes.saturating_add(1);
        let blamed = self.strikes >= STRIKES;
        if blamed {
            self.begin_pause(now);
        }
        blamed
    }

    /// There is a connection again. Where events were blamed for the end of those before, it stands without them for as
    /// long as the pause is: commands are heard meanwhile, however long it took to come back.
    pub(super) fn connected(&mut self, now: Monotonic) {
        if self.strikes >= STRIKES {
            let pause = self.pause.unwrap_or(FIRST_PAUSE);
            self.resume_at = Some(self.resume_at.unwrap_or(now).max(now.saturating_add(pause)));
        }
    }

    fn begin_pause(&mut self, now: Monotonic) {
        let pause = self.pause.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.pause = Some(pause);
        // A fleet that was refused together does not come back together.
        self.resume_at = Some(now.saturating_add(pause.mul_f64(0.75 + fastrand::f64() / 2.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{Fact, StoredFact};

    fn entry(seq: u64) -> (LedgerCursor, LedgerEntry) {
        let fact = StoredFact::Known(Fact::GuardStopped {});
        let entry = LedgerEntry {
            seq,
            at: jiff::Timestamp::UNIX_EPOCH,
            clock: None,
            synchronised: None,
            boot: None,
            monotonic_ms: None,
            fact,
            prev: String::new(),
            hash: String::new(),
        };
        (LedgerCursor { ledger: String::new(), seq }, entry)
    }

    fn queue(entries: u64) -> EventQueue {
        let mut queue = EventQueue::new(Monotonic::default());
        (1..=entries).for_each(|seq| queue.push(entry(seq)));
        queue
    }

    fn next(queue: &mut EventQueue, now: Monotonic) -> Option<u64> {
        queue.next(now).map(|(_, entry)| entry.seq)
    }

    #[test]
    fn nothing_overtakes_an_entry_that_is_refused_and_pauses_grow() {
        let mut queue = queue(3);
        let mut now = Monotonic::default();
        assert_eq!((next(&mut queue, now), next(&mut queue, now)), (Some(1), None));
        assert_eq!(queue.accepted().map(|(place, _)| place.seq), Some(1));
        let mut last = Duration::ZERO;
        for round in 0..12 {
            assert_eq!(next(&mut queue, now), Some(2), "round {round}");
            queue.refused(now);
            let at = queue.resume_at().unwrap();
            let pause = at.duration_since(now);
            assert!(pause <= LONGEST_PAUSE.mul_f64(1.25) && (pause > last || pause > LONGEST_PAUSE / 2), "{pause:?}");
            assert_eq!(next(&mut queue, now.saturating_add(pause / 2)), None);
            (now, last) = (at, pause);
        }
        assert_eq!(next(&mut queue, now), Some(2));
        assert_eq!(queue.accepted().map(|(place, _)| place.seq), Some(2));
        assert_eq!(next(&mut queue, now), Some(3), "no pause is left over");
    }

    #[test]
    fn a_backlog_is_sent_at_its_pace_and_what_is_new_at_once() {
        let (mut queue, mut now, mut sent) = (queue(1000), Monotonic::default(), Vec::new());
        while let Some(seq) = next(&mut queue, now).or_else(|| {
            now = queue.resume_at()?;
            next(&mut queue, now)
        }) {
            sent.push((seq, now));
            assert_eq!(queue.accepted().map(|(place, _)| place.seq), Some(seq));
        }
        assert_eq!(sent.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=1000).collect::<Vec<_>>());
        let at_once = sent.iter().filter(|(_, at)| *at == Monotonic::default()).count();
        let took = now.duration_since(Monotonic::default());
        assert_eq!((at_once, took), (16, Duration::from_millis(98_400)));
        // After a while of rest a session's entries go at once again.
        now = now.saturating_add(Duration::from_secs(2));
        (2001..=2016).for_each(|seq| queue.push(entry(seq)));
        for seq in 2001..=2016 {
            assert_eq!((next(&mut queue, now), queue.accepted().map(|(place, _)| place.seq)), (Some(seq), Some(seq)));
        }
    }

    #[test]
    fn what_was_under_way_is_sent_again_and_blamed_the_second_time() {
        let mut queue = queue(1);
        let now = Monotonic::default();
        assert!(!queue.connection_lost(now), "nothing was under way");
        assert_eq!(next(&mut queue, now), Some(1));
        assert!(!queue.connection_lost(now), "once is nothing");
        assert_eq!(next(&mut queue, now), Some(1));
        assert!(queue.connection_lost(now));
        assert_eq!(next(&mut queue, now), None);
        // However late it is back, a connection stands without events for a while.
        let back = now.saturating_add(Duration::from_mins(1));
        queue.connected(back);
        assert_eq!(next(&mut queue, back), None);
        let resumed = queue.resume_at().unwrap();
        assert!(resumed >= back.saturating_add(FIRST_PAUSE));
        assert_eq!(next(&mut queue, resumed), Some(1));
        assert!(queue.accepted().is_some());
        queue.push(entry(2));
        queue.connected(resumed);
        assert_eq!(next(&mut queue, resumed), Some(2), "no pause is left over");
        assert!(queue.accepted().is_some());
        assert!(queue.accepted().is_none(), "an answer to nothing");
    }
}
