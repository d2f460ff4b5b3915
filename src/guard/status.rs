//! The status that is published, composed from what each part of the guard knows. `reason` and `message` speak of the
//! present phase only.

use jiff::Timestamp;

use super::incidents::Incidents;
use super::panel_controller::PanelController;
use super::session::SessionReport;
use crate::config::{Config, policy_follows};
use crate::ipc::{
    BoxIdentity, CommandProgress, ENCODER_FALLBACK, FootageStatus, KeyAtRest, Status, UpdateStatus, VideoSettings,
};
use crate::judges::policy_in_force::PolicyInForce;
use crate::judges::twin::Twin;
use crate::ledger::{LedgerWriter, ServiceEnd};
use consent::{Fault, Machine, Phase, Reason};

/// `message` of a box that may have been tampered with.
const TAMPERED: &str = "nothing is recorded until the cause is gone";
/// `message` while the supply voltage is too low.
const LOW_VOLTAGE: &str =
    "the supply voltage is too low: use the supply that belongs to this Pi (5.1 V), and a short thick cable";

/// `message` of a box that was unbound.
const UNBOUND: &str = "this box was unbound: it captures nothing until it is claimed, which a new configuration does \
    (see docs/operations.md)";

/// `message` while staff are asked whether to unbind the box.
const UNBIND_REQUESTED: &str =
    "the platform asks to unbind the box: hold the button for 2 s and let go to confirm, press it to decline";

/// `message` while minors' mode waits for a guardian.
const GUARDIAN_ASKED: &str = "minors' mode: a guardian holds the button for 2 s, and lets go when the lamp flickers, \
    which starts; any other touch declines";

/// `message` of a box whose platform ended its service.
const SERVICE_ENDED: &str = "the platform's service has ended: this box captures nothing, and what may be deleted is \
    deleted; the receipt says what is kept, and until when";

/// The same with whom people may ask.
fn ended_message(end: Option<&ServiceEnd>) -> String {
    let contacts = end.map(|end| end.contacts.join(", ")).unwrap_or_default();
    if contacts.is_empty() { SERVICE_ENDED.to_owned() } else { format!("{SERVICE_ENDED}; ask {contacts}") }
}

/// Sentences for people that stay true for longer than the event that brought them.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// Why the last session or request ended.
    pub(super) session: Option<String>,
    /// Why the ledger does not work, while that is a fault.
    pub(super) ledger: Option<String>,
    /// What could not be deleted, until it is.
    pub(super) erasure: Option<String>,
    /// Which policy waits for staff.
    pub(super) policy: String,
}

/// What a status is composed from.
pub(super) struct StatusSources<'a> {
    pub(super) machine: &'a Machine,
    pub(super) session: &'a SessionReport,
    pub(super) messages: &'a Messages,
    pub(super) panel: &'a PanelController,
    pub(super) ledger_writer: &'a LedgerWriter,
    /// `None`: the box's key cannot be used.
    pub(super) identity: Option<&'a BoxIdentity>,
    pub(super) identity_at_rest: Option<KeyAtRest>,
    pub(super) update: &'a UpdateStatus,
    /// The last receipt of an erasure.
    pub(super) receipt: Option<&'a str>,
    /// Footage that is kept for the operator.
    pub(super) footage: Option<FootageStatus>,
    pub(super) policy: &'a PolicyInForce,
    /// The last note that ended a service here.
    pub(super) service_end: Option<&'a ServiceEnd>,
    pub(super) minors_mode: bool,
    pub(super) twin: &'a Twin,
    /// The session's configuration, or the next one's.
    pub(super) settings: &'a Config,
    pub(super) command: Option<&'a CommandProgress>,
    pub(super) epoch: &'a str,
    pub(super) incidents: &'a Incidents,
    pub(super) signed_commands: bool,
}

/// The status now; its phase began at `since`.
pub(super) fn compose(sources: &StatusSources<'_>, since: Timestamp) -> Status {
    let StatusSources {
        machine,
        session,
        panel,
        ledger_writer,
        identity,
        identity_at_rest,
        update,
        receipt,
        footage,
        policy,
        minors_mode,
        twin,
        settings,
        command,
        epoch,
        incidents,
        signed_commands,
        ..
    } = sources;
    let Explanation { reason, message } = explain(sources);
    Status {
        phase: machine.phase(),
        session: machine.session().map(|session| session.0),
        reason,
        message,
        muted: machine.is_muted(),
        lamp: panel.pattern(),
        faults: Fault::ALL.into_iter().filter(|part| machine.has_fault(*part)).collect(),
        encoder: session.encoder.clone(),
        camera: session.camera_mode.clone(),
        stream: session.stream,
        second: session.secondary.clone(),
        capture_pid: session.pid,
        panel: panel.name().to_owned(),
        unbound: machine.is_unbound(),
        ledger: ledger_writer.ledger_id(),
        ledger_check: ledger_writer.check(),
        identity: identity.cloned(),
        identity_at_rest: *identity_at_rest,
        update: (*update).clone(),
        receipt: receipt.map(str::to_owned),
        checkpoint: ledger_writer.checkpoint().filter(|note| is_own(note, *identity)),
        footage: *footage,
        video: Some(VideoSettings {
            width: settings.video.width,
            height: settings.video.height,
            fps: settings.video.fps,
            bitrate_kbps: session.bitrate_kbps.unwrap_or(settings.video.bitrate_kbps),
        }),
        ingest: settings.ingest.places(),
        command: command.cloned(),
        minors_mode: *minors_mode,
        policy: policy.note.as_ref().map(|note| note.document.clone()),
        desired: twin.status(),
        epoch: (*epoch).to_owned(),
        incidents: incidents.open(),
        signed_commands: *signed_commands,
        ..Status::idle(since, &policy.version)
    }
}

/// Whether a checkpoint is of the present key: one from before an unbinding names the former shop.
fn is_own(note: &str, identity: Option<&BoxIdentity>) -> bool {
    let name = identity.and_then(|identity| identity.verifier_key.split('+').next());
    name.is_some_and(|name| note.strip_prefix(name).is_some_and(|rest| rest.starts_with('\n')))
}

/// `reason` and `message` of a status.
#[derive(Debug, Default, PartialEq, Eq)]
struct Explanation {
    /// One of [`crate::ipc::reasons`], or, while a session goes on, what a server answered.
    reason: Option<String>,
    /// A sentence for a person.
    message: Option<String>,
}

fn explain(sources: &StatusSources<'_>) -> Explanation {
    let StatusSources { machine, session, messages, panel, incidents, .. } = sources;
    let reason = machine.reason().map(|reason| reason.as_str().to_owned());
    let erasure = || messages.erasure.clone();
    let message = match machine.phase() {
        Phase::Connecting | Phase::Reconnecting => match session.ingest_error.clone() {
            Some(error) => return Explanation { reason: Some(error.clone()), message: Some(error) },
            None => return explain_devices(session),
        },
        Phase::Live => return explain_devices(session),
        // A failed deletion matters until it is done, a former session's end only until the next thing happens.
        Phase::Idle => messages.session.clone().or_else(erasure),
        Phase::Requested if machine.asks_to_unbind() => Some(UNBIND_REQUESTED.to_owned()),
        Phase::Requested if machine.asks_for_guardian() => Some(GUARDIAN_ASKED.to_owned()),
        Phase::Requested => erasure(),
        Phase::Policy if machine.reason() == Some(Reason::Agreement) => sources.twin.question(),
        Phase::Policy => erasure().or_else(|| Some(messages.policy.clone())),
        Phase::Stopping => messages.session.clone(),
        Phase::Locked if machine.is_service_ended() => erasure().or_else(|| Some(ended_message(sources.service_end))),
        Phase::Locked => erasure().or_else(|| machine.is_unbound().then(|| UNBOUND.to_owned())),
        Phase::Fault => {
            // The part that the reason names.
            let message = match Fault::ALL.into_iter().find(|part| machine.has_fault(*part)) {
                Some(Fault::Lamp | Fault::Button) => panel.last_error().map(str::to_owned),
                Some(Fault::Power) => Some(LOW_VOLTAGE.to_owned()),
                Some(Fault::Tamper) => incidents.open().first().map(|open| format!("{}; {TAMPERED}", open.what)),
                Some(Fault::Ledger) | None => messages.ledger.clone(),
            };
            message.or_else(erasure)
        }
    };
    Explanation { reason, message }
}

/// What is wrong with the devices of a session that goes on. A slate or silence replaces a lost one; the lamp shows, as
/// before, that the box may capture.
fn explain_devices(session: &SessionReport) -> Explanation {
    if let Some((reason, why)) = session.lost_device() {
        return Explanation { reason: Some(reason.as_str().to_owned()), message: Some(why.to_owned()) };
    }
    match session.encoder_fallback.clone() {
        Some(text) => Explanation { reason: Some(ENCODER_FALLBACK.to_owned()), message: Some(text) },
        None => Explanation::default(),
    }
}

/// That a policy waits for staff. One older than what they acknowledged is most likely a mistake.
pub(super) fn policy_pending_message(acknowledged: Option<&str>, policy_version: &str) -> String {
    let text = format!("the policy {policy_version} waits for staff: hold the button for 2 s");
    match acknowledged {
        Some(known) if !policy_follows(policy_version, known) => {
            format!("{text}; it is older than {known}, which staff acknowledged last: see [consent] policy-version")
        }
        Some(_) | None => text,
    }
}
