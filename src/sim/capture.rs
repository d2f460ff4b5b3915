//! A simulated capture: speaks the real protocol over a connection in memory, as well or as badly as its plan says.

use std::io::Error;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::checks;
use super::schedule::{CapturePlan, Quirk};
use super::settings::DATA;
use super::truth::{Capture, Shared};
use crate::atomic_file::sync_parent;
use crate::disk::File;
use crate::guard::{SimulatedLauncher, SimulatedProcess};
use crate::ipc::{FailureKind, FromCapture, IpcConnection, LEASE_DURATION, LeaseState, StreamStats, ToCapture};
use crate::sync::LockExt;

/// Bytes that the connection holds.
const BUFFER: usize = 64 * 1024;
/// How often a wordy capture says the same: a frame has room for it.
const WORDY: usize = 3_500;
/// Reports of a talkative capture at once.
const FLOOD: u32 = 200;
/// Reports that a guard takes at once, and in each second after that, before it has to kill their capture.
const MOST_REPORTS: (u32, u32) = (256 + 400, 50);

type Guard = IpcConnection<ToCapture, Said>;

/// What a capture sends, whether it may or not.
#[derive(Serialize)]
#[serde(untagged)]
enum Said {
    Message(FromCapture),
    Garbage(&'static str),
}

impl From<FromCapture> for Said {
    fn from(message: FromCapture) -> Self {
        Self::Message(message)
    }
}

fn ms(count: u32) -> Duration {
    Duration::from_millis(count.into())
}

/// Starts captures as the schedule plans them.
#[allow(clippy::disallowed_methods)] // a process of its own, which the schedule's end ends
pub(super) fn launcher(truth: &Shared) -> SimulatedLauncher {
    let truth = truth.clone();
    SimulatedLauncher::new(move || {
        let mut known = truth.lock_unpoisoned();
        let plan = if known.plans.is_empty() { CapturePlan::default() } else { known.plans.remove(0) };
        if plan.quirk == Some(Quirk::Absent) {
            known.note(format_args!("capture cannot be started"));
            return Err(Error::other("there is none"));
        }
        let number = known.captures.len();
        known.captures.push(Capture {
            alive: true,
            known: false,
            session: None,
            sound: false,
            silent: true,
            told: None,
            gone: None,
        });
        known.note(format_args!("capture {number} starts"));
        drop(known);
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        let process = SimulatedProcess::new(u32::try_from(number).unwrap_or_default() + 100);
        let body = Body { truth: truth.clone(), number, plan, process: process.clone() };
        tokio::spawn(body.live(theirs));
        Ok((ours, process))
    })
}

struct Body {
    truth: Shared,
    number: usize,
    plan: CapturePlan,
    process: SimulatedProcess,
}

impl Body {
    async fn live(self, stream: DuplexStream) {
        let process = self.process.clone();
        let how = tokio::select! {
            biased;
            () = process.killed() => "is killed",
            how = self.capture(stream) => how,
        };
        {
            let mut truth = self.truth.lock_unpoisoned();
            truth.bury(self.number);
            truth.note(format_args!("capture {} {how}", self.number));
        }
        process.end();
    }

    /// Returns when its process ends by itself.
    async fn capture(&self, stream: DuplexStream) -> &'static str {
        let mut guard: Guard = IpcConnection::new(stream);
        if self.plan.quirk == Some(Quirk::Silent) {
            let _ = guard.receive().await;
            return "ends, and never said who it is";
        }
        sleep(ms(self.plan.hello)).await;
        let wrong = u32::from(self.plan.quirk == Some(Quirk::WrongProcess));
        self.truth.lock_unpoisoned().captures[self.number].known = true;
        if guard.send(&FromCapture::Hello { pid: self.process.pid() + wrong }.into()).await.is_err() {
            return "ends, as nobody listens";
        }
        let Ok(Some(ToCapture::Start { session, sound, wanted, .. })) = guard.receive().await else {
            return "ends without a start";
        };
        checks::consent::on_start(&mut self.truth.lock_unpoisoned(), self.number, session, sound, wanted.muted);
        let how = self.session(&mut guard, wanted).await;
        drop(guard);
        if self.plan.quirk == Some(Quirk::Endless) {
            std::future::pending::<()>().await;
        }
        sleep(ms(self.plan.end)).await;
        how
    }

    /// Captures until its lease ends.
    async fn session(&self, guard: &mut Guard, first: LeaseState) -> &'static str {
        let begun = Instant::now();
        let (mut lease, mut applied, mut wanted) = (begun + LEASE_DURATION, None, first);
        let mut apply_at = Some(begun + ms(self.plan.apply));
        let (mut report_at, mut is_live, mut reports) = (begun + ms(self.plan.live), None, 0);
        let incident = self.incident().map(|(after, _)| begun + ms(after));
        loop {
            tokio::select! {
                biased;
                message = guard.receive(), if self.plan.quirk != Some(Quirk::Deaf) => match message {
                    Ok(Some(ToCapture::Renew { wanted: now })) => {
                        lease = Instant::now() + LEASE_DURATION;
                        wanted = now;
                        apply_at.get_or_insert(Instant::now() + ms(self.plan.apply));
                    }
                    Ok(Some(ToCapture::Start { .. })) => {
                        self.truth.lock_unpoisoned().violated(format_args!("a capture was started twice"));
                    }
                    Ok(None) | Err(_) => return "ends with its connection",
                },
                () = sleep_until(lease) => return "ends without a lease",
                () = until(incident) => return self.happen(guard).await,
                () = until(apply_at), if self.plan.quirk != Some(Quirk::Unconfirming) || applied.is_none() => {
                    apply_at = None;
                    self.apply(&mut applied, wanted);
                    let _ = guard.send(&FromCapture::Applied(wanted.into()).into()).await;
                }
                () = sleep_until(report_at) => {
                    report_at = Instant::now() + Duration::from_millis(500);
                    self.report(guard, &mut is_live, &mut reports).await;
                    self.check_reports(reports, begun.elapsed());
                }
            }
        }
    }

    fn apply(&self, applied: &mut Option<LeaseState>, wanted: LeaseState) {
        if applied.replace(wanted) == Some(wanted) {
            return;
        }
        let mut truth = self.truth.lock_unpoisoned();
        truth.captures[self.number].silent = wanted.muted;
        truth.note(format_args!("capture {}: muted {}", self.number, wanted.muted));
        checks::sound::on_sound(&mut truth);
    }

    async fn report(&self, guard: &mut Guard, is_live: &mut Option<bool>, reports: &mut u32) {
        let up = self.truth.lock_unpoisoned().link_up;
        if is_live.replace(up) != Some(up) {
            let reason = "refused".to_owned();
            let report = if up { FromCapture::Live {} } else { FromCapture::Reconnecting { reason } };
            if !up {
                self.keep_footage();
            }
            let _ = guard.send(&report.into()).await;
        }
        if self.plan.quirk == Some(Quirk::Talkative) {
            for _ in 0..FLOOD {
                if guard.send(&FromCapture::Stats(StreamStats::default()).into()).await.is_err() {
                    return;
                }
                *reports += 1;
            }
        }
    }

    /// What cannot be sent is kept, if it may be. A disk that is full keeps none.
    fn keep_footage(&self) {
        let (keeps, session) = {
            let truth = self.truth.lock_unpoisoned();
            (truth.keeps_footage, truth.captures[self.number].session)
        };
        let Some(session) = session.filter(|_| keeps) else { return };
        let path = Path::new(DATA).join(format!("footage/{session}-1.age"));
        let written = File::create_new(&path, 0o600).and_then(|file| {
            file.write_all(&[b'x'; 1_000])?;
            file.sync_all()?;
            sync_parent(&path)
        });
        if written.is_ok() {
            self.truth.lock_unpoisoned().note(format_args!("capture {} keeps footage of {session}", self.number));
        }
    }

    /// The guard takes so many reports and no more.
    fn check_reports(&self, reports: u32, within: Duration) {
        let (burst, rate) = MOST_REPORTS;
        if reports > burst + rate * u32::try_from(within.as_secs() + 1).unwrap_or(u32::MAX) {
            self.truth.lock_unpoisoned().violated(format_args!("a talkative capture may go on: {reports} reports"));
        }
    }

    /// What will happen, and when.
    fn incident(&self) -> Option<(u32, Quirk)> {
        match self.plan.quirk? {
            quirk @ (Quirk::Garbage(at) | Quirk::Dies(at) | Quirk::CameraLost(at) | Quirk::Wordy(at)) => {
                Some((at, quirk))
            }
            Quirk::Silent
            | Quirk::Unconfirming
            | Quirk::Endless
            | Quirk::Talkative
            | Quirk::Deaf
            | Quirk::WrongProcess
            | Quirk::Absent => None,
        }
    }

    async fn happen(&self, guard: &mut Guard) -> &'static str {
        match self.incident() {
            Some((_, Quirk::Garbage(_))) => {
                let _ = guard.send(&Said::Garbage("hello")).await;
                // It goes on capturing for as long as it is let.
                std::future::pending().await
            }
            Some((_, quirk @ (Quirk::CameraLost(_) | Quirk::Wordy(_)))) => {
                let times = if matches!(quirk, Quirk::Wordy(_)) { WORDY } else { 1 };
                let (kind, message) = (FailureKind::CameraLost, "it was unplugged\n".repeat(times));
                let _ = guard.send(&FromCapture::Failed { kind, message }.into()).await;
                "ends without a camera"
            }
            Some(_) | None => "dies",
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
