//! Replies that come later: when capture is gone or has confirmed, and when the ledger has the entry.

use std::time::Duration;

use crate::ipc::{ProbeReport, Response};
use crate::judges::ReplySender;
use crate::ledger::LedgerWriter;
use consent::{Machine, Reason};
use monotonic::Monotonic;

/// How long a reply waits for the ledger. A caller's own timeout is a second or two.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// A reply that waits for the ledger.
#[derive(Debug)]
struct Unwritten {
    /// The last fact that belongs to it.
    fact: u64,
    /// After this the response is [`Response::Unwritten`].
    until: Monotonic,
    reply: ReplySender,
    /// What is sent then.
    response: Response,
}

/// Callers that wait.
#[derive(Debug, Default)]
pub(super) struct PendingReplies {
    /// Remote stops, until capture is gone.
    stops: Vec<ReplySender>,
    /// Remote mutes, until capture has confirmed.
    mutes: Vec<ReplySender>,
    /// The probe that was requested or is running.
    probe: Option<ReplySender>,
    /// Erasures, until all is gone.
    erasures: Vec<ReplySender>,
    /// An unbinding, until staff have answered and all is gone.
    unbind: Option<ReplySender>,
    /// What was done, until the ledger has it.
    unwritten: Vec<Unwritten>,
}

impl PendingReplies {
    pub(super) fn add_stop(&mut self, reply: ReplySender) {
        self.stops.push(reply);
    }

    pub(super) fn add_mute(&mut self, reply: ReplySender) {
        self.mutes.push(reply);
    }

    pub(super) fn set_probe(&mut self, reply: ReplySender) {
        self.probe = Some(reply);
    }

    /// When [`PendingReplies::finish_written`] has to be called at the latest.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.unwritten.iter().map(|waiting| waiting.until).min()
    }

    /// Sends [`Response::Done`] now or, at the latest at its deadline, through [`PendingReplies::finish_written`].
    pub(super) fn done_when_written(&mut self, now: Monotonic, ledger_writer: &LedgerWriter, reply: ReplySender) {
        self.when_written(now, ledger_writer, Response::Done, reply);
    }

    fn when_written(&mut self, now: Monotonic, ledger_writer: &LedgerWriter, response: Response, reply: ReplySender) {
        let fact = ledger_writer.submitted();
        if ledger_writer.is_written(fact) {
            let _ = reply.send(response);
            return;
        }
        self.unwritten.push(Unwritten { fact, until: now.saturating_add(WRITE_TIMEOUT), reply, response });
    }

    pub(super) fn add_erasure(&mut self, reply: ReplySender) {
        self.erasures.push(reply);
    }

    pub(super) fn set_unbind(&mut self, reply: ReplySender) {
        self.unbind = Some(reply);
    }

    pub(super) fn waits_for_unbind(&self) -> bool {
        self.unbind.is_some()
    }

    /// Staff did not confirm the unbinding.
    pub(super) fn refuse_unbind(&mut self, why: &str) {
        if let Some(reply) = self.unbind.take() {
            let _ = reply.send(Response::refused(why));
        }
    }

    /// All is gone: erasures are done once that is written, and with `is_unbound` the unbinding too.
    pub(super) fn finish_erasures(
        &mut self,
        now: Monotonic,
        is_unbound: bool,
        receipt: Option<&String>,
        ledger_writer: &LedgerWriter,
    ) {
        let unbind = if is_unbound { self.unbind.take() } else { None };
        for reply in std::mem::take(&mut self.erasures).into_iter().chain(unbind) {
            self.when_written(now, ledger_writer, Response::Erased(receipt.cloned()), reply);
        }
    }

    /// Replies to those whose entries are written, and to all others where the ledger failed or took too long.
    pub(super) fn finish_written(&mut self, now: Monotonic, ledger_writer: &LedgerWriter, has_failed: bool) {
        for waiting in std::mem::take(&mut self.unwritten) {
            if ledger_writer.is_written(waiting.fact) {
                let _ = waiting.reply.send(waiting.response);
            } else if has_failed || now >= waiting.until {
                let _ = waiting.reply.send(Response::Unwritten);
            } else {
                self.unwritten.push(waiting);
            }
        }
    }

    /// Capture is gone: remote stops are done once that is written.
    pub(super) fn finish_stops(&mut self, now: Monotonic, ledger_writer: &LedgerWriter) {
        for reply in std::mem::take(&mut self.stops) {
            self.done_when_written(now, ledger_writer, reply);
        }
    }

    /// Replies to remote mutes once capture has confirmed, or will not any more.
    pub(super) fn finish_mutes(&mut self, now: Monotonic, machine: &Machine, ledger_writer: &LedgerWriter) {
        if machine.is_mute_pending() {
            return;
        }
        let phase = machine.phase();
        let is_silent = phase.may_capture() && machine.is_muted();
        for reply in std::mem::take(&mut self.mutes) {
            if is_silent {
                self.done_when_written(now, ledger_writer, reply);
                continue;
            }
            let why = if machine.wants_sound() {
                "the sound was switched on again before that".to_owned()
            } else {
                format!("there is no stream to mute: the box is {}", phase.as_str())
            };
            let _ = reply.send(Response::refused(why));
        }
    }

    /// The probe is over, or nobody pressed for it.
    pub(super) fn finish_probe(
        &mut self,
        report: Option<ProbeReport>,
        last_reason: Option<Reason>,
        message: Option<&str>,
    ) {
        let Some(reply) = self.probe.take() else { return };
        let why = match last_reason {
            Some(Reason::RequestTimeout) => "nobody pressed the button in time",
            other => other.map_or("it did not begin", Reason::as_str),
        };
        let _ = reply.send(match report {
            Some(report) => Response::Probed(report),
            None => Response::refused(message.unwrap_or(why)),
        });
    }
}
