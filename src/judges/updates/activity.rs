//! How it stands with sessions, for updates: those before a restart of the guard count as well.

use std::time::Duration;

use rollout::SessionView;

use crate::clock::ClockReading;
use crate::ledger::LedgerState;
use monotonic::Monotonic;

/// Sessions as they were seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Activity {
    is_on: bool,
    /// When one was last seen, and how long ago it had ended then.
    last: Option<(Monotonic, Duration)>,
}

impl Activity {
    /// What the ledger knows when the guard comes up.
    pub(super) fn restore(state: &LedgerState, clock: &ClockReading, now: Monotonic) -> Self {
        let since_boot = Duration::from_millis(clock.monotonic_ms);
        let ago = match &state.session_ended {
            // The guard died in it: it ends now.
            _ if state.open_session.is_some() => Some(Duration::ZERO),
            Some(ended) if *ended.boot == *clock.boot => {
                Some(since_boot.saturating_sub(Duration::from_millis(ended.monotonic_ms)))
            }
            // In another boot: before this one at least.
            Some(_) => Some(since_boot),
            None => None,
        };
        Self { is_on: false, last: ago.map(|ago| (now, ago)) }
    }

    /// Called once a second.
    pub(super) fn note(&mut self, now: Monotonic, is_on: bool) {
        self.is_on = is_on;
        if is_on {
            self.last = Some((now, Duration::ZERO));
        }
    }

    pub(super) fn view(&self, now: Monotonic) -> SessionView {
        if self.is_on {
            return SessionView::On;
        }
        self.last.map_or(SessionView::None, |(at, ago)| SessionView::EndedAgo(now.duration_since(at) + ago))
    }
}
