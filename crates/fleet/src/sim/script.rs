//! What happens when, in a simulation: `TIME ACTION …`, one step a line.

use std::path::Path;
use std::time::Duration;

use tallybox::config::parse_duration;
use tallybox::exit::Exit;

/// How to write a step.
const HELP: &str = "write a line such as `30s broker stop`, `45s broker start`, `1m network cut`, `70s network open`, \
                    `80s network stall`, `90s network slow 200ms`, `2m press 10%`, `2m hold 10%`, `2m lock 1%`, `3m guard restart 5%`, \
                    `3m agent restart 5%`, `4m agent stop 100%`, `5m agent start 100%` or `10m end`";
/// Longest script, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// What the network between boxes and broker does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Network {
    /// It works.
    #[default]
    Open,
    /// Connections end, and new ones are closed at once.
    Cut,
    /// Nothing gets through, and nobody says so: a cable that was pulled.
    Stall,
    /// Each packet takes this much longer.
    Slow(Duration),
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    BrokerStop,
    BrokerStart,
    Network(Network),
    /// Staff of this share of the boxes press.
    Press(Share),
    /// They hold the button for as long as they do to agree, to acknowledge and to unlock.
    Hold(Share),
    /// They lock the box.
    Lock(Share),
    GuardRestart(Share),
    AgentRestart(Share),
    AgentStop(Share),
    AgentStart(Share),
    End,
}

/// A share of the boxes, 0 to 1: the same boxes at each step with the same share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share(pub(super) f64);

impl Share {
    /// Whether a box with this rank, evenly spread over all 64-bit numbers, is among them.
    pub(super) fn has(self, rank: u64) -> bool {
        #[allow(clippy::cast_precision_loss)] // a share is not that exact
        let place = rank as f64 / u64::MAX as f64;
        place < self.0 || self.0 >= 1.0
    }
}

/// The steps, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Script(pub(super) Vec<(Duration, Action)>);

impl Script {
    pub(super) fn load(path: &Path) -> Result<Self, Exit> {
        let text = crate::files::read_text(path, MAX_BYTES)?;
        Self::parse(&text).map_err(|why| Exit::data(format!("{}: {why}", path.display())))
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut steps: Vec<(Duration, Action)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let wrong = |why: &str| format!("line {}: {line:?} {why}; {HELP}", number + 1);
            let step = step(line).ok_or_else(|| wrong("is no step"))?;
            if steps.last().is_some_and(|(before, _)| *before > step.0) {
                return Err(wrong("comes before the step above it"));
            }
            steps.push(step);
        }
        Ok(Self(steps))
    }

    pub(super) fn needs_broker(&self) -> bool {
        self.0.iter().any(|(_, action)| matches!(action, Action::BrokerStop | Action::BrokerStart))
    }

    pub(super) fn needs_proxy(&self) -> bool {
        self.0.iter().any(|(_, action)| matches!(action, Action::Network(_)))
    }
}

fn step(line: &str) -> Option<(Duration, Action)> {
    let (at, action) = line.split_once(char::is_whitespace)?;
    let words: Vec<&str> = action.split_whitespace().collect();
    let action = match words.as_slice() {
        ["broker", "stop"] => Action::BrokerStop,
        ["broker", "start"] => Action::BrokerStart,
        ["network", "open"] => Action::Network(Network::Open),
        ["network", "cut"] => Action::Network(Network::Cut),
        ["network", "stall"] => Action::Network(Network::Stall),
        ["network", "slow", delay] => Action::Network(Network::Slow(parse_duration(delay)?)),
        ["press", boxes] => Action::Press(share(boxes)?),
        ["hold", boxes] => Action::Hold(share(boxes)?),
        ["lock", boxes] => Action::Lock(share(boxes)?),
        ["guard", "restart", boxes] => Action::GuardRestart(share(boxes)?),
        ["agent", "restart", boxes] => Action::AgentRestart(share(boxes)?),
        ["agent", "stop", boxes] => Action::AgentStop(share(boxes)?),
        ["agent", "start", boxes] => Action::AgentStart(share(boxes)?),
        ["end"] => Action::End,
        _ => return None,
    };
    Some((parse_duration(at)?, action))
}

fn share(text: &str) -> Option<Share> {
    let percent: f64 = text.strip_suffix('%')?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(Share(percent / 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_in_order_and_mistakes_are_told_with_their_line() {
        let script =
            Script::parse("# outage\n30s broker stop\n\n45s broker start  # back\n1m network slow 200ms\n").unwrap();
        let slow = Action::Network(Network::Slow(Duration::from_millis(200)));
        let at = Duration::from_secs;
        assert_eq!(script.0, [(at(30), Action::BrokerStop), (at(45), Action::BrokerStart), (at(60), slow)]);
        assert!(script.needs_broker() && script.needs_proxy());
        for (text, why) in [
            ("30s broker", "line 1"),
            ("\n30s press 101%", "line 2"),
            ("30s press 10", "is no step"),
            ("soon end", "is no step"),
            ("30s end\n10s network cut", "line 2: \"10s network cut\" comes before"),
        ] {
            let error = Script::parse(text).unwrap_err();
            assert!(error.contains(why) && error.contains("write a line such as"), "{text}: {error}");
        }
    }

    #[test]
    fn a_share_is_of_all_boxes() {
        assert!(Share(1.0).has(u64::MAX) && Share(1.0).has(0));
        assert!(!Share(0.0).has(0) && !Share(0.0).has(u64::MAX));
        assert!(Share(0.5).has(u64::MAX / 4) && !Share(0.5).has(u64::MAX / 4 * 3));
    }
}
