//! How it stands with an update, in words.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Unit};
use rollout::{Decision, Hold};

use crate::ipc::{UpdateState, UpdateStatus};

/// What the agent has of the package.
pub(super) struct Download<'a> {
    pub(super) is_done: bool,
    /// What keeps it.
    pub(super) error: Option<&'a str>,
    /// Until when the notice runs.
    pub(super) notice: Option<Timestamp>,
}

/// `time` and then `span`, to the minute: what is told must not change with each look at it.
pub(super) fn later(time: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    minute(time.checked_add(span).unwrap_or(Timestamp::MAX))
}

fn minute(time: Timestamp) -> Timestamp {
    time.round(Unit::Minute).unwrap_or(time)
}

/// The second of the box's local day.
pub(super) fn second_of_day(now: Timestamp) -> u32 {
    let time = TimeZone::system().to_datetime(now).time();
    let part = |value: i8, seconds: u32| u32::try_from(value).unwrap_or(0) * seconds;
    part(time.hour(), 3600) + part(time.minute(), 60) + part(time.second(), 1)
}

/// `known` with what the decision makes of it.
pub(super) fn status(known: UpdateStatus, decision: &Decision, download: &Download<'_>) -> UpdateStatus {
    let explained = |state, until: Option<Timestamp>| UpdateStatus {
        state,
        until: until.map(minute),
        why: Some(decision.explain().to_owned()),
        ..known.clone()
    };
    // While a session counts down, the end of its five minutes is no news each second.
    let shown = |until: Option<Timestamp>, why: Hold| until.filter(|_| why != Hold::Session);
    let fetching =
        || UpdateStatus { state: UpdateState::Downloading, why: download.error.map(str::to_owned), ..known.clone() };
    match decision {
        Decision::Installed => UpdateStatus { state: UpdateState::Current, ..known },
        Decision::OtherChannel
        | Decision::OtherArchitecture
        | Decision::Downgrade
        | Decision::BelowMinimum
        | Decision::Expired
        | Decision::Aborted
        | Decision::Paused
        | Decision::Manual => explained(UpdateState::Offered, None),
        Decision::GivenUp => explained(UpdateState::Failed, None),
        Decision::Wait { until, why } => explained(UpdateState::Waiting, shown(*until, *why)),
        Decision::Fetch { .. } | Decision::Start if !download.is_done => fetching(),
        Decision::Fetch { until, why } => explained(UpdateState::Ready, shown(*until, *why)),
        Decision::Start if download.notice.is_some() => UpdateStatus {
            state: UpdateState::Ready,
            until: download.notice,
            why: Some("it is announced: tallybox update postpone puts it off".to_owned()),
            ..known
        },
        Decision::Start => explained(UpdateState::Ready, None),
    }
}
