//! Who talks to the guard over its control socket: an observer, and those who ask for something.

use serde::Serialize;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::checks::answers::{self, ANSWER_WITHIN};
use super::schedule::{Asker, Help, Wish};
use super::truth::Shared;
use crate::ipc::{
    CredentialsReport, FromGuard, IpcConnection, Request, Response, SignedPayload, ToGuard, UpdateOutcome,
};
use crate::sync::LockExt;

/// Bytes that a connection holds.
const BUFFER: usize = 64 * 1024;
/// Ten of a verb at once, the stop behind them, and what has come to be allowed meanwhile.
const MOST_OF_A_FLOOD: u32 = 13;
/// The agent's user.
pub(super) const AGENT: u32 = 990;
/// A user that may not connect.
const STRANGER: u32 = 1_000;

/// Where a guard accepts connections.
pub(super) type Door = mpsc::Sender<(DuplexStream, u32)>;

/// What is sent to the guard, whether it may be or not.
#[derive(Serialize)]
#[serde(untagged)]
enum Said {
    Call(ToGuard),
    Garbage(&'static str),
}

type Guard = IpcConnection<FromGuard, Said>;

async fn connect(door: &Door, uid: u32) -> Option<Guard> {
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    door.send((theirs, uid)).await.ok()?;
    Some(IpcConnection::new(ours))
}

/// Follows the guard's status.
pub(super) async fn observe(truth: Shared, door: Door) {
    let Some(mut guard) = connect(&door, 0).await else { return };
    let request = Request::Subscribe { entries: false, after: None };
    if guard.send(&Said::Call(ToGuard { call: 1, request })).await.is_err() {
        return;
    }
    while let Ok(Some(message)) = guard.receive().await {
        if let FromGuard::Status(status) = message {
            let mut truth = truth.lock_unpoisoned();
            let (phase, lamp) = (status.phase.as_str(), status.lamp.as_str());
            let reason = status.reason.as_deref().unwrap_or("-");
            if truth.status.as_ref().is_none_or(|known| (known.phase, known.muted) != (status.phase, status.muted)) {
                truth.note(format_args!("status {phase} ({reason}), lamp {lamp}, muted {}", status.muted));
            }
            if let Some(note) = status.checkpoint.as_ref().filter(|note| truth.checkpoints.last() != Some(*note)) {
                truth.checkpoints.push(note.clone());
            }
            truth.status = Some(status);
        }
    }
}

fn request(wish: &Wish) -> Option<Request> {
    Some(match wish {
        Wish::RequestStart => Request::RequestStart {},
        Wish::Stop => Request::Stop {},
        Wish::Mute => Request::Mute {},
        Wish::Unmute => Request::Unmute {},
        Wish::Identify | Wish::Flood(_) => Request::Identify {},
        Wish::Probe => Request::Probe {},
        Wish::Button => Request::Button { down: true },
        Wish::Command(verb) => {
            let payload = SignedPayload("not a note".to_owned());
            Request::Command { verb: verb.clone(), payload }
        }
        Wish::Garbage => return None,
    })
}

/// The helper that runs as root deletes credentials: reads the guard's request, and answers as it is told to.
pub(super) async fn help(truth: Shared, door: Door, attempt: String, how: Help) {
    let attempt = match how {
        Help::Never => return,
        Help::Prompt => attempt,
        Help::Wrong => "0123456789abcdef".to_owned(),
    };
    let Some(mut guard) = connect(&door, 0).await else { return };
    let request = Request::CredentialsErased(CredentialsReport { attempt, removed: 2, left: Vec::new() });
    if guard.send(&Said::Call(ToGuard { call: 1, request })).await.is_err() {
        return;
    }
    if let Ok(Some(FromGuard::Response { response: Response::Done, .. })) = guard.receive().await
        && how == Help::Wrong
    {
        truth.lock_unpoisoned().violated(format_args!("erased: the answer to another request counts"));
    }
}

/// The updater tells how an update ended; `None`: the guard did not live to answer.
pub(super) async fn tell_ended(door: &Door, outcome: UpdateOutcome) -> Option<Response> {
    let mut guard = connect(door, 0).await?;
    guard.send(&Said::Call(ToGuard { call: 1, request: Request::UpdateEnded(outcome) })).await.ok()?;
    while let Ok(Some(message)) = guard.receive().await {
        if let FromGuard::Response { response, .. } = message {
            return Some(response);
        }
    }
    None
}

/// Asks, and holds the guard to an answer, unless it does not live to answer. `sound_asked`: how often somebody asked
/// for a change of sound by now, with this.
pub(super) async fn ask(truth: Shared, door: Door, by: Asker, wish: Wish, sound_asked: u64) {
    let uid = match by {
        Asker::Root => 0,
        Asker::Agent => AGENT,
        Asker::Stranger => STRANGER,
    };
    let Some(mut guard) = connect(&door, uid).await else { return };
    let count: u64 = if let Wish::Flood(count) = wish { u64::from(count) + 1 } else { 1 };
    for call in 0..count {
        // The last one of a flood is a stop, which waits behind nothing.
        let asked = if count > 1 && call + 1 == count { &Wish::Stop } else { &wish };
        let said = match request(asked) {
            Some(request) => Said::Call(ToGuard { call, request }),
            None => Said::Garbage("hello"),
        };
        if guard.send(&said).await.is_err() {
            return;
        }
    }
    let mut done = 0;
    for _ in 0..count {
        match timeout(ANSWER_WITHIN, guard.receive()).await {
            Ok(Ok(Some(FromGuard::Response { response, .. }))) if by == Asker::Stranger => {
                truth.lock_unpoisoned().violated(format_args!("a stranger is answered: {response:?}"));
            }
            Ok(Ok(Some(FromGuard::Response { call, response }))) => {
                let asked = if count > 1 && call + 1 == count { &Wish::Stop } else { &wish };
                let mut truth = truth.lock_unpoisoned();
                answers::on_answer(&mut truth, asked, &response, sound_asked);
                done += u32::from(response == Response::Done);
                if done > MOST_OF_A_FLOOD {
                    truth.violated(format_args!("bounds: {done} of one flood are carried out"));
                }
            }
            // The guard closes it: it ends, or the peer has no business here.
            Ok(_) => return,
            Err(_) => truth.lock_unpoisoned().violated(format_args!("{wish:?} is never answered")),
        }
    }
}
