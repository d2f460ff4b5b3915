//! Consent to the microphone: whether a session has sound, as requested and as capture confirmed it.

use super::limits::MUTE_CONFIRM_TIMEOUT;
use monotonic::Monotonic;

/// Who muted or unmuted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The mute button.
    Staff,
    /// The platform.
    Remote,
}

/// All that can change while capture runs, as complete state: the last one received counts, and receiving it twice
/// changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CaptureSettings {
    /// Counts the changes of a session, from 0: a confirmation names the revision that it is about.
    pub revision: u64,
    /// Whether silence is sent instead of sound.
    pub muted: bool,
}

/// The sound of one session. Staff and remote mute separately, so that remote can undo only its own mute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AudioConsent {
    /// The microphone may be open. `false`: a picture-only session, whatever is muted or unmuted.
    microphone: bool,
    by_staff: bool,
    by_remote: bool,
    revision: u64,
    silence: Silence,
}

/// Progress of a mute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Silence {
    /// Not muted.
    No,
    /// Not confirmed yet: the deadline, and who muted.
    Awaited(Monotonic, Actor),
    /// Confirmed by capture, and recorded in the ledger.
    Confirmed,
}

/// What a request to mute or unmute changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AudioChange {
    /// Nothing.
    None,
    /// Mute, which counts once capture has confirmed it.
    Mute,
    /// Unmute. `recorded`: the ledger has the mute.
    Unmute { recorded: bool },
}

/// What a report of the settings in force means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// Nothing new, or an answer to settings that have changed since.
    None,
    /// The mute that this actor requested is in force.
    Silenced(Actor),
    /// Sound is sent although the session is muted.
    Disobeyed,
}

impl AudioConsent {
    pub(super) const fn start(microphone: bool) -> Self {
        Self { microphone, by_staff: false, by_remote: false, revision: 0, silence: Silence::No }
    }

    /// The settings that capture has to apply.
    pub(super) const fn settings(self) -> CaptureSettings {
        CaptureSettings { revision: self.revision, muted: !self.microphone || self.by_staff || self.by_remote }
    }

    /// Whether it is certain that no sound leaves the box.
    pub(super) const fn is_silent(self) -> bool {
        !self.microphone || matches!(self.silence, Silence::Confirmed)
    }

    /// By when capture has to confirm a mute; `None`: no mute is pending.
    pub(super) fn deadline(self) -> Option<Monotonic> {
        match self.silence {
            Silence::Awaited(until, _) => Some(until),
            Silence::No | Silence::Confirmed => None,
        }
    }

    /// The mute button: mutes, or unmutes whoever had muted.
    pub(super) fn toggle(&mut self, now: Monotonic) -> AudioChange {
        let (by_staff, by_remote) = (!self.settings().muted, false);
        self.change(now, Actor::Staff, Self { by_staff, by_remote, ..*self })
    }

    /// Remote mutes, or undoes its own mute.
    pub(super) fn by_remote(&mut self, now: Monotonic, muted: bool) -> AudioChange {
        self.change(now, Actor::Remote, Self { by_remote: muted, ..*self })
    }

    fn change(&mut self, now: Monotonic, by: Actor, new: Self) -> AudioChange {
        let before = self.settings().muted;
        if !self.microphone {
            return AudioChange::None;
        }
        *self = new;
        if self.settings().muted == before {
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

    /// Moves all moments, and keeps the revision small, for the model check.
    #[cfg(test)]
    pub(super) fn canonical(&mut self, revision: u64, change: &impl Fn(Monotonic) -> Monotonic) {
        self.revision = self.revision.min(revision);
        if let Silence::Awaited(until, _) = &mut self.silence {
            *until = change(*until);
        }
    }

    /// The same for a session that has ended: whether it is certain that no sound leaves.
    #[cfg(test)]
    pub(super) fn ended(&mut self) {
        *self = Self::start(!self.is_silent());
    }

    /// Capture reports the settings in force.
    pub(super) fn confirm(&mut self, reported: CaptureSettings) -> Confirmation {
        let requested = self.settings();
        if reported.revision != requested.revision || !requested.muted {
            return Confirmation::None;
        }
        if !reported.muted {
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
