//! The connections of the control socket: a limited number for each user, where an idle connection makes room for a new
//! one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, millis};
use monotonic::Monotonic;

/// Connections per user: the agent has two, and people watch. Each user has a limit of its own, so that a compromised
/// agent cannot keep root from reading the status.
const MAX_PER_USER: usize = 16;

/// The state of a connection, which decides which one is closed for a new one.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    clock: Clock,
    uid: u32,
    /// Time of its last request, in milliseconds.
    last_request_ms: AtomicU64,
    subscribed: AtomicBool,
    /// It waits for a response, or holds a simulated button down.
    busy: AtomicBool,
    evicted: CancellationToken,
}

impl ConnectionSlot {
    /// It sent a request.
    pub(super) fn record_request(&self) {
        self.last_request_ms.store(millis(self.clock.now().duration_since(Monotonic::default())), Ordering::Relaxed);
    }

    pub(super) fn set(&self, subscribed: bool, busy: bool) {
        self.subscribed.store(subscribed, Ordering::Relaxed);
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// The result of `work`; `None`: the connection was closed for a new one.
    pub(super) async fn until_evicted<T>(&self, talk: impl Future<Output = T>) -> Option<T> {
        self.evicted.run_until_cancelled(talk).await
    }

    /// Closed first: connections without a subscription, then the others; the longest without a request first.
    fn eviction_rank(&self) -> (bool, u64) {
        (self.subscribed.load(Ordering::Relaxed), self.last_request_ms.load(Ordering::Relaxed))
    }
}

/// All connections.
#[derive(Debug)]
pub(super) struct ConnectionTable {
    clock: Clock,
    all: Vec<Weak<ConnectionSlot>>,
}

impl ConnectionTable {
    pub(super) fn new() -> Self {
        Self { clock: Clock::start(), all: Vec::new() }
    }

    /// Admits one more, for which another one of the same user may be closed. `Err`: why not.
    pub(super) fn admit(&mut self, uid: u32) -> Result<Arc<ConnectionSlot>, &'static str> {
        self.all.retain(|guest| guest.strong_count() > 0);
        let mine = self.all.iter().filter_map(Weak::upgrade).filter(|guest| guest.uid == uid);
        let mine: Vec<_> = mine.filter(|guest| !guest.evicted.is_cancelled()).collect();
        if mine.len() >= MAX_PER_USER {
            let idle = mine.iter().filter(|guest| !guest.busy.load(Ordering::Relaxed));
            let Some(first) = idle.min_by_key(|guest| guest.eviction_rank()) else {
                return Err("too many connections");
            };
            first.evicted.cancel();
        }
        let slot = ConnectionSlot {
            clock: self.clock,
            uid,
            last_request_ms: AtomicU64::default(),
            subscribed: AtomicBool::default(),
            busy: AtomicBool::default(),
            evicted: CancellationToken::new(),
        };
        slot.record_request();
        let slot = Arc::new(slot);
        self.all.push(Arc::downgrade(&slot));
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sits_there_leaves_first_and_who_waits_for_an_answer_stays() {
        let mut table = ConnectionTable::new();
        let all: Vec<_> = (0..MAX_PER_USER).map(|_| table.admit(7).unwrap()).collect();
        all[0].set(true, false);
        all[1].set(false, true);
        let left = || all.iter().map(|guest| guest.evicted.is_cancelled()).collect::<Vec<_>>();
        let other = table.admit(8).unwrap();
        assert_eq!(left(), [false; MAX_PER_USER], "each user has his own");
        let mut more: Vec<_> = (2..MAX_PER_USER).map(|_| table.admit(7).unwrap()).collect();
        assert!(!left()[0] && !left()[1] && left()[2..].iter().all(|left| *left));
        for guest in &more {
            guest.set(false, true);
        }
        more.push(table.admit(7).unwrap());
        assert!(left()[0] && !left()[1]);
        more.last().unwrap().set(false, true);
        assert_eq!(table.admit(7).unwrap_err(), "too many connections");
        drop(more);
        assert!(table.admit(7).is_ok() && !other.evicted.is_cancelled());
    }
}
