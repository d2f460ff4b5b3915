//! What operators do: plain data.

use serde::{Deserialize, Serialize};

use super::{KEY_COUNT, KEYS};
use crate::sim::releases::ReleasePlan;

/// What an operator does. Numbers beyond a list count from its beginning again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OperatorAction {
    /// A command without a signature, good for so many seconds from now on.
    Plain {
        /// Which verb.
        verb: u8,
        /// Below zero: it has expired.
        life_s: i64,
        /// Against the rules.
        retained: bool,
    },
    /// A signed command.
    Signed {
        /// Which verb.
        verb: u8,
        /// Which key.
        key: u8,
        /// What is added to its number since the key's last one: 1 is right.
        step: i64,
        /// Whether it names the guard's epoch.
        of_epoch: bool,
        /// Its deadline in seconds from the guard's time on.
        deadline_s: i64,
        /// Whether it names this box.
        for_box: bool,
    },
    /// One of the last commands again, byte for byte.
    Again {
        /// How many commands back.
        back: u8,
    },
    /// A desired configuration.
    Desired {
        /// Its version.
        version: u64,
        /// Which key.
        key: u8,
    },
    /// A policy.
    Policy {
        /// Its version's day in January.
        day: u8,
        /// Which key.
        key: u8,
        /// Whether staff have to acknowledge it.
        material: bool,
    },
    /// A release index.
    Release(ReleasePlan),
    /// The end of the service.
    EndOfService {
        /// Which key.
        key: u8,
    },
    /// A retained message is deleted.
    Clear {
        /// Which topic.
        topic: u8,
    },
    /// Bytes that mean nothing.
    Garbage {
        /// Which topic.
        topic: u8,
        /// How many.
        length: u16,
    },
    /// Many commands at once.
    Flood {
        /// Which verb.
        verb: u8,
        /// How many.
        count: u16,
    },
}

impl OperatorAction {
    /// One of them, as the dice fall.
    pub(in crate::sim) fn any(random: &mut fastrand::Rng) -> Self {
        let (verb, any) = (random.u8(0..12), random.u8(0..KEY_COUNT));
        // Half of what is signed is in the right hands.
        let of = |role: &str, random: &mut fastrand::Rng| right_key(role).filter(|_| random.bool()).unwrap_or(any);
        let key = of("desired", random);
        match random.u8(0..16) {
            0..=4 => Self::Plain {
                verb,
                life_s: if random.u8(0..4) == 0 { random.i64(-100..0) } else { random.i64(1..300) },
                retained: random.u8(0..8) == 0,
            },
            5..=7 => Self::Signed {
                verb,
                key: of(super::verb(verb).row().role.as_str(), random),
                step: if random.u8(0..4) == 0 { random.i64(-2..4) } else { 1 },
                of_epoch: random.u8(0..6) != 0,
                deadline_s: if random.u8(0..4) == 0 { random.i64(-50..1_000) } else { 100 },
                for_box: random.u8(0..8) != 0,
            },
            8 => Self::Again { back: random.u8(0..5) },
            9 => Self::Desired { version: random.u64(1..9), key },
            10 => Self::Policy { day: random.u8(0..28), key, material: random.bool() },
            11 => Self::Release(ReleasePlan::any(random, key)),
            12 => Self::EndOfService { key },
            13 => Self::Clear { topic: random.u8(..) },
            14 => Self::Garbage { topic: random.u8(..), length: random.u16(0..20_000) },
            _ => Self::Flood { verb, count: random.u16(1..300) },
        }
    }

    /// A signed command with nothing wrong in it.
    pub(in crate::sim) fn right(verb: u8) -> Self {
        let key = right_key(super::verb(verb).row().role.as_str()).unwrap_or_default();
        Self::Signed { verb, key, step: 1, of_epoch: true, deadline_s: 100, for_box: true }
    }

    /// A desired configuration by a key that may sign it.
    pub(in crate::sim) fn right_desired(version: u64) -> Self {
        Self::Desired { version, key: right_key("desired").unwrap_or_default() }
    }

    /// A policy by a key that may sign it.
    pub(in crate::sim) fn right_policy(day: u8, material: bool) -> Self {
        Self::Policy { day, key: right_key("policy").unwrap_or_default(), material }
    }

    /// A signed command with one thing wrong in it.
    pub(in crate::sim) fn nearly_right(verb: u8, random: &mut fastrand::Rng) -> Self {
        let mut action = Self::right(verb);
        if let Self::Signed { key, step, of_epoch, deadline_s, for_box, .. } = &mut action {
            match random.u8(0..6) {
                0..=1 => *step = random.i64(-3..1),
                2 => *key = random.u8(0..KEY_COUNT),
                3 => *of_epoch = false,
                4 => *deadline_s = random.i64(-8..1),
                _ => *for_box = false,
            }
        }
        action
    }
}

/// The first key that may sign for this role.
fn right_key(role: &str) -> Option<u8> {
    KEYS.iter().position(|(_, may)| may.contains(&role)).and_then(|key| u8::try_from(key).ok())
}
