//! What systemd is told of the agent: that its loop turns, and in one line how it stands with the broker.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::config::Mqtt;

/// How often the watchdog is fed; the unit's `WatchdogSec=` is six times this.
const BEAT: Duration = Duration::from_secs(5);

/// Fed by whichever loop the agent is in: with a connection, or waiting for the next attempt.
#[derive(Debug)]
pub(super) struct Health {
    broker: String,
    beat: Interval,
}

impl Health {
    pub(super) fn new(mqtt: &Mqtt) -> Self {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Host and port and no more: a URL may have a user name and a password in it.
        Self { broker: format!("{}:{}", mqtt.host, mqtt.port), beat }
    }

    /// The agent is up, whether or not there is a broker.
    pub(super) fn up(&self) {
        notify(&[NotifyState::Ready, NotifyState::Status(&format!("connecting to {}", self.broker))]);
    }

    /// Feeds the watchdog when it is time. One arm of each loop: a loop that hangs does not get here.
    pub(super) async fn beat(&mut self) {
        self.beat.tick().await;
        notify(&[NotifyState::Watchdog]);
    }

    /// Commands will be heard from now on.
    pub(super) fn connected(&self) {
        notify(&[NotifyState::Status(&format!("connected to {}", self.broker))]);
    }

    /// The broker is out of reach.
    pub(super) fn lost(&self, reason: &str) {
        notify(&[NotifyState::Status(&one_line(&format!("not connected to {}: {reason}", self.broker)))]);
    }
}

/// A reason may quote what a broker sent, and each line of a message to systemd is an instruction.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(super) fn notify(state: &[NotifyState<'_>]) {
    // Outside of systemd there is nobody to tell.
    let _ = sd_notify::notify(state);
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_reason_gives_systemd_no_instructions() {
        assert_eq!(super::one_line("a\nWATCHDOG=1\r\u{0}"), "a WATCHDOG=1  ");
    }
}
