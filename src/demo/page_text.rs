//! Everything that the page says of the box: one table, from what is confirmed to words. Pure. What is not confirmed is
//! not said, and in doubt the camera counts as on.

use serde::Serialize;

use super::observation::{Guard, Observation};
use super::press_outcome::{self, Situation, Span};
use super::reasons;
use crate::ipc::{LampPattern, Phase, Status};
use consent::Reason;

/// What the page says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct PageText {
    /// What the box does, in a line.
    pub(super) state: &'static str,
    /// More about it.
    pub(super) why: Option<String>,
    /// Whether the camera can be on.
    pub(super) camera: Camera,
    /// The same in a sentence.
    pub(super) camera_says: &'static str,
    /// What is known of the sound.
    pub(super) sound: &'static str,
    /// Stands where there is no picture.
    pub(super) picture: &'static str,
    /// What the record button does.
    pub(super) button: &'static str,
    /// What holding it does.
    pub(super) spans: Vec<Span>,
    /// What the mute button does.
    pub(super) mute: &'static str,
    /// What the lamp shows.
    pub(super) lamp: &'static str,
}

/// Whether the camera can be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Camera {
    /// No process exists that could open it.
    Off,
    /// A process exists that may, and the box says so.
    On,
    /// The box and the kernel do not say the same, or one of them says nothing.
    Doubt,
}

pub(super) fn page_text(seen: &Observation) -> PageText {
    let (camera, camera_says) = camera(seen);
    let situation = Situation::of(&seen.guard);
    PageText {
        state: state(&seen.guard),
        why: why(seen),
        camera,
        camera_says,
        sound: sound(&seen.guard),
        picture: picture(seen),
        button: press_outcome::rest(situation),
        spans: press_outcome::spans(situation),
        mute: mute(&seen.guard),
        lamp: lamp(seen.lamp),
    }
}

fn is(status: &Status, reason: Reason) -> bool {
    status.reason.as_deref() == Some(reason.as_str())
}

fn state(guard: &Guard) -> &'static str {
    let status = match guard {
        Guard::Away => return "The box does not answer",
        Guard::Silent => return "The box has stopped answering",
        Guard::Answers(status) => status,
    };
    match status.phase {
        Phase::Idle => "Idle",
        Phase::Requested if is(status, Reason::Guardian) => "Waiting for a guardian",
        Phase::Requested => "Asked to start",
        Phase::Connecting => "Connecting",
        Phase::Live if is(status, Reason::CameraLost) => "Live, with a stand-in picture",
        Phase::Live if status.muted || is(status, Reason::MicrophoneLost) => "Live, without sound",
        Phase::Live => "Live",
        Phase::Reconnecting => "Reconnecting",
        Phase::Stopping => "Stopping",
        Phase::Locked if status.unbound => "Unbound",
        Phase::Locked => "Locked",
        Phase::Policy => "New privacy policy",
        Phase::Fault => "Out of order",
    }
}

fn why(seen: &Observation) -> Option<String> {
    let status = match &seen.guard {
        Guard::Away => {
            return Some(
                "Its guard, the process that holds button and lamp, is gone. The lamp keeps what it last showed."
                    .to_owned(),
            );
        }
        Guard::Silent => return Some("What it said last may not hold any more.".to_owned()),
        Guard::Answers(status) => status,
    };
    let told = || status.message.as_deref().map(capital).or_else(|| status.reason.as_deref().map(reasons::plain));
    match status.phase {
        Phase::Requested if is(status, Reason::Guardian) => {
            Some("Minors' mode: nothing starts before a guardian's hold.".to_owned())
        }
        Phase::Requested => Some("Somebody asks for a stream. Nothing happens unless staff press.".to_owned()),
        Phase::Policy => Some("Staff have to acknowledge it before anything can start.".to_owned()),
        Phase::Locked if status.unbound => {
            Some("The box belongs to nobody and captures nothing. In this demo: start the demo again.".to_owned())
        }
        Phase::Live if !seen.arriving => Some("Nothing arrives at the server at this moment.".to_owned()),
        Phase::Fault => {
            let parts: Vec<&str> = status.faults.iter().copied().map(reasons::broken).collect();
            Some(
                [parts.join(" "), status.message.as_deref().map(capital).unwrap_or_default()]
                    .join(" ")
                    .trim()
                    .to_owned(),
            )
        }
        Phase::Idle | Phase::Connecting | Phase::Live | Phase::Reconnecting | Phase::Stopping | Phase::Locked => told(),
    }
}

/// A message of the box as a sentence of its own.
fn capital(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Whether the camera can be on: the box's word and the kernel's have to agree.
fn camera(seen: &Observation) -> (Camera, &'static str) {
    let lost = seen.guard.status().is_some_and(|status| is(status, Reason::CameraLost));
    match (seen.guard.phase(), seen.capture) {
        (_, None) => (Camera::Doubt, "Whether a capture process exists cannot be seen here: take the camera for on."),
        (None, Some(true)) => (
            Camera::Doubt,
            "A capture process still exists: take the camera for on. It ends by itself when it hears nothing from the box for 2 s.",
        ),
        (None, Some(false)) => (Camera::Off, "The camera is off all the same: no process exists that could open it."),
        (Some(phase), Some(true)) => match phase {
            Phase::Connecting | Phase::Live | Phase::Reconnecting if lost => {
                (Camera::On, "The camera is away. The box opens it as soon as it is back.")
            }
            Phase::Connecting => (Camera::On, "The camera is on, or about to be opened."),
            Phase::Live => (Camera::On, "The camera is on."),
            Phase::Reconnecting => (Camera::On, "The camera is still on while the box looks for its server."),
            Phase::Stopping => (Camera::On, "The camera is being switched off: its process still exists."),
            Phase::Idle | Phase::Requested | Phase::Locked | Phase::Policy | Phase::Fault => {
                (Camera::Doubt, "A capture process exists, which the box has not said: take the camera for on.")
            }
        },
        (Some(phase), Some(false)) => match phase {
            Phase::Connecting | Phase::Live | Phase::Reconnecting | Phase::Stopping => (
                Camera::Doubt,
                "No capture process exists at this moment, but the box has not confirmed it: take the camera for on.",
            ),
            Phase::Idle | Phase::Requested | Phase::Locked | Phase::Policy | Phase::Fault => {
                (Camera::Off, "Camera and microphone are off: no process exists that could open them.")
            }
        },
    }
}

fn sound(guard: &Guard) -> &'static str {
    let Some(status) = guard.status() else { return "" };
    match status.phase {
        Phase::Connecting | Phase::Live | Phase::Reconnecting if status.muted => "No sound leaves the box.",
        Phase::Live if is(status, Reason::MicrophoneLost) => "The microphone is away: silence is sent in its place.",
        // Its loudness is told only where sound is sent.
        Phase::Live | Phase::Reconnecting if status.stream.is_some_and(|stream| stream.level_db.is_some()) => {
            "The microphone is on."
        }
        Phase::Connecting | Phase::Live | Phase::Reconnecting => "The microphone may be on.",
        Phase::Idle | Phase::Requested | Phase::Stopping | Phase::Locked | Phase::Policy | Phase::Fault => "",
    }
}

/// About the stream only; the camera has its own sentence.
fn picture(seen: &Observation) -> &'static str {
    if seen.arriving {
        return "The stream arrives; its picture is not shown yet.";
    }
    match seen.guard.phase() {
        None => "No stream arrives.",
        Some(Phase::Idle | Phase::Requested | Phase::Locked | Phase::Policy | Phase::Fault) => "No stream.",
        Some(Phase::Connecting) => "No stream yet: the box is calling the server.",
        Some(Phase::Live) => "The box says that it is live, but no picture arrives at this moment.",
        Some(Phase::Reconnecting) => "The stream is interrupted: the box cannot reach the server.",
        Some(Phase::Stopping) => "The stream has ended.",
    }
}

fn mute(guard: &Guard) -> &'static str {
    let Some(status) = guard.status() else { return "Sound: not known" };
    match status.phase {
        Phase::Connecting | Phase::Live | Phase::Reconnecting if status.muted => "Sound: muted",
        Phase::Connecting | Phase::Live | Phase::Reconnecting => "Sound: not muted",
        Phase::Idle | Phase::Requested | Phase::Stopping | Phase::Locked | Phase::Policy | Phase::Fault => {
            "Sound: no stream"
        }
    }
}

const fn lamp(lamp: Option<LampPattern>) -> &'static str {
    match lamp {
        None => "Lamp: dead",
        Some(LampPattern::Dark) => "Lamp: dark",
        Some(LampPattern::SlowPulse) => "Lamp: slow pulse",
        Some(LampPattern::FastBlink) => "Lamp: fast blink",
        Some(LampPattern::Solid) => "Lamp: lit",
        Some(LampPattern::SolidNotched) => "Lamp: lit, a short dark notch every 2 s",
        Some(LampPattern::DoubleBlink) => "Lamp: double blink",
        Some(LampPattern::TripleBlink) => "Lamp: triple blink",
        Some(LampPattern::LockFlash) => "Lamp: a short flash every 5 s",
        Some(LampPattern::Sos) => "Lamp: SOS",
        Some(LampPattern::UnbindWarning) => "Lamp: flicker, unbinding is near",
        Some(LampPattern::ReleaseNow) => "Lamp: flicker, letting go now starts",
        Some(LampPattern::UnbindRequest) => "Lamp: flicker in bursts, unbinding is asked for",
        Some(LampPattern::Identify) => "Lamp: shows which box this is",
        Some(LampPattern::Notice) => "Lamp: two short flashes every 5 s, see the status",
    }
}

#[cfg(test)]
mod tests;
