//! Which of the agent's reports about the broker become entries. A broker that comes and goes, or an agent that claims
//! so, is recorded at a bounded rate; the last entry is true.

use core::time::Duration;

use crate::ipc::Fact;
use crate::token_bucket::TokenBucket;
use monotonic::Monotonic;

/// Entries at once.
pub(super) const BURST: u32 = 20;
/// Then one each interval: a broker that flaps all day brings some 300 pairs.
pub(super) const REFILL_INTERVAL: Duration = Duration::from_mins(5);

/// What the ledger has about the broker, and what waits to be recorded.
#[derive(Debug)]
pub(crate) struct BrokerLog {
    /// The newest entry.
    recorded: Option<Fact>,
    /// What is true now, and not recorded.
    waiting: Option<Fact>,
    bucket: TokenBucket,
}

impl BrokerLog {
    /// Nothing is known yet.
    pub(crate) fn new(now: Monotonic) -> Self {
        Self { recorded: None, waiting: None, bucket: TokenBucket::new(BURST, REFILL_INTERVAL, now) }
    }

    /// How it is now: connected, lost or refused.
    pub(crate) fn report(&mut self, fact: Fact) {
        self.waiting = (self.recorded.as_ref() != Some(&fact)).then_some(fact);
    }

    /// What may be recorded by now.
    pub(crate) fn due(&mut self, now: Monotonic) -> Option<Fact> {
        if self.waiting.is_none() || !self.bucket.try_take(now) {
            return None;
        }
        self.recorded = self.waiting.take();
        self.recorded.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_flaps_writes_little_and_ends_with_the_truth() {
        let at = |seconds: u64| Monotonic::from_start(Duration::from_secs(seconds));
        let (mut log, mut written) = (BrokerLog::new(at(0)), Vec::new());
        let lost = |number: u64| Fact::BrokerLost { reason: format!("attempt {number}") };
        for second in 0..86_400 {
            log.report(if second % 2 == 0 { Fact::BrokerConnected {} } else { lost(second) });
            written.extend(log.due(at(second)));
        }
        assert!((300..=310).contains(&written.len()), "{} entries", written.len());
        log.report(Fact::BrokerConnected {});
        log.report(lost(7));
        assert_eq!(log.due(at(100_000)), Some(lost(7)));
        log.report(lost(7));
        assert_eq!(log.due(at(200_000)), None, "the same is no news");
        // What was over before it could be recorded is not recorded.
        log.report(Fact::BrokerConnected {});
        log.report(lost(7));
        assert_eq!(log.due(at(300_000)), None);
    }
}
