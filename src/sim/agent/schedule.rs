//! What happens to a simulated agent, and when: plain data, a line of JSON for each step, so that a schedule that fails
//! is printed, replayed and shortened.

use serde::{Deserialize, Serialize};

use super::guard::GuardAction;
use crate::sim::broker::BrokerAction;
use crate::sim::operator::OperatorAction;
use crate::sim::process::ProcessAction;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// At the broker.
    Broker(BrokerAction),
    /// At the guard.
    Guard(GuardAction),
    /// At the platform.
    Operator(OperatorAction),
    /// In the box.
    Process(ProcessAction),
}

/// One step of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    /// Milliseconds after the step before.
    pub after_ms: u32,
    /// What happens then.
    pub action: Action,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AgentSchedule {
    /// What is random about agent and broker follows from it.
    pub seed: u64,
    /// Whether the box trusts keys.
    pub has_trust: bool,
    /// In order.
    pub steps: Vec<Step>,
}

impl AgentSchedule {
    /// The schedule that follows from `seed`.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let steps = (0..random.usize(3..40)).map(|_| Step { after_ms: pause(&mut random), action: any(&mut random) });
        let mut steps: Vec<Step> = steps.collect();
        if random.u8(..8) == 0 {
            let at = random.usize(..steps.len());
            steps.splice(at..at, stops_through_a_cut(&mut random));
        }
        Self { seed, has_trust: seed.is_multiple_of(2), steps }
    }
}

/// A guard takes its time with a stop, the connection is lost meanwhile, and another stop comes with the next one.
fn stops_through_a_cut(random: &mut fastrand::Rng) -> Vec<Step> {
    let stop = Action::Operator(OperatorAction::Plain { verb: 1, life_s: 60, retained: false });
    let slow = GuardAction::Slow(random.u32(1_000..8_000));
    let next = if random.bool() { BrokerAction::Deaf } else { BrokerAction::Heal };
    let actions = [
        Action::Broker(BrokerAction::Heal),
        Action::Guard(GuardAction::Phase(3)),
        Action::Guard(slow),
        stop.clone(),
        Action::Broker(next),
        Action::Broker(BrokerAction::Cut),
        Action::Guard(GuardAction::Phase(3)),
        stop,
        Action::Broker(BrokerAction::Heal),
    ];
    let pauses = [0, 20_000, 1_000, 0, 2_000, 0, 4_000, 6_000, 20_000];
    let steps = pauses.into_iter().zip(actions);
    steps.map(|(most, action)| Step { after_ms: random.u32(0..=most), action }).collect()
}

/// Between two steps: mostly soon, sometimes long enough for timers to end.
fn pause(random: &mut fastrand::Rng) -> u32 {
    match random.u8(0..10) {
        0..=3 => random.u32(0..50),
        4..=6 => random.u32(0..3_000),
        7..=8 => random.u32(0..30_000),
        _ => random.u32(0..120_000),
    }
}

fn any(random: &mut fastrand::Rng) -> Action {
    match random.u8(0..10) {
        0..=3 => Action::Broker(BrokerAction::any(random)),
        4..=6 => Action::Operator(OperatorAction::any(random)),
        7..=8 => Action::Guard(any_of_guard(random)),
        _ => Action::Process(ProcessAction::any(random)),
    }
}

fn any_of_guard(random: &mut fastrand::Rng) -> GuardAction {
    match random.u8(0..20) {
        0..=5 => GuardAction::Phase(random.u8(..)),
        6..=9 => GuardAction::Write(random.u8(1..30)),
        10 => GuardAction::Restart,
        11 => GuardAction::Away(random.u32(0..20_000)),
        12 => GuardAction::Slow(random.u32(0..60_000)),
        13 => GuardAction::Silent,
        14 => GuardAction::Unavailable,
        15..=16 => GuardAction::Prompt,
        17 => GuardAction::NewLedger,
        18 => GuardAction::Checkpoint,
        _ => {
            if random.bool() {
                GuardAction::Download(random.u64(1..9))
            } else {
                GuardAction::UpdateEnded
            }
        }
    }
}
