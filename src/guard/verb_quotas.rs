//! How often others may call what leaves a trace in the ledger or on the lamp. Checked here and not in the agent, which
//! may have been taken over.

use std::time::Duration;

use crate::ipc::{Request, Verb};
use crate::token_bucket::TokenBucket;
use monotonic::Monotonic;

/// Calls of one verb at once, and then one each [`REFILL_INTERVAL`]: more than a person clicks, and some 8,600 a day at
/// most.
const BURST: u32 = 10;
/// See [`BURST`].
const REFILL_INTERVAL: Duration = Duration::from_secs(10);

/// One bucket for each verb that has a limit. `stop` and `mute` have none: repeating them changes nothing and leaves no
/// trace.
#[derive(Debug)]
pub(super) struct VerbQuotas {
    request_start: TokenBucket,
    unmute: TokenBucket,
    identify: TokenBucket,
    desired: TokenBucket,
}

/// A call over its quota.
#[derive(Debug)]
pub(super) struct OverQuota {
    pub(super) verb: Verb,
    pub(super) why: &'static str,
}

impl VerbQuotas {
    pub(super) fn new(now: Monotonic) -> Self {
        let full = || TokenBucket::new(BURST, REFILL_INTERVAL, now);
        Self { request_start: full(), unmute: full(), identify: full(), desired: full() }
    }

    /// Takes one of the tokens for documents that a trusted key signed; each writes to the disk.
    pub(super) fn admit_desired(&mut self, now: Monotonic) -> bool {
        self.desired.try_take(now)
    }

    /// Takes one of the verb's tokens.
    pub(super) fn admit(&mut self, request: &Request, now: Monotonic) -> Result<(), OverQuota> {
        let (bucket, verb) = match request {
            Request::RequestStart {} => (&mut self.request_start, Verb::RequestStart),
            Request::Unmute {} => (&mut self.unmute, Verb::Unmute),
            Request::Identify {} => (&mut self.identify, Verb::Identify),
            Request::Status {}
            | Request::Subscribe { .. }
            | Request::Probe {}
            | Request::Stop {}
            | Request::Mute {}
            | Request::Refused { .. }
            // Updates count what comes for themselves.
            | Request::Release { .. }
            | Request::UpdateFetched { .. }
            | Request::UpdateNow { .. }
            | Request::UpdatePostpone { .. }
            | Request::UpdateEnded(_)
            | Request::Desired { .. }
            | Request::Button { .. }
            | Request::MuteButton { .. } => return Ok(()),
        };
        let why = "too many of these: ten at once, then one every 10 s";
        if bucket.try_take(now) { Ok(()) } else { Err(OverQuota { verb, why }) }
    }
}
