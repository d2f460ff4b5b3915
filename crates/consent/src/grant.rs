//! The proof that staff pressed the button.

use core::fmt;

/// Number of a session on this box; counts up from the ledger's last one and is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a press starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A stream to the ingest server.
    OnAir,
    /// `doctor --probe`: devices are open for some seconds, and nothing leaves the box.
    Probe,
}

/// One unspent physical press. Only the consent machine makes one, and what starts capture consumes it:
/// there is no `Clone`, `Copy`, `Default` or deserialisation.
///
/// It proves that consent was given. That consent still holds is what the lease proves.
#[derive(Debug)]
#[must_use = "a grant that is dropped is a press that did nothing"]
pub struct Grant {
    session: SessionId,
    sound: bool,
    purpose: Purpose,
}

impl Grant {
    pub(super) fn from_press(session: SessionId, sound: bool, purpose: Purpose) -> Self {
        Self { session, sound, purpose }
    }

    /// Uses the grant up: its session, whether the microphone may be opened, and the purpose.
    pub fn spend(self) -> (SessionId, bool, Purpose) {
        (self.session, self.sound, self.purpose)
    }
}
