//! How far a wave is: what is known of each box, and whether the wave has to stop. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rollout::{Counts, Release, Turn, Verdict};
use serde::Serialize;

/// Where a box stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Standing {
    /// It runs the version.
    Updated,
    /// It said that it failed, and has its former version.
    Failed,
    /// Its deadline has passed, and it has not said how it went.
    Silent,
    /// Its deadline has passed while it was in use: it takes its turn later, and counts as nothing.
    Busy,
    /// Its turn has come, and its deadline has not.
    Due,
    /// Its turn comes later.
    Waiting,
    /// The wave does not reach it, or waits at a pause point before it.
    Beyond,
}

/// One box, as far as it matters here.
#[derive(Clone, Debug, Default)]
pub(super) struct Box {
    /// What it runs, from `software` in its state.
    pub(super) installed: Option<String>,
    /// A session or a request is on.
    pub(super) in_use: bool,
    /// It said that this version failed.
    pub(super) failed: bool,
    /// When its last session or request ended: what it missed meanwhile it makes up for.
    pub(super) used_until: Option<Timestamp>,
    /// Before this it installs nothing, as it said: its notice, its window, or somebody who put it off.
    pub(super) waits_until: Option<Timestamp>,
}

impl Box {
    /// Until when it may be silent: it has the whole deadline again after what kept it.
    fn deadline(&self, release: &Release, id: &str) -> Option<Timestamp> {
        let span = SignedDuration::from_secs(i64::from(release.wave.deadline_s));
        let kept = self.used_until.max(self.waits_until).and_then(|until| until.checked_add(span).ok());
        release.deadline(id).map(|deadline| kept.map_or(deadline, |kept| kept.max(deadline)))
    }
}

/// The fleet with regard to one release.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) boxes: BTreeMap<String, Box>,
}

impl Progress {
    /// Where a box stands at `now`.
    pub(super) fn standing(release: &Release, id: &str, known: &Box, now: Timestamp) -> Standing {
        if known.installed.as_deref().is_some_and(|installed| is_version(release, installed)) {
            return Standing::Updated;
        }
        if known.failed {
            return Standing::Failed;
        }
        match release.turn(id) {
            Turn::Beyond | Turn::BehindPause => Standing::Beyond,
            Turn::At(turn) if turn > now => Standing::Waiting,
            Turn::At(_) if known.deadline(release, id).is_none_or(|deadline| deadline > now) => Standing::Due,
            Turn::At(_) if known.in_use => Standing::Busy,
            Turn::At(_) => Standing::Silent,
        }
    }

    /// How many boxes stand where.
    pub(super) fn standings(&self, release: &Release, now: Timestamp) -> BTreeMap<Standing, u32> {
        let mut counts = BTreeMap::new();
        for (id, known) in &self.boxes {
            *counts.entry(Self::standing(release, id, known, now)).or_default() += 1;
        }
        counts
    }

    /// Whether the wave has to stop.
    pub(super) fn judge(&self, release: &Release, now: Timestamp) -> Verdict {
        let standings = self.standings(release, now);
        let count = |standing| standings.get(&standing).copied().unwrap_or(0);
        let (succeeded, failed) = (count(Standing::Updated), count(Standing::Failed));
        release.wave.judge(&Counts { succeeded, failed, silent: count(Standing::Silent) })
    }
}

/// Whether `installed`, a version as the software tells it, is that of the release: the package's has a revision behind
/// it.
fn is_version(release: &Release, installed: &str) -> bool {
    let version = release.version.as_str();
    installed == version || version.rsplit_once('-').is_some_and(|(upstream, _)| installed == upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Release {
        let text = r#"{"version":"0.2.0-1","serial":5,"channel":"stable",
            "files":{"arm64":{"url":"https://updates.example.cn/tallybox.deb","size":1000,
                "sha256":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"}},
            "not-after":"2026-12-31T00:00:00Z","security":false,
            "wave":{"start":"2026-11-29T10:00:00Z","stages":[{"permille":1000,"over-s":3600}],"deadline-s":600,
                "minimum-sample":4,"abort":[{"on":"any","minimum":2,"permille":200}]}}"#;
        Release::parse(text).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn fleet(updated: usize, failed: usize, other: usize) -> Progress {
        let mut progress = Progress::default();
        for number in 0..updated + failed + other {
            let installed = Some(if number < updated { "0.2.0" } else { "0.1.0" }.to_owned());
            let failed = (updated..updated + failed).contains(&number);
            progress.boxes.insert(format!("shop-{number}"), Box { installed, failed, ..Box::default() });
        }
        progress
    }

    #[test]
    fn a_box_is_silent_only_after_its_deadline_and_never_while_it_is_in_use() {
        let (release, mut known) = (release(), Box::default());
        let standing = |known: &Box, now| Progress::standing(&release, "shop-1", known, at(now));
        assert_eq!(standing(&known, "2026-11-29T09:59:00Z"), Standing::Waiting);
        assert_eq!(standing(&known, "2026-11-29T11:10:01Z"), Standing::Silent);
        known.in_use = true;
        assert_eq!(standing(&known, "2026-11-29T11:10:01Z"), Standing::Busy);
        // The moment at which a session ends is not the one from which on the box has been silent.
        (known.in_use, known.used_until) = (false, Some(at("2026-11-29T11:10:00Z")));
        assert_eq!(standing(&known, "2026-11-29T11:19:59Z"), Standing::Due);
        assert_eq!(standing(&known, "2026-11-29T11:20:01Z"), Standing::Silent);
        known.waits_until = Some(at("2026-11-30T02:00:00Z"));
        assert_eq!(standing(&known, "2026-11-30T02:09:00Z"), Standing::Due);
        assert_eq!(standing(&known, "2026-11-30T02:10:01Z"), Standing::Silent);
        known.installed = Some("0.2.0".to_owned());
        assert_eq!(standing(&known, "2026-11-29T11:10:01Z"), Standing::Updated);
    }

    #[test]
    fn broken_and_silent_boxes_stop_the_wave_once_enough_are_done() {
        let (release, early, late) = (release(), at("2026-11-29T09:59:00Z"), at("2026-11-29T12:00:00Z"));
        assert_eq!(fleet(1, 2, 50).judge(&release, early), Verdict::TooFew);
        assert!(matches!(fleet(2, 2, 50).judge(&release, early), Verdict::Abort(_)));
        assert_eq!(fleet(20, 2, 50).judge(&release, early), Verdict::GoOn);
        assert!(matches!(fleet(5, 0, 5).judge(&release, late), Verdict::Abort(_)), "the others are silent");
    }
}
