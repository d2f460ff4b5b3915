//! Releases as operators publish them, the wrong ones too.

use jiff::{SignedDuration, Timestamp};
use rollout::{Release, Sha256Hex};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::package::Build;
use crate::clock;
use crate::update_files::ARCHITECTURE;

/// A release that somebody publishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReleasePlan {
    /// Its serial.
    pub serial: u64,
    /// Which key signs it.
    pub key: u8,
    /// Which package.
    #[serde(default)]
    pub build: u8,
    /// For how many seconds it counts; below zero: it has expired.
    #[serde(default = "day")]
    pub life_s: i64,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<Flaw>,
}

/// What may be wrong with a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// It is on this channel's topic, and for another one.
    Channel,
    /// Its package is another one than its digest names.
    Digest,
    /// Its package is longer than it says.
    Size,
    /// Its text was changed after it was signed.
    Signature,
}

const fn day() -> i64 {
    86_400
}

impl ReleasePlan {
    /// One that boxes take.
    pub(in crate::sim) fn right(random: &mut fastrand::Rng, key: u8) -> Self {
        Self { serial: random.u64(1..9), key, build: random.u8(..32), life_s: day(), flaw: None }
    }

    /// One of them, as the dice fall.
    pub(in crate::sim) fn any(random: &mut fastrand::Rng, key: u8) -> Self {
        let life_s = if random.u8(..6) == 0 { random.i64(-3_000..60) } else { day() };
        let flaw = match random.u8(..16) {
            0 => Some(Flaw::Channel),
            1 => Some(Flaw::Digest),
            2 => Some(Flaw::Size),
            3 => Some(Flaw::Signature),
            _ => None,
        };
        Self { life_s, flaw, ..Self::right(random, key) }
    }

    /// What it says.
    pub(in crate::sim) fn json(&self) -> Value {
        let (build, flaw) = (Build(self.build), self.flaw);
        let mut bytes = build.bytes();
        let size = bytes.len() - if flaw == Some(Flaw::Size) { 7 } else { 0 };
        if flaw == Some(Flaw::Digest) {
            bytes.push(b'!');
        }
        let later = |seconds| {
            clock::utc_now().saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX).to_string()
        };
        json!({
            "version": build.version(), "serial": self.serial, "security": false,
            "channel": if flaw == Some(Flaw::Channel) { "beta" } else { "stable" },
            "not-after": later(self.life_s),
            "files": { ARCHITECTURE: { "url": build.url(), "size": size, "sha256": Sha256Hex::of(&bytes).as_str() } },
            "wave": { "start": later(-3_600), "stages": [{ "permille": 1000 }] },
        })
    }
}

/// A release that was published, and that boxes may take.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Published {
    pub(in crate::sim) serial: u64,
    /// The package's.
    pub(in crate::sim) sha256: String,
    /// What the release delivers, as the ledger names it.
    pub(in crate::sim) digest: String,
    pub(in crate::sim) not_after: Timestamp,
}

impl Published {
    /// What is to be known of a document; `None`: no box takes it.
    pub(in crate::sim) fn of(plan: &ReleasePlan, json: &Value) -> Option<Self> {
        let release = Release::parse(&json.to_string()).ok()?;
        let sha256 = release.files.of(ARCHITECTURE)?.sha256.to_string();
        let (serial, digest, not_after) = (release.serial, release.digest().to_string(), release.not_after);
        let counts = plan.flaw.is_none_or(|flaw| matches!(flaw, Flaw::Digest | Flaw::Size));
        counts.then_some(Self { serial, sha256, digest, not_after })
    }
}
