//! How often others may call what leaves a trace in the ledger or on the lamp. Checked here and not in the agent, which
//! may have been taken over.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ipc::{Rejection, ReplyCode, Request, Verb};
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
pub struct VerbQuotas {
    buckets: BTreeMap<Verb, TokenBucket>,
    desired: TokenBucket,
}

impl VerbQuotas {
    /// All full.
    pub fn new(now: Monotonic) -> Self {
        let limited = Verb::ALL.into_iter().filter(|verb| !matches!(verb, Verb::Stop | Verb::Mute));
        let full = || TokenBucket::new(BURST, REFILL_INTERVAL, now);
        Self { buckets: limited.map(|verb| (verb, full())).collect(), desired: full() }
    }

    /// Takes one of the tokens for documents that a trusted key signed; each writes to the disk.
    pub fn admit_desired(&mut self, now: Monotonic) -> bool {
        self.desired.try_take(now)
    }

    /// Takes one of the verb's tokens.
    pub fn admit(&mut self, verb: Verb, now: Monotonic) -> Result<(), Rejection> {
        if self.buckets.get_mut(&verb).is_none_or(|bucket| bucket.try_take(now)) {
            return Ok(());
        }
        Err(Rejection::new(ReplyCode::Busy, "too many of these: ten at once, then one every 10 s"))
    }
}

/// The verb of a request that is one. A signed command is none: its verb counts once it was judged.
pub fn verb_of(request: &Request) -> Option<Verb> {
    match request {
        Request::RequestStart {} => Some(Verb::RequestStart),
        Request::Stop {} => Some(Verb::Stop),
        Request::Mute {} => Some(Verb::Mute),
        Request::Unmute {} => Some(Verb::Unmute),
        Request::Identify {} => Some(Verb::Identify),
        Request::SetVideo(_) => Some(Verb::SetVideo),
        Request::Status {}
        | Request::Subscribe { .. }
        | Request::Probe {}
        | Request::Command { .. }
        // Versions only rise, and a refusal is written down once.
        | Request::Policy { .. }
        | Request::Refused { .. }
        // Limited where they are written down.
        | Request::Network(_)
        // Updates and desired configurations count what comes for themselves.
        | Request::Desired { .. }
        | Request::Release { .. }
        | Request::UpdateFetched { .. }
        | Request::UpdateNow { .. }
        | Request::UpdatePostpone { .. }
        | Request::UpdateEnded(_)
        | Request::CredentialsErased(_)
        | Request::PrivacyExported {}
        | Request::Button { .. }
        | Request::MuteButton { .. } => None,
    }
}
