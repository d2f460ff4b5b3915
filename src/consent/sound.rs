//! Whether a live session is heard: the microphone's own consent.

/// Sound of a session. Staff and remote mute separately, so that remote can take back only what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    /// Picture only: the microphone is not open and no mute changes that.
    Never,
    /// The microphone is open.
    Open {
        /// Staff muted.
        by_staff: bool,
        /// Remote muted.
        by_remote: bool,
    },
}

impl Sound {
    pub(super) const fn start(sound: bool) -> Self {
        if sound { Self::Open { by_staff: false, by_remote: false } } else { Self::Never }
    }

    pub(super) const fn heard(self) -> bool {
        matches!(self, Self::Open { by_staff: false, by_remote: false })
    }

    /// The mute button: silence if heard, else sound again, whoever had muted.
    pub(super) const fn toggled_by_staff(self) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Open { .. } => Self::Open { by_staff: self.heard(), by_remote: false },
        }
    }

    pub(super) const fn by_remote(self, muted: bool) -> Self {
        match self {
            Self::Never => Self::Never,
            Self::Open { by_staff, .. } => Self::Open { by_staff, by_remote: muted },
        }
    }
}
