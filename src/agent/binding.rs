//! Whether this box has any business with a broker: not while it is unbound, and not without a name.

use std::pin::Pin;

use super::context::Agent;
use super::guard_client::GuardState;

/// What comes of waiting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// The box is bound and has a name.
    Connect,
    /// The agent is to end.
    Stop,
    /// The box was unbound when it was last looked at, and has been claimed since.
    Claimed,
}

/// What the guard's word means for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binding {
    Bound,
    Unbound,
    /// Nobody can say.
    Undecided,
}

fn binding(seen: &GuardState, has_cursor: bool, was_unbound: bool) -> Binding {
    // The cursor is the trace of a binding, and is deleted with it. With one a box whose guard or ledger does not work
    // may say so to its platform; without one it could be a former platform.
    let trace = if has_cursor { Binding::Bound } else { Binding::Undecided };
    match seen {
        GuardState::Connected(status, _) if status.unbound => Binding::Unbound,
        GuardState::Connected(status, _) if status.ledger.is_some() => Binding::Bound,
        GuardState::Connected(..) | GuardState::Unreachable if was_unbound => Binding::Unbound,
        GuardState::Connected(..) | GuardState::Unreachable => trace,
        GuardState::Unknown => Binding::Undecided,
    }
}

impl Agent<'_> {
    /// Waits until there may be a connection.
    pub(super) async fn ready(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> Ready {
        let mut rests = false;
        loop {
            let was_unbound = self.parting.has_begun();
            let has_cursor = self.outbox.acknowledged().is_some();
            let binding = binding(&self.guard.state.borrow_and_update(), has_cursor, was_unbound);
            self.parting.note(self.clock.now(), self.guard.state.borrow().status());
            match binding {
                Binding::Unbound if self.has_receipt_due() => return Ready::Connect,
                Binding::Unbound if !rests => {
                    rests = true;
                    self.outbox.forget();
                    self.reply_store.forget();
                    self.due_answers.forget();
                    self.waiting_answers.forget();
                    self.home_assistant.forget();
                    let why = "the box was unbound: it connects to no broker until another configuration claims it";
                    tracing::warn!("{why}");
                    self.network.leave("the box was unbound");
                    self.notifier.resting(why);
                }
                Binding::Bound if was_unbound => return Ready::Claimed,
                Binding::Bound if self.has_name() => return Ready::Connect,
                Binding::Bound => self.notifier.resting(
                    "the box has no name: set [device] id, or run systemd-machine-id-setup, or see why its key cannot be used",
                ),
                Binding::Unbound | Binding::Undecided => {}
            }
            tokio::select! {
                biased;
                () = stop.as_mut() => return Ready::Stop,
                () = self.notifier.feed_watchdog() => {}
                Some(done) = self.requests.next() => self.done(done),
                changed = self.guard.state.changed() => if changed.is_err() {
                    // The task that listens to the guard ends with the agent.
                    return Ready::Stop;
                },
            }
        }
    }

    /// Whether the box has a name; takes the one that its key gives it, if nothing else does.
    fn has_name(&mut self) -> bool {
        if self.config.device.id.is_none()
            && let Some(identity) = self.guard.state.borrow().status().and_then(|status| status.identity.as_ref())
        {
            self.id = identity.device_id();
        }
        !self.id.is_empty()
    }
}
