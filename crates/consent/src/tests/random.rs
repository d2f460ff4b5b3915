//! All rules of docs/consent.md at once, over random events and delays.

use proptest::prelude::*;

use super::any::{any_delay, any_event};
use super::onlooker::Watched;
use super::{fresh, launches, ms};
use crate::{Event, Parting, PersistedState, SessionId, SessionLimits};

fn check(script: &[(u64, Event)], memory: PersistedState, minors_mode: bool) -> Result<(), TestCaseError> {
    let limits = SessionLimits { minors_mode, ..SessionLimits::default() };
    let mut watched = Watched::new(0, limits, memory);
    for &(delay, event) in script {
        // The guard polls ten times a second while the button is down, as the deadline requires; or it does not, for
        // long.
        let until = watched.now + delay;
        if delay <= 35_000 && delay % 7 != 0 {
            while watched.machine.deadline().is_some_and(|at| at < ms(until)) {
                watched.poll((watched.now + 50).min(until))?;
            }
        }
        watched.take(until, event, |_| ())?;
    }
    Ok(())
}

/// The same without any touch.
fn untouched(event: Event) -> Event {
    if matches!(event, Event::ButtonDown | Event::ButtonFoundDown | Event::ButtonUp) { Event::Tick } else { event }
}

/// 100,000 in the long form: `TALLYBOX_LONG=1 cargo test -p consent`.
fn cases() -> u32 {
    if std::env::var_os("TALLYBOX_LONG").is_some() { 100_000 } else { 3_000 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn consent_holds_whatever_happens(
        script in prop::collection::vec((any_delay(), any_event()), 1..60),
        locked in prop::bool::weighted(0.1),
        unbound in prop::bool::weighted(0.05),
        policy_pending in prop::bool::weighted(0.1),
        minors in prop::bool::weighted(0.3),
    ) {
        check(&script, PersistedState { last_session: SessionId(0), locked, parted: unbound.then_some(Parting::Unbound), policy_pending }, minors)?;
    }

    #[test]
    fn remote_alone_never_reaches_capture(
        script in prop::collection::vec((any_delay(), any_event().prop_map(untouched)), 1..60),
    ) {
        let mut machine = fresh();
        let mut now = 0;
        for (delay, event) in script {
            now += delay;
            prop_assert!(launches(machine.step(ms(now), event)).is_empty());
            prop_assert!(!machine.phase().may_capture());
        }
    }

    /// Touches of about the right lengths, so that many of them start something in minors' mode.
    #[test]
    fn minors_mode_starts_only_with_a_press_and_a_guardians_hold(
        touches in prop::collection::vec(
            (0_u64..5000, prop_oneof![2 => 30_u64..1000, 3 => 1900_u64..3200, 1 => 30_u64..6000], any_event(), prop::bool::weighted(0.2)),
            1..20,
        ),
    ) {
        let script: Vec<_> = touches.into_iter().flat_map(|(gap, held, event, disturbs)| {
            let touch = [(gap * 7 + 1, Event::ButtonDown), (held / 7 * 7 + 1, Event::ButtonUp)];
            touch.into_iter().chain(disturbs.then_some((3, event)))
        }).collect();
        let memory =
            PersistedState { last_session: SessionId(0), locked: false, parted: None, policy_pending: false };
        check(&[&[(1, Event::ButtonUp)], &script[..]].concat(), memory, true)?;
    }
}
