//! What the machine wants done.

use super::{Actor, CaptureSettings, Grant, LampPattern, Purpose, Reason, SessionId};

/// One thing to do. Effects of one step are carried out in order; a failure drops the rest of the step and comes back
/// as [`super::Event::FaultDetected`] or [`super::Event::CaptureExited`].
#[derive(Debug)]
pub enum Effect {
    /// Drive the lamp, and read it back where there is a sense pin. Failure: `Broken(LampPattern)`.
    SetLamp(LampPattern),
    /// Write the start of a session, durably. Failure: `FaultDetected(Ledger)`.
    RecordStart {
        /// The session that is about to start.
        session: SessionId,
        /// Whether the microphone will be opened.
        sound: bool,
        /// What it is for.
        purpose: Purpose,
    },
    /// Start capture. Failure: `CaptureExited(NeverStarted)`.
    Launch(Grant),
    /// Close the lease, so that capture ends at once.
    Stop(Reason),
    /// Kill the capture process; comes again until it is seen to be gone.
    Kill,
    /// Write the end of a session, durably.
    RecordStop {
        /// The session that ended.
        session: SessionId,
        /// Why.
        reason: Reason,
    },
    /// Write that staff were asked to press, and what for.
    RecordRequest(Purpose),
    /// Write that a request ended without a press.
    RecordRequestEnded(Reason),
    /// Write, durably, that the box is locked; it stays so across power cuts.
    RecordLock,
    /// Write, durably, that the lock was ended by staff.
    RecordUnlock,
    /// Write, durably, that staff acknowledged the policy in force.
    RecordPolicyAcknowledged,
    /// Write that a part broke, if it was whole before.
    RecordFault(super::Fault),
    /// Tell capture what it shall do from now on.
    Configure(CaptureSettings),
    /// Write that no sound leaves any more, once capture has confirmed it; or that sound may leave again, before it
    /// does.
    RecordMute {
        /// The session.
        session: SessionId,
        /// Whether silence is sent.
        muted: bool,
        /// Who wanted it so.
        by: Actor,
    },
    /// Destroy unsent footage.
    DestroyFootage,
    /// Destroy keys, credentials, footage and shop binding, with a receipt.
    Unbind,
    /// Try broken parts again; each answers with `FaultCleared` or stays broken.
    SelfTest,
}
