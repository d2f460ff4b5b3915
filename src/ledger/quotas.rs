//! How many entries others can cause: a platform that asks, a loose wire, a clock that is set to and fro, a server that
//! comes and goes. What is too much is counted, and the count is an entry. What staff do, and the begin and end of
//! sessions, is always recorded.
//!
//! Each limit is a burst, and then a rate that a disk can bear for 184 days: [`WORST_DAY`] adds them up.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ipc::{Actor, Fact, FootageEnd};
use crate::token_bucket::TokenBucket;
use monotonic::Monotonic;

/// Entries at once of one kind, and then one each [`REFILL`].
const BURST: u32 = 30;
/// See [`BURST`].
const REFILL: Duration = Duration::from_mins(15);
/// Refusals recorded one by one in each [`WINDOW`].
const REFUSALS: u32 = 10;
/// See [`REFUSALS`].
const WINDOW: Duration = Duration::from_mins(1);
/// Refusals that are recorded beside that limit: so many at once, and then one each [`REFUSAL_REFILL`].
const REFUSAL_BURST: u32 = 200;
/// See [`REFUSAL_BURST`].
const REFUSAL_REFILL: Duration = Duration::from_mins(10);
/// Times that counts are recorded: so many at once, and then one each [`COUNT_REFILL`].
const COUNT_BURST: u32 = 10;
/// See [`COUNT_BURST`].
const COUNT_REFILL: Duration = Duration::from_hours(1);

const DAY_MINUTES: u64 = 24 * 60;

/// So many a day at most, after a burst at its beginning.
const fn a_day(burst: u32, refill: Duration) -> u64 {
    burst as u64 + DAY_MINUTES * 60 / refill.as_secs()
}

/// The most that a day can bring: what, how many entries, and bytes that one takes on the disk at most, its hash, index
/// and SQLite's own included. The first rows are limits in the code. The others are assumptions: what people do at the
/// box, and holders of trusted keys, is recorded one by one, however often.
pub const WORST_DAY: [(&str, u64, u64); 9] = [
    ("kinds that others can cause", 10 * a_day(BURST, REFILL), 700),
    ("refused commands and connections", a_day(REFUSAL_BURST, REFUSAL_REFILL), 700),
    ("counts of what was left out", 11 * a_day(COUNT_BURST, COUNT_REFILL), 400),
    ("the broker comes and goes", a_day(super::broker_log::BURST, super::broker_log::REFILL_INTERVAL), 700),
    ("the ingest server comes and goes", 2 * a_day(super::link_log::DAILY_BURST, super::link_log::DAILY_REFILL), 900),
    ("encoders fail", a_day(super::link_log::DAILY_BURST, super::link_log::DAILY_REFILL), 900),
    ("assumed: sessions, mutes and locks by staff", 4 * 100, 1000),
    ("assumed: commands, policies, updates by trusted keys", 300, 1500),
    ("assumed: restarts", 5 * 40, 600),
];

/// Bytes that the ledger can take with entries of so many days.
pub const fn worst_case(days: u64) -> u64 {
    let (mut bytes, mut row) = (0, 0);
    while row < WORST_DAY.len() {
        bytes += WORST_DAY[row].1 * WORST_DAY[row].2;
        row += 1;
    }
    bytes * days
}

/// What the ledger of a box may take, in bytes: the worst case over 184 days, and a week that is pruned late.
pub const SIZE_BUDGET: u64 = 640 * 1024 * 1024;
const _: () = assert!(worst_case(184 + 7) <= SIZE_BUDGET);

/// What may be recorded of one kind, and how many facts were left out.
#[derive(Debug)]
struct FactQuota {
    bucket: TokenBucket,
    left_out: u64,
}

/// All limits.
#[derive(Debug)]
pub(crate) struct FactQuotas {
    kinds: BTreeMap<&'static str, FactQuota>,
    window_start: Monotonic,
    /// Refusals recorded in the window.
    refusals: u32,
    /// When counts were last recorded, or the quotas began.
    counted_at: Monotonic,
    /// Refusals that were not recorded, and are not told yet.
    unrecorded: u64,
    refusal_bucket: TokenBucket,
    count_bucket: TokenBucket,
}

impl FactQuotas {
    /// All full.
    pub(crate) fn new(now: Monotonic) -> Self {
        Self {
            kinds: BTreeMap::new(),
            window_start: now,
            refusals: 0,
            counted_at: now,
            unrecorded: 0,
            refusal_bucket: TokenBucket::new(REFUSAL_BURST, REFUSAL_REFILL, now),
            count_bucket: TokenBucket::new(COUNT_BURST, COUNT_REFILL, now),
        }
    }

    /// Whether a fact of this kind may be recorded now; others are counted.
    pub(crate) fn admits(&mut self, now: Monotonic, fact: &Fact) -> bool {
        let Some(kind) = quota_kind(fact) else { return true };
        let fresh = || FactQuota { bucket: TokenBucket::new(BURST, REFILL, now), left_out: 0 };
        let quota = self.kinds.entry(kind).or_insert_with(fresh);
        if quota.bucket.try_take(now) {
            return true;
        }
        quota.left_out += 1;
        false
    }

    /// Whether one more refusal may be recorded; others are counted.
    pub(crate) fn admits_refusal(&mut self, now: Monotonic) -> bool {
        if now.duration_since(self.window_start) >= WINDOW {
            (self.window_start, self.refusals) = (now, 0);
        }
        if self.refusals < REFUSALS && self.refusal_bucket.try_take(now) {
            self.refusals += 1;
            return true;
        }
        self.unrecorded += 1;
        false
    }

    /// How many facts were left out since it was recorded last; nothing sooner than a minute after that.
    pub(crate) fn counts(&mut self, now: Monotonic) -> Vec<Fact> {
        let is_any = self.unrecorded > 0 || self.kinds.values().any(|quota| quota.left_out > 0);
        if !is_any || now.duration_since(self.counted_at) < WINDOW || !self.count_bucket.try_take(now) {
            return Vec::new();
        }
        self.counted_at = now;
        let refused = std::mem::take(&mut self.unrecorded);
        let refused = (refused > 0).then_some(Fact::CommandsRefused { count: refused });
        let ready = self.kinds.iter_mut().filter(|(_, quota)| quota.left_out > 0);
        let left_out = ready.map(|(kind, quota)| Fact::EntriesLeftOut {
            of: (*kind).to_owned(),
            count: std::mem::take(&mut quota.left_out),
        });
        refused.into_iter().chain(left_out).collect()
    }
}

/// The kind of a fact that others can cause as often as they like.
#[allow(clippy::too_many_lines)] // a line for each fact
fn quota_kind(fact: &Fact) -> Option<&'static str> {
    match fact {
        Fact::Requested { .. } => Some("requested"),
        Fact::UnbindRequested {} => Some("unbind-requested"),
        Fact::RequestEnded { .. } => Some("request-ended"),
        Fact::Muted { by: Actor::Remote, .. } => Some("muted"),
        Fact::FaultDetected { .. } => Some("broke"),
        Fact::FaultCleared { .. } => Some("mended"),
        Fact::ClockStepped { .. } => Some("clock-stepped"),
        // Capture, were it taken over, could write as many files as it likes.
        Fact::FootageDestroyed { why: Some(FootageEnd::Doubt), .. } => Some("footage-destroyed"),
        Fact::DestinationRefused { .. } => Some("destination-refused"),
        Fact::IncidentDetected { .. } => Some("incident-detected"),
        Fact::IncidentCleared { .. } => Some("incident-cleared"),
        // Limited by `BrokerLog` (the agent's) and `LinkLog` (capture's), so that the last entry stays true.
        Fact::BrokerConnected {}
        | Fact::BrokerLost { .. }
        | Fact::BrokerRefused { .. }
        | Fact::OnAir { .. }
        | Fact::OffAir { .. }
        | Fact::EncoderFallback { .. }
        | Fact::GuardStarted { .. }
        | Fact::GuardStopped {}
        | Fact::Identified { .. }
        | Fact::Configured { .. }
        | Fact::SessionStarted { .. }
        | Fact::SessionStopped { .. }
        | Fact::SessionInterrupted { .. }
        | Fact::Muted { by: Actor::Staff, .. }
        | Fact::Locked {}
        | Fact::Unlocked {}
        | Fact::PolicyPending { .. }
        | Fact::PolicyAcknowledged { .. }
        // Each ends a service, and a box has one at a time.
        | Fact::EndOfServiceReceived { .. }
        | Fact::ServiceEnded { .. }
        | Fact::FootageDestroyed { .. }
        | Fact::FootageKept { .. }
        // Root's or the guard's own user's alone.
        | Fact::PrivacyExported {}
        | Fact::ErasureStarted { .. }
        | Fact::Erased { .. }
        | Fact::IngestSet { .. }
        // Five, until something changes.
        | Fact::AgreementRefused { .. }
        | Fact::PolicyUpdated { .. }
        | Fact::Unbound { .. }
        // Limited by the guard's quotas; each one has to be accounted for.
        | Fact::Commanded { .. }
        | Fact::CommandRefused { .. }
        | Fact::CommandsRefused { .. }
        | Fact::ConnectionRefused { .. }
        | Fact::Probed { .. }
        | Fact::Pruned { .. }
        | Fact::EntriesLost { .. }
        | Fact::EntriesLeftOut { .. }
        // Signed by as many keys as it takes, and the highest serial has to be known.
        | Fact::UpdateOffered { .. }
        | Fact::UpdatePostponed { .. }
        | Fact::UpdateAnnounced { .. }
        | Fact::UpdateStarted { .. }
        | Fact::UpdateSucceeded { .. }
        | Fact::UpdateFailed { .. }
        | Fact::DesiredReceived { .. }
        | Fact::DesiredPending { .. }
        | Fact::DesiredAgreed { .. }
        | Fact::DesiredApplied { .. }
        | Fact::DesiredDropped { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that others can cause, ten times a second for two days: no day brings more than the table says, and
    /// nothing is left out without being counted.
    #[test]
    fn no_day_brings_more_than_the_table_says() {
        let at = |tenths: u64| Monotonic::from_start(Duration::from_millis(tenths * 100));
        let mut quotas = FactQuotas::new(at(0));
        let wire = Fact::RequestEnded { reason: "request-timeout".to_owned() };
        let (mut asked, mut counted) = (0, 0);
        for day in 0..2_u64 {
            let (mut wires, mut refusals, mut counts) = (0, 0, 0);
            for tenth in day * 864_000..(day + 1) * 864_000 {
                asked += 2;
                wires += u64::from(quotas.admits(at(tenth), &wire));
                refusals += u64::from(quotas.admits_refusal(at(tenth)));
                for fact in quotas.counts(at(tenth)) {
                    counts += 1;
                    let (Fact::CommandsRefused { count } | Fact::EntriesLeftOut { count, .. }) = fact else {
                        panic!("{fact:?}")
                    };
                    counted += count;
                }
            }
            counted += wires + refusals;
            assert!((90..=a_day(BURST, REFILL)).contains(&wires), "{wires}");
            assert!((140..=a_day(REFUSAL_BURST, REFUSAL_REFILL)).contains(&refusals), "{refusals}");
            assert!((20..=2 * a_day(COUNT_BURST, COUNT_REFILL)).contains(&counts), "{counts}");
        }
        let waits = quotas.unrecorded + quotas.kinds.values().map(|quota| quota.left_out).sum::<u64>();
        assert_eq!(counted + waits, asked);
    }
}
