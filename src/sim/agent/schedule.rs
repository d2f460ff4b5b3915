//! What happens to a simulated agent, and when: plain data, a line of JSON for each step, so that a schedule that fails
//! is printed, replayed and shortened.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::guard::GuardAction;
use crate::sim::broker::{
    Acknowledgement, Behaviour, Broker, CONNECT_REFUSALS, ENDINGS, Ending, PUBLISH_REFUSALS, Reach, Welcome,
};
use crate::sim::operator::{KEY_COUNT, OperatorAction};

/// What the broker, or the network before it, does from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BrokerAction {
    /// Nobody listens.
    Refused,
    /// Nobody answers.
    Silent,
    /// Nothing gets through.
    Stalled,
    /// The connection is lost.
    Cut,
    /// Connections are lost after so many bytes.
    CutAfter(u16),
    /// The connection ends with this reason of [`ENDINGS`].
    End(u8),
    /// CONNECT is refused, for this reason of [`CONNECT_REFUSALS`].
    Refuse(u8),
    /// CONNECT is answered by silence, an end, garbage, a web server or an old broker.
    Welcome(u8),
    /// Publishes are acknowledged after so many milliseconds.
    Late(u32),
    /// They are acknowledged twice, never, or wrongly.
    Acknowledge(u8),
    /// They are refused, for this reason of [`PUBLISH_REFUSALS`].
    RefusePublish(u8),
    /// Everything takes so many milliseconds.
    Latency(u16),
    /// Messages overtake each other within so many milliseconds.
    Jitter(u16),
    /// Messages are delivered twice.
    Twice,
    /// It sends more at once than it may.
    Floods,
    /// Sessions end with their connections.
    ForgetSessions,
    /// It says this of a session, whatever is true.
    SessionPresent(bool),
    /// It takes so many publishes at once.
    ReceiveMaximum(u16),
    /// Its longest packet has so many bytes.
    MaxPacket(u32),
    /// It takes `QoS` 0 only.
    WithoutQos1,
    /// It keeps nothing.
    WithoutRetain,
    /// It answers no subscription.
    Deaf,
    /// It refuses these filters.
    RefuseFilters(u8),
    /// It is started anew.
    Restart,
    /// It sends bytes that are no MQTT.
    Raw(Vec<u8>),
    /// All is well with it again.
    Heal,
}

/// What happens to the agent's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProcessAction {
    /// It is killed, and started anew.
    Kill,
    /// It is told to end, and started anew.
    Stop,
}

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

impl BrokerAction {
    /// Does it now.
    #[allow(clippy::wildcard_enum_match_arm)] // the rest changes how it behaves
    pub fn apply(&self, broker: &Broker) {
        match self {
            Self::Cut => broker.end(Ending::Cut),
            Self::End(index) => broker.end(Ending::Told(pick(&ENDINGS, *index))),
            Self::Restart => broker.restart(),
            Self::Raw(bytes) => broker.send_raw(bytes.clone()),
            Self::Heal => broker.change(|now| *now = Behaviour::default()),
            _ => broker.change(|now| self.change(now)),
        }
    }

    fn change(&self, now: &mut Behaviour) {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        match *self {
            Self::Refused => now.reach = Reach::Refused,
            Self::Silent => now.reach = Reach::Silent,
            Self::Stalled => now.is_stalled = true,
            Self::CutAfter(bytes) => now.cut_after = Some(bytes.into()),
            Self::Refuse(index) => now.welcome = Welcome::Refuse(pick(&CONNECT_REFUSALS, index)),
            Self::Welcome(index) => {
                let all = [Welcome::Silent, Welcome::Close, Welcome::Garbage, Welcome::Http, Welcome::Old];
                now.welcome = pick(&all, index);
            }
            Self::Late(late) => now.acknowledgement = Acknowledgement::Late(ms(late)),
            Self::Acknowledge(index) => {
                let all = [Acknowledgement::Twice, Acknowledgement::Never, Acknowledgement::Wrong];
                now.acknowledgement = pick(&all, index);
            }
            Self::RefusePublish(index) => {
                now.acknowledgement = Acknowledgement::Refused(pick(&PUBLISH_REFUSALS, index));
            }
            Self::Latency(late) => now.latency = ms(late.into()),
            Self::Jitter(late) => now.jitter = ms(late.into()),
            Self::Twice => now.delivers_twice = true,
            Self::Floods => now.floods = true,
            Self::ForgetSessions => now.forgets_sessions = true,
            Self::SessionPresent(is_present) => now.session_present = Some(is_present),
            Self::ReceiveMaximum(count) => now.receive_maximum = Some(count.max(1)),
            Self::MaxPacket(bytes) => now.max_packet = Some(bytes.max(20)),
            Self::WithoutQos1 => now.without_qos1 = true,
            Self::WithoutRetain => now.without_retain = true,
            Self::Deaf => now.is_deaf = true,
            Self::RefuseFilters(bits) => now.refused_filters = bits,
            Self::Cut | Self::End(_) | Self::Restart | Self::Raw(_) | Self::Heal => {}
        }
    }
}

fn pick<T: Copy>(all: &[T], index: u8) -> T {
    all[usize::from(index) % all.len()]
}

impl AgentSchedule {
    /// The schedule that follows from `seed`.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let steps = (0..random.usize(3..40)).map(|_| Step { after_ms: pause(&mut random), action: any(&mut random) });
        Self { seed, has_trust: seed.is_multiple_of(2), steps: steps.collect() }
    }
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
        0..=3 => Action::Broker(any_of_broker(random)),
        4..=6 => Action::Operator(any_of_operator(random)),
        7..=8 => Action::Guard(any_of_guard(random)),
        _ => Action::Process(if random.bool() { ProcessAction::Kill } else { ProcessAction::Stop }),
    }
}

fn any_of_broker(random: &mut fastrand::Rng) -> BrokerAction {
    match random.u8(0..32) {
        0 => BrokerAction::Refused,
        1 => BrokerAction::Silent,
        2 => BrokerAction::Stalled,
        3..=4 => BrokerAction::Cut,
        5..=6 => BrokerAction::CutAfter(random.u16(0..4_000)),
        7 => BrokerAction::End(random.u8(..)),
        8 => BrokerAction::Refuse(random.u8(..)),
        9 => BrokerAction::Welcome(random.u8(..)),
        10 => BrokerAction::Late(random.u32(0..90_000)),
        // Not wrongly: no client can tell that a broker acknowledges what it has not got, and such events are lost.
        11 => BrokerAction::Acknowledge(random.u8(0..2)),
        12 => BrokerAction::RefusePublish(random.u8(..)),
        13 => BrokerAction::Latency(random.u16(0..5_000)),
        14 => BrokerAction::Jitter(random.u16(0..10_000)),
        15 => BrokerAction::Twice,
        16 => BrokerAction::Floods,
        17 => BrokerAction::ForgetSessions,
        18 => BrokerAction::SessionPresent(random.bool()),
        19 => BrokerAction::ReceiveMaximum(random.u16(1..40)),
        20 => BrokerAction::MaxPacket(random.u32(20..2_000)),
        21 => BrokerAction::WithoutQos1,
        22 => BrokerAction::WithoutRetain,
        23 => BrokerAction::Deaf,
        24 => BrokerAction::RefuseFilters(random.u8(..)),
        25 => BrokerAction::Restart,
        26 => BrokerAction::Raw((0..random.usize(1..40)).map(|_| random.u8(..)).collect()),
        _ => BrokerAction::Heal,
    }
}

fn any_of_operator(random: &mut fastrand::Rng) -> OperatorAction {
    let (verb, key) = (random.u8(0..12), random.u8(0..KEY_COUNT));
    match random.u8(0..16) {
        0..=4 => OperatorAction::Plain {
            verb,
            life_s: if random.u8(0..4) == 0 { random.i64(-100..0) } else { random.i64(1..300) },
            retained: random.u8(0..8) == 0,
        },
        5..=7 => OperatorAction::Signed {
            verb,
            key,
            step: if random.u8(0..4) == 0 { random.i64(-2..4) } else { 1 },
            of_epoch: random.u8(0..6) != 0,
            deadline_s: if random.u8(0..4) == 0 { random.i64(-50..1_000) } else { 100 },
            for_box: random.u8(0..8) != 0,
        },
        8 => OperatorAction::Again { back: random.u8(0..5) },
        9 => OperatorAction::Desired { version: random.u64(1..9), key },
        10 => OperatorAction::Policy { day: random.u8(0..28), key, material: random.bool() },
        11 => OperatorAction::Release { serial: random.u64(1..9), key },
        12 => OperatorAction::EndOfService { key },
        13 => OperatorAction::Clear { topic: random.u8(..) },
        14 => OperatorAction::Garbage { topic: random.u8(..), length: random.u16(0..20_000) },
        _ => OperatorAction::Flood { verb, count: random.u16(1..300) },
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
