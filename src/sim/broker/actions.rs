//! What a schedule has a simulated broker do: plain data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Acknowledgement, Behaviour, Broker, CONNECT_REFUSALS, ENDINGS, Ending, PUBLISH_REFUSALS, Reach, Welcome};

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

    /// One of them, as the dice fall.
    pub(in crate::sim) fn any(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..32) {
            0 => Self::Refused,
            1 => Self::Silent,
            2 => Self::Stalled,
            3..=4 => Self::Cut,
            5..=6 => Self::CutAfter(random.u16(0..4_000)),
            7 => Self::End(random.u8(..)),
            8 => Self::Refuse(random.u8(..)),
            9 => Self::Welcome(random.u8(..)),
            10 => Self::Late(random.u32(0..90_000)),
            // Not wrongly: no client can tell that a broker acknowledges what it has not got, and such events are lost.
            11 => Self::Acknowledge(random.u8(0..2)),
            12 => Self::RefusePublish(random.u8(..)),
            13 => Self::Latency(random.u16(0..5_000)),
            14 => Self::Jitter(random.u16(0..10_000)),
            15 => Self::Twice,
            16 => Self::Floods,
            17 => Self::ForgetSessions,
            18 => Self::SessionPresent(random.bool()),
            19 => Self::ReceiveMaximum(random.u16(1..40)),
            20 => Self::MaxPacket(random.u32(20..2_000)),
            21 => Self::WithoutQos1,
            22 => Self::WithoutRetain,
            23 => Self::Deaf,
            24 => Self::RefuseFilters(random.u8(..)),
            25 => Self::Restart,
            26 => Self::Raw((0..random.usize(1..40)).map(|_| random.u8(..)).collect()),
            _ => Self::Heal,
        }
    }
}

fn pick<T: Copy>(all: &[T], index: u8) -> T {
    all[usize::from(index) % all.len()]
}
