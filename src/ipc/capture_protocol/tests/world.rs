//! Both ends of the protocol, and what is between them.

use monotonic::Monotonic;

use super::super::*;
use super::{HELD, KILL, LEASE, RENEWAL};

/// Where capture's process is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Process {
    /// systemd has taken the connection.
    Coming,
    /// It said hello, and has nothing open.
    Waiting(CaptureEnd),
    /// Camera and microphone may be open.
    Open(CaptureEnd),
    /// Consent has ended, as it knows; what is open is being closed, and no frame leaves any more.
    Closing,
    Gone,
}

/// The guard's side, as its task and the engine have it.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) end: GuardEnd,
    pub(super) wanted: LeaseState,
    pub(super) renewed_at: u64,
    /// It is hung: it neither reads nor renews nor kills.
    pub(super) is_hung: bool,
    pub(super) stopped_at: Option<u64>,
    /// The process can be watched.
    pub(super) is_known: bool,
    /// What the engine was told last.
    pub(super) told: Option<(u64, bool)>,
    pub(super) live: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) guard: Guard,
    pub(super) to_capture: Vec<ToCapture>,
    pub(super) to_guard: Vec<FromCapture>,
    /// The guard's end of the connection is closed.
    pub(super) is_closed: bool,
    pub(super) process: Process,
    pub(super) muted: bool,
    /// Devices were open before the guard knew the process.
    pub(super) opened_unknown: bool,
    pub(super) failed: bool,
    pub(super) starts: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    GuardRenews,
    GuardTurnsSound,
    GuardStops,
    GuardKills,
    GuardReads,
    GuardHangs,
    GuardDies,
    Passes,
    ProcessComes,
    ProcessReads,
    ProcessSays(Word),
    ProcessEnds,
    AnotherComes,
}

/// What capture may say by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    Hello,
    Live,
    Failed,
    Lie { ago: u64, muted: bool },
}

/// How capture behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It reads what has come before time passes.
    Prompt,
    /// It may stand still at any moment, for any time.
    Slow,
    /// It says what it likes when it likes, and ends when it is killed.
    Hostile,
}

impl Kind {
    /// In steps of how many ms time passes. A prompt capture has those of which every limit is a multiple; what may
    /// stand still at any moment has too many moments for that.
    pub(super) const fn step(self) -> u64 {
        match self {
            Self::Prompt => 100,
            Self::Slow | Self::Hostile => 500,
        }
    }

    /// The guard kills a capture that is left so many ms after consent ended, as far as steps can tell.
    pub(super) const fn kill(self) -> u64 {
        match self {
            Self::Prompt => KILL,
            Self::Slow | Self::Hostile => self.step(),
        }
    }
}

pub(super) const ACTIONS: [Action; 18] = [
    Action::GuardRenews,
    Action::GuardTurnsSound,
    Action::GuardStops,
    Action::GuardKills,
    Action::GuardReads,
    Action::GuardHangs,
    Action::GuardDies,
    Action::Passes,
    Action::ProcessComes,
    Action::ProcessReads,
    Action::ProcessSays(Word::Hello),
    Action::ProcessSays(Word::Live),
    Action::ProcessSays(Word::Failed),
    Action::ProcessSays(Word::Lie { ago: 0, muted: true }),
    Action::ProcessSays(Word::Lie { ago: 1, muted: true }),
    Action::ProcessSays(Word::Lie { ago: 0, muted: false }),
    Action::ProcessEnds,
    Action::AnotherComes,
];

pub(super) fn at(ms: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(ms))
}

impl World {
    pub(super) fn new(muted: bool) -> Self {
        let wanted = LeaseState { revision: 0, muted, bitrate_kbps: 1000 };
        let start = ToCapture::Start {
            session: 1,
            sound: !muted,
            purpose: Purpose::OnAir,
            configuration: String::new(),
            values: Values::default(),
            commands: SessionValues::default(),
            wanted,
        };
        let guard = Guard {
            end: GuardEnd::new(start),
            wanted,
            // Far enough from 0 for differences, whatever is forgotten.
            renewed_at: 10_000,
            is_hung: false,
            stopped_at: None,
            is_known: false,
            told: None,
            live: false,
        };
        Self {
            now: 10_000,
            guard,
            to_capture: Vec::new(),
            to_guard: Vec::new(),
            is_closed: false,
            process: Process::Coming,
            muted: true,
            opened_unknown: false,
            failed: false,
            starts: 0,
        }
    }

    /// The guard's task runs: it neither hangs nor has it ended.
    fn guard_acts(&self) -> bool {
        !self.guard.is_hung && !self.is_closed
    }

    /// Takes an action. `None`: it is not possible now.
    pub(super) fn take(&mut self, action: Action, kind: Kind) -> Option<()> {
        match action {
            Action::GuardRenews | Action::GuardTurnsSound if !self.guard_acts() || self.to_capture.len() >= HELD => {
                return None;
            }
            Action::GuardRenews => self.renew(),
            Action::GuardTurnsSound => {
                let LeaseState { revision, muted, .. } = self.guard.wanted;
                self.guard.wanted = LeaseState { revision: revision + 1, muted: !muted, ..self.guard.wanted };
                self.renew();
            }
            Action::GuardStops if self.guard.is_hung || self.guard.stopped_at.is_some() => return None,
            Action::GuardStops => self.stop(),
            Action::GuardKills => self.kill(kind)?,
            Action::GuardReads => self.guard_reads()?,
            Action::GuardHangs if !self.guard_acts() => return None,
            Action::GuardHangs => self.guard.is_hung = true,
            // Its stop hook kills what is left: from here on as after a stop.
            Action::GuardDies if !self.guard.is_hung => return None,
            Action::GuardDies => {
                self.guard.is_hung = false;
                self.stop();
            }
            Action::Passes => self.pass(kind)?,
            Action::ProcessComes if self.process != Process::Coming => return None,
            Action::ProcessComes => {
                self.process = Process::Waiting(CaptureEnd::new(at(self.now)));
                if kind != Kind::Hostile {
                    self.to_guard.push(FromCapture::Hello { pid: 7 });
                }
            }
            Action::ProcessReads => self.process_reads()?,
            Action::ProcessSays(word) => self.say(word, kind)?,
            Action::ProcessEnds => match self.process {
                Process::Waiting(_) | Process::Open(_) if kind != Kind::Prompt || self.failed => {
                    self.process = Process::Gone;
                }
                Process::Closing if kind != Kind::Hostile => self.process = Process::Gone,
                _ => return None,
            },
            Action::AnotherComes => {
                let again = self.process == Process::Gone && self.to_guard.is_empty() && self.guard_acts();
                if !again || self.guard.end.has_started() || self.guard.is_known {
                    return None;
                }
                (self.process, self.to_capture) = (Process::Coming, Vec::new());
            }
        }
        Some(())
    }

    /// What is wanted goes to capture, or back to the engine.
    fn renew(&mut self) {
        self.guard.renewed_at = self.now;
        match self.guard.end.want(self.guard.wanted) {
            Wanted::Capture(renewal) => self.to_capture.push(renewal),
            Wanted::Guard(applied) => self.tell(&applied),
        }
    }

    fn tell(&mut self, message: &FromCapture) {
        match message {
            FromCapture::Applied(state) => self.guard.told = Some((state.revision, state.muted)),
            FromCapture::Live {} => self.guard.live = true,
            _ => {}
        }
    }

    fn stop(&mut self) {
        (self.is_closed, self.guard.stopped_at) = (true, Some(self.now));
        self.to_guard.clear();
    }

    /// The engine's kill, or the stop hook's, or that of a violation of the protocol.
    fn kill(&mut self, kind: Kind) -> Option<()> {
        let is_due = self.guard.stopped_at.is_some_and(|since| self.now >= since + kind.kill());
        if !is_due || self.guard.is_hung || self.process == Process::Gone {
            return None;
        }
        self.process = Process::Gone;
        Some(())
    }

    fn guard_reads(&mut self) -> Option<()> {
        if !self.guard_acts() || self.to_guard.is_empty() || self.to_capture.len() >= HELD {
            return None;
        }
        let message = self.to_guard.remove(0);
        if self.guard.end.hear(&message).is_err() {
            self.stop();
            self.process = Process::Gone;
            return Some(());
        }
        if let FromCapture::Hello { .. } = message {
            self.guard.is_known = true;
            if let Some(start) = self.guard.end.start(self.guard.wanted) {
                self.starts += 1;
                self.guard.renewed_at = self.now;
                self.to_capture.push(start);
            }
        }
        self.tell(&message);
        Some(())
    }

    /// Time passes when nothing has to be done before.
    fn pass(&mut self, kind: Kind) -> Option<()> {
        let later = self.now + kind.step();
        let has_to_read = !self.to_capture.is_empty() || self.is_closed;
        let is_kept = matches!(self.process, Process::Waiting(_) | Process::Open(_)) && has_to_read;
        let must_kill = self.process != Process::Gone
            && !self.guard.is_hung
            && self.guard.stopped_at.is_some_and(|since| later > since + kind.kill());
        let must_renew = self.guard_acts() && later > self.guard.renewed_at + RENEWAL;
        if must_kill || must_renew || kind == Kind::Prompt && is_kept || self.process == Process::Gone {
            return None;
        }
        self.now = later;
        if kind == Kind::Prompt
            && let Process::Waiting(end) | Process::Open(end) = &self.process
            && at(later) >= end.deadline()
        {
            self.end_of_consent();
        }
        Some(())
    }

    fn end_of_consent(&mut self) {
        self.process = Process::Closing;
    }

    /// Capture's thread reads, or notices what it would notice by then.
    fn process_reads(&mut self) -> Option<()> {
        let (Process::Waiting(end) | Process::Open(end)) = &self.process else { return None };
        let mut end = end.clone();
        if at(self.now) >= end.deadline() {
            self.end_of_consent();
            return Some(());
        }
        if self.to_capture.is_empty() {
            if !self.is_closed {
                return None;
            }
            self.end_of_consent();
            return Some(());
        }
        if self.to_guard.len() >= HELD && !self.is_closed {
            return None;
        }
        let message = self.to_capture.remove(0);
        let Ok(wanted) = end.hear(&message, at(self.now)) else {
            self.end_of_consent();
            return Some(());
        };
        self.opened_unknown |= !self.guard.is_known;
        self.muted = wanted.muted;
        assert_eq!(at(self.now + LEASE), end.deadline());
        self.process = Process::Open(end);
        if self.is_closed {
            // The confirmation cannot be sent: what is closed reads no more.
            self.end_of_consent();
        } else {
            self.to_guard.push(FromCapture::Applied(wanted.into()));
        }
        Some(())
    }

    fn say(&mut self, word: Word, kind: Kind) -> Option<()> {
        let is_there = matches!(self.process, Process::Waiting(_) | Process::Open(_));
        let is_open = matches!(self.process, Process::Open(_));
        if !is_there || self.is_closed || self.to_guard.len() >= HELD {
            return None;
        }
        let message = match word {
            Word::Live if is_open && !self.guard.live || kind == Kind::Hostile => FromCapture::Live {},
            Word::Failed if is_open && !self.failed || kind == Kind::Hostile => {
                self.failed = true;
                FromCapture::Failed { kind: FailureKind::Internal, message: String::new() }
            }
            Word::Hello if kind == Kind::Hostile => FromCapture::Hello { pid: 7 },
            Word::Lie { ago, muted } if kind == Kind::Hostile => {
                let revision = self.guard.wanted.revision.checked_sub(ago)?;
                FromCapture::Applied(LeaseState { revision, muted, bitrate_kbps: 1000 }.into())
            }
            _ => return None,
        };
        self.to_guard.push(message);
        Some(())
    }
}
