//! Who is connected to the guard's socket: so many of each user, and none that only sits there keeps another one out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, millis};
use monotonic::Monotonic;

/// Connections of one user at once: the agent has two, and people watch. Each user has his own, so that an agent that
/// was taken over cannot keep root from asking for the status.
const EACH: usize = 16;

/// How a connection stands: who has to leave first when one more comes.
#[derive(Debug)]
pub(super) struct Standing {
    clock: Clock,
    uid: u32,
    /// When it last asked for something, in milliseconds.
    heard: AtomicU64,
    subscribed: AtomicBool,
    /// It waits for an answer, or holds a simulated button down.
    busy: AtomicBool,
    leave: CancellationToken,
}

impl Standing {
    /// It asked for something.
    pub(super) fn heard(&self) {
        self.heard.store(millis(self.clock.now().duration_since(Monotonic::default())), Ordering::Relaxed);
    }

    pub(super) fn set(&self, subscribed: bool, busy: bool) {
        self.subscribed.store(subscribed, Ordering::Relaxed);
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// What comes of `talk`; `None`: it had to leave before its end.
    pub(super) async fn until_asked_to_leave<T>(&self, talk: impl Future<Output = T>) -> Option<T> {
        self.leave.run_until_cancelled(talk).await
    }

    /// Who leaves first: who asked for nothing, then who only listens, for the longest time each.
    fn rank(&self) -> (bool, u64) {
        (self.subscribed.load(Ordering::Relaxed), self.heard.load(Ordering::Relaxed))
    }
}

/// The connections that there are.
#[derive(Debug)]
pub(super) struct Guests {
    clock: Clock,
    all: Vec<Weak<Standing>>,
}

impl Guests {
    pub(super) fn new() -> Self {
        Self { clock: Clock::start(), all: Vec::new() }
    }

    /// Lets one more in, for whom another one of the same user may have to leave. `Err`: why not.
    pub(super) fn admit(&mut self, uid: u32) -> Result<Arc<Standing>, &'static str> {
        self.all.retain(|guest| guest.strong_count() > 0);
        let mine = self.all.iter().filter_map(Weak::upgrade).filter(|guest| guest.uid == uid);
        let mine: Vec<_> = mine.filter(|guest| !guest.leave.is_cancelled()).collect();
        if mine.len() >= EACH {
            let idle = mine.iter().filter(|guest| !guest.busy.load(Ordering::Relaxed));
            let Some(first) = idle.min_by_key(|guest| guest.rank()) else { return Err("too many connections") };
            first.leave.cancel();
        }
        let standing = Standing {
            clock: self.clock,
            uid,
            heard: AtomicU64::default(),
            subscribed: AtomicBool::default(),
            busy: AtomicBool::default(),
            leave: CancellationToken::new(),
        };
        standing.heard();
        let standing = Arc::new(standing);
        self.all.push(Arc::downgrade(&standing));
        Ok(standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sits_there_leaves_first_and_who_waits_for_an_answer_stays() {
        let mut guests = Guests::new();
        let all: Vec<_> = (0..EACH).map(|_| guests.admit(7).unwrap()).collect();
        all[0].set(true, false);
        all[1].set(false, true);
        let left = || all.iter().map(|guest| guest.leave.is_cancelled()).collect::<Vec<_>>();
        let other = guests.admit(8).unwrap();
        assert_eq!(left(), [false; EACH], "each user has his own");
        let mut more: Vec<_> = (2..EACH).map(|_| guests.admit(7).unwrap()).collect();
        assert!(!left()[0] && !left()[1] && left()[2..].iter().all(|left| *left));
        for guest in &more {
            guest.set(false, true);
        }
        more.push(guests.admit(7).unwrap());
        assert!(left()[0] && !left()[1]);
        more.last().unwrap().set(false, true);
        assert_eq!(guests.admit(7).unwrap_err(), "too many connections");
        drop(more);
        assert!(guests.admit(7).is_ok() && !other.leave.is_cancelled());
    }
}
