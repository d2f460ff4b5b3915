//! The wave: which boxes come when. It lies in the document, so that it goes on without whoever began it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::budget::{AbortRule, Counts, Failure, Verdict};
use crate::error::{ReleaseError, refuse};

/// Boxes are ranked in millionths.
const RANKS: u64 = 1_000_000;
/// Longest span in a wave, in seconds: 30 days.
const MAX_SPAN_S: u32 = 30 * 24 * 3600;
/// Most stages, and most rules to stop by: a wave has four or five.
const MAX_ITEMS: usize = 10;

/// Whether the wave goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaveState {
    /// Boxes whose turn comes take the update.
    #[default]
    Running,
    /// No box takes it before a newer document says otherwise, but one that its operator asks by a signed command.
    Paused,
    /// No box takes it any more, whoever asks.
    Aborted,
}

/// A share of the boxes, and the time that they are given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stage {
    /// The share of all boxes that have had their turn at the end of this stage, in thousandths: 1 to 1000, rising.
    pub permille: u16,
    /// Over how long their turns are spread evenly, in seconds: up to 30 days. Bounds how many boxes download at once.
    #[serde(default)]
    pub over_s: u32,
    /// How long to wait after the last turn before the next stage begins, in seconds: up to 30 days.
    #[serde(default)]
    pub bake_s: u32,
    /// The stage does not begin before this, whatever the stages before took: for a wave that goes on after a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// A pause point: no later stage begins before a newer document has taken it back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pause: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How an update goes through a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wave {
    /// When the first stage begins.
    pub start: Timestamp,
    /// The stages, in order: 1 to 10. Boxes beyond the last one's share take no part.
    pub stages: Vec<Stage>,
    /// How long a box has from its turn to say how it went, in seconds: 10 minutes to 30 days. Whoever watches counts
    /// one that is silent for longer as failed; one that says that it is busy is not.
    #[serde(default = "default_deadline_s")]
    pub deadline_s: u32,
    /// How many boxes have to be done before failures are judged by their share: 0 to 1,000,000.
    #[serde(default)]
    pub minimum_sample: u32,
    /// When whoever watches has to stop the wave: at most 10 rules.
    #[serde(default)]
    pub abort: Vec<AbortRule>,
    /// Whether it goes on.
    #[serde(default)]
    pub state: WaveState,
}

/// A day: a box that is switched off at night has its turn in the morning.
const fn default_deadline_s() -> u32 {
    24 * 3600
}

/// When a box's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// From then on.
    At(Timestamp),
    /// Not before a newer document takes back a pause point.
    BehindPause,
    /// The wave does not reach this box.
    Beyond,
}

/// Where a box stands in the order of a release, in millionths: the same at each look, and even over all boxes.
/// `digest` is [`crate::Release::digest`].
pub fn rank(digest: &str, box_id: &str) -> u32 {
    let hash = Sha256::digest(format!("tallybox wave\n{digest}\n{box_id}"));
    let first = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let scaled = (u128::from(first) * u128::from(RANKS)) >> 64;
    // Below RANKS, as `first` is below 2^64.
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

impl Wave {
    /// All boxes at once from `start` on.
    pub fn everyone(start: Timestamp) -> Self {
        let all = Stage { permille: 1000, over_s: 0, bake_s: 0, not_before: None, pause: false };
        Self {
            start,
            stages: vec![all],
            deadline_s: default_deadline_s(),
            minimum_sample: 0,
            abort: Vec::new(),
            state: WaveState::Running,
        }
    }

    /// When the turn of the box with this [`rank`] comes.
    pub fn turn(&self, rank: u32) -> Turn {
        let (mut begin, mut former) = (self.start, 0_u32);
        for stage in &self.stages {
            begin = stage.not_before.map_or(begin, |earliest| earliest.max(begin));
            let share = u32::from(stage.permille) * 1000;
            if rank < share {
                let (place, width) = (u64::from(rank.saturating_sub(former)), u64::from((share - former).max(1)));
                return Turn::At(after(begin, u64::from(stage.over_s) * place / width));
            }
            if stage.pause {
                return Turn::BehindPause;
            }
            begin = after(begin, u64::from(stage.over_s) + u64::from(stage.bake_s));
            former = share;
        }
        Turn::Beyond
    }

    /// Until when the box with this [`rank`] has to have said how it went; `None`: its turn is not known yet.
    pub fn deadline(&self, rank: u32) -> Option<Timestamp> {
        match self.turn(rank) {
            Turn::At(time) => Some(after(time, u64::from(self.deadline_s))),
            Turn::BehindPause | Turn::Beyond => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ReleaseError> {
        if !(1..=MAX_ITEMS).contains(&self.stages.len()) {
            return refuse("wave.stages has 1 to 10 stages");
        }
        let mut former = 0;
        for stage in &self.stages {
            if stage.permille <= former || stage.permille > 1000 {
                return refuse("wave.stages: permille rises from stage to stage, from 1 to 1000");
            }
            if stage.over_s > MAX_SPAN_S || stage.bake_s > MAX_SPAN_S {
                return refuse("wave.stages: over-s and bake-s are 30 days (2592000) at most");
            }
            former = stage.permille;
        }
        if !(600..=MAX_SPAN_S).contains(&self.deadline_s) {
            return refuse("wave.deadline-s is 600 to 2592000 seconds");
        }
        if self.minimum_sample > 1_000_000 {
            return refuse("wave.minimum-sample is 1000000 at most");
        }
        if self.abort.len() > MAX_ITEMS {
            return refuse("wave.abort has at most 10 rules");
        }
        self.abort.iter().try_for_each(AbortRule::check)
    }
}

fn after(time: Timestamp, seconds: u64) -> Timestamp {
    let span = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

impl Wave {
    /// Judges what is known of the wave so far.
    pub fn judge(&self, counts: &Counts) -> Verdict {
        let done = u64::from(counts.succeeded) + u64::from(counts.failed) + u64::from(counts.silent);
        if done < u64::from(self.minimum_sample.max(1)) {
            return Verdict::TooFew;
        }
        let broken = |rule: &&AbortRule| {
            let count = u64::from(match rule.on {
                Failure::Failed => counts.failed,
                Failure::Silent => counts.silent,
                Failure::Any => counts.failed.saturating_add(counts.silent),
            });
            count >= u64::from(rule.minimum) && count * 1000 > done * u64::from(rule.permille)
        };
        self.abort.iter().find(broken).map_or(Verdict::GoOn, |rule| Verdict::Abort(rule.clone()))
    }
}
