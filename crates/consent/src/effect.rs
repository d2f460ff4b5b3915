//! What a step of the machine has to bring about.

use super::{Actor, CaptureSettings, Grant, LampPattern, Purpose, Reason, SessionId};

/// One thing to do. The effects of a step are applied in order; a failure comes back as [`super::Event::FaultDetected`]
/// or [`super::Event::CaptureExited`].
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
        /// Whether a guardian's hold followed the press: minors' mode.
        guardian: bool,
    },
    /// Start capture. Failure: `CaptureExited(NeverStarted)`.
    Launch(Grant),
    /// Close the lease, so that capture ends at once.
    Stop(Reason),
    /// Kill the capture process; repeated until it is verified to be gone.
    Kill,
    /// Write the end of a session, durably.
    RecordStop {
        /// The session that ended.
        session: SessionId,
        /// Why it ended.
        reason: Reason,
    },
    /// Write that staff were asked to press, and what for.
    RecordRequest(Purpose),
    /// Write that staff were asked to confirm an unbinding.
    RecordUnbindRequest,
    /// Write that a request ended without a start, and how: [`Reason::Unbind`] where staff confirmed the unbinding.
    RecordRequestEnded(Reason),
    /// Write, durably, that the box is locked; it stays so across power cuts.
    RecordLock,
    /// Write, durably, that the lock was ended by staff.
    RecordUnlock,
    /// Write, durably, that staff acknowledged the policy in force.
    RecordPolicyAcknowledged,
    /// Write, durably, that staff agreed to the change that waited for them; then it takes effect.
    RecordAgreement,
    /// Write that a part has a fault that it had not before.
    RecordFault(super::Fault),
    /// Send capture its new settings.
    Configure(CaptureSettings),
    /// Write that no sound leaves any more, after capture confirmed it; or that sound may leave again, before it does.
    RecordMute {
        /// The session.
        session: SessionId,
        /// Whether silence is sent.
        muted: bool,
        /// Who muted or unmuted.
        by: Actor,
    },
    /// Destroy unsent footage.
    DestroyFootage,
    /// Destroy keys, credentials, footage and shop binding, with a receipt.
    Unbind,
    /// The same because the platform's service ended.
    EndService,
    /// Test the parts that have a fault; each answers with `FaultCleared`, or keeps its fault.
    SelfTest,
}
