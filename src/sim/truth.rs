//! What is: buttons, lamp and captures as they are, in simulated time, and the trace of all that happened.

use std::fmt::Arguments;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::ipc::{LampPattern, Status};
use crate::worker;

use super::schedule::CapturePlan;

/// A touch of the record button.
#[derive(Clone, Copy, Debug)]
pub(super) struct Press {
    pub(super) down: Duration,
    pub(super) up: Option<Duration>,
    /// It has started a session, or cannot start one any more.
    pub(super) spent: bool,
}

/// A capture's process.
#[allow(clippy::struct_excessive_bools)] // each is a fact of its own
#[derive(Clone, Debug)]
pub(super) struct Capture {
    pub(super) alive: bool,
    /// It said who it is, and may open devices once it is told to.
    pub(super) known: bool,
    /// `None`: it was not told to start.
    pub(super) session: Option<u64>,
    /// Whether the microphone may be open.
    pub(super) sound: bool,
    /// Whether silence is sent.
    pub(super) silent: bool,
}

impl Capture {
    /// Whether camera or microphone may be open.
    pub(super) fn may_capture(&self) -> bool {
        self.alive && self.session.is_some()
    }

    /// Whether people may be heard.
    pub(super) fn may_hear(&self) -> bool {
        self.may_capture() && self.sound && !self.silent
    }
}

/// All that is.
#[allow(clippy::struct_excessive_bools)] // each is a fact of its own
#[derive(Debug)]
pub(super) struct Truth {
    origin: Instant,
    pub(super) lamp: LampPattern,
    pub(super) lamp_dead: bool,
    pub(super) panel_lost: bool,
    pub(super) record_down: bool,
    pub(super) mute_down: bool,
    /// When the guard hears of the last edge of the record button, and of the mute button.
    pub(super) edges_heard: [Duration; 2],
    pub(super) presses: Vec<Press>,
    pub(super) captures: Vec<Capture>,
    /// How the next captures behave.
    pub(super) plans: Vec<CapturePlan>,
    pub(super) link_up: bool,
    /// A guard runs since then.
    pub(super) guard_since: Option<Duration>,
    /// The last status that the guard told.
    pub(super) status: Option<Box<Status>>,
    pub(super) policy: u8,
    digest: u64,
    lines: Option<Vec<String>>,
    pub(super) violation: Option<String>,
}

/// The truth, for all who take part in it.
pub(super) type Shared = Arc<Mutex<Truth>>;

impl Truth {
    pub(super) fn new(keep_trace: bool) -> Self {
        Self {
            origin: Instant::now(),
            lamp: LampPattern::Dark,
            lamp_dead: false,
            panel_lost: false,
            record_down: false,
            mute_down: false,
            edges_heard: [Duration::ZERO; 2],
            presses: Vec::new(),
            captures: Vec::new(),
            plans: Vec::new(),
            link_up: true,
            guard_since: None,
            status: None,
            policy: 0,
            digest: 0xcbf2_9ce4_8422_2325,
            lines: keep_trace.then(Vec::new),
            violation: None,
        }
    }

    /// Simulated time since the schedule began.
    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Adds a line to the trace, with the time.
    pub(super) fn note(&mut self, what: Arguments<'_>) {
        let line = format!("{:>9.3} {what}", self.now().as_secs_f64());
        for byte in line.bytes() {
            // FNV-1a: the digest tells traces apart, and protects nothing.
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// Something is not as it has to be. The first such thing counts; what follows may follow from it.
    pub(super) fn violated(&mut self, what: Arguments<'_>) {
        self.note(format_args!("VIOLATION {what}"));
        if self.violation.is_none() {
            self.violation = Some(format!("at {:.3} s: {what}", self.now().as_secs_f64()));
        }
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }

    /// Whether any process may have camera or microphone open.
    pub(super) fn may_capture(&self) -> bool {
        self.captures.iter().any(Capture::may_capture)
    }

    pub(super) fn may_hear(&self) -> bool {
        self.captures.iter().any(Capture::may_hear)
    }
}

/// How long the guard was kept waiting by its disk, in all.
pub(super) fn guard_waited() -> Duration {
    worker::simulated::waited()
}
