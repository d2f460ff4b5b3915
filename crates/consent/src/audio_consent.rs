//! Whether a live session is heard: the microphone's own consent, as it is wanted and as capture confirmed it.

use super::limits::MUTE_CONFIRM_TIMEOUT;
use monotonic::Monotonic;

/// Who muted, or took a mute back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The mute button.
    Staff,
    /// The platform.
    Remote,
}

/// All that capture can be told while it runs, as complete state: the last one that it hears counts, and hearing it
/// twice changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CaptureSettings {
    /// Counts the changes of a session, from 0: tells the confirmation of this state from that of an earlier one.
    pub revision: u64,
    /// Whether silence is sent in place of sound.
    pub muted: bool,
}

/// Sound of a session. Staff and remote mute separately, so that remote can take back only what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AudioConsent {
    /// The microphone may be open; `false`: picture only, and no mute changes that.
    open: bool,
    by_staff: bool,
    by_remote: bool,
    revision: u64,
    silence: Silence,
}

/// How far a mute has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// None is wanted.
    No,
    /// Capture has not confirmed it: by when it has to, and who wanted it.
    Awaited(Monotonic, Actor),
    /// Capture has confirmed it, and the ledger says so.
    Confirmed,
}

/// What a change of the sound asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AudioChange {
    /// Nothing: it was so before.
    None,
    /// Silence, which counts once capture has confirmed it.
    Mute,
    /// Sound. `recorded`: the ledger says that it is off.
    Unmute { recorded: bool },
}

/// What capture's word on its sound means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// Nothing new, or it is about a state that is wanted no more.
    None,
    /// Silence is in force, which this one asked for.
    Silenced(Actor),
    /// It sends sound although silence is wanted.
    Disobeyed,
}

impl AudioConsent {
    pub(super) const fn start(open: bool) -> Self {
        Self { open, by_staff: false, by_remote: false, revision: 0, silence: Silence::No }
    }

    /// What capture shall do.
    pub(super) const fn wanted(self) -> CaptureSettings {
        CaptureSettings { revision: self.revision, muted: !self.open || self.by_staff || self.by_remote }
    }

    /// Whether it is certain that no sound leaves. In doubt people may be heard.
    pub(super) const fn is_silent(self) -> bool {
        !self.open || matches!(self.silence, Silence::Confirmed)
    }

    /// By when capture has to confirm a mute.
    pub(super) fn deadline(self) -> Option<Monotonic> {
        match self.silence {
            Silence::Awaited(until, _) => Some(until),
            Silence::No | Silence::Confirmed => None,
        }
    }

    /// The mute button: silence if sound is wanted, else sound again, whoever had muted.
    pub(super) fn toggle(&mut self, now: Monotonic) -> AudioChange {
        let (by_staff, by_remote) = (!self.wanted().muted, false);
        self.change(now, Actor::Staff, Self { by_staff, by_remote, ..*self })
    }

    /// Remote mutes, or takes back its own mute.
    pub(super) fn by_remote(&mut self, now: Monotonic, muted: bool) -> AudioChange {
        self.change(now, Actor::Remote, Self { by_remote: muted, ..*self })
    }

    fn change(&mut self, now: Monotonic, by: Actor, new: Self) -> AudioChange {
        let before = self.wanted().muted;
        if !self.open {
            return AudioChange::None;
        }
        *self = new;
        if self.wanted().muted == before {
            return AudioChange::None;
        }
        self.revision += 1;
        if before {
            let recorded = self.silence == Silence::Confirmed;
            self.silence = Silence::No;
            AudioChange::Unmute { recorded }
        } else {
            self.silence = Silence::Awaited(now.saturating_add(MUTE_CONFIRM_TIMEOUT), by);
            AudioChange::Mute
        }
    }

    /// Capture says what is in force.
    pub(super) fn confirm(&mut self, said: CaptureSettings) -> Confirmation {
        let wanted = self.wanted();
        if said.revision != wanted.revision || !wanted.muted {
            return Confirmation::None;
        }
        if !said.muted {
            return Confirmation::Disobeyed;
        }
        match self.silence {
            Silence::No | Silence::Confirmed => Confirmation::None,
            Silence::Awaited(_, by) => {
                self.silence = Silence::Confirmed;
                Confirmation::Silenced(by)
            }
        }
    }
}
