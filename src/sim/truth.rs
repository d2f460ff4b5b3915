//! What is: buttons, lamp and captures as they are, in simulated time, and the trace of all that happened.

use std::fmt::Arguments;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::ipc::{LampPattern, Status};
use crate::worker;

use super::checks::{DEBOUNCE, SLACK};
use super::releases::UpdateTruth;
use super::schedule::CapturePlan;

/// A touch of the record button.
#[derive(Clone, Copy, Debug)]
pub(super) struct Press {
    pub(super) down: Duration,
    /// Since when it may count as held: a button that is up for less than it takes to settle was not let go.
    pub(super) since: Duration,
    pub(super) up: Option<Duration>,
    /// It has started a session, or cannot start one any more.
    pub(super) spent: bool,
    /// The panel was away since then: nothing is known of the finger.
    pub(super) interrupted: Option<Duration>,
    /// Its edges are heard late: it may count as longer than it was, which locks, and does no more.
    pub(super) late: bool,
    /// What it has done while it was down, or when it was let go: a bit for each [`Hold`].
    acted: u8,
}

/// What a hold does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hold {
    /// Acknowledges, unlocks, confirms or agrees: from 2 s on.
    Agree,
    /// Locks: from 5 s on.
    Lock,
    /// Unbinds: let go between 10 s and 30 s.
    Unbind,
}

impl Press {
    /// One that begins now, after `before`; `late`: its edges are heard late.
    pub(super) fn begun(down: Duration, late: bool, before: Option<&Self>) -> Self {
        let gap = |before: &Self| before.up.map(|up| down.saturating_sub(up));
        let joined = before.filter(|before| gap(before).is_some_and(|gap| gap < UNSETTLED));
        let since = joined.map_or(down, |before| before.since);
        // What may have been seen up, however short it was, may count by itself.
        let is_one = |it: &Self| !late && gap(it).is_some_and(|gap| gap < DEBOUNCE);
        let interrupted = joined.filter(|it| is_one(it)).and_then(|it| it.interrupted);
        Self { down, since, up: None, spent: false, interrupted, late, acted: 0 }
    }
}

/// A button that is up for less than this may not have been seen up.
const UNSETTLED: Duration = Duration::from_millis(100);

/// Levels and edges may be heard of so much later than they change.
const LATE: Duration = Duration::from_millis(2_600);

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
    /// When it was told to start, and when its process was gone.
    pub(super) told: Option<Duration>,
    pub(super) gone: Option<Duration>,
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
    /// Counts what may change whether there is sound.
    pub(super) sound_asked: u64,
    /// A guard runs since then.
    pub(super) guard_since: Option<Duration>,
    /// The last status that the guard told.
    pub(super) status: Option<Box<Status>>,
    pub(super) policy: u8,
    /// The policy that staff acknowledged last, as the ledger has it.
    pub(super) acknowledged: Option<String>,
    /// Checkpoints that were told and not checked yet.
    pub(super) checkpoints: Vec<String>,
    /// A guardian's hold has to follow a press.
    pub(super) minors: bool,
    /// Captures keep what they could not send.
    pub(super) keeps_footage: bool,
    /// Releases, and what became of them.
    pub(super) updates: UpdateTruth,
    /// When the trace had its last line.
    last_line: Duration,
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
            sound_asked: 0,
            guard_since: None,
            status: None,
            policy: 0,
            acknowledged: None,
            checkpoints: Vec::new(),
            minors: false,
            keeps_footage: false,
            updates: UpdateTruth::default(),
            last_line: Duration::ZERO,
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
        self.last_line = self.now();
        let line = format!("{:>9.3} {what}", self.last_line.as_secs_f64());
        for byte in line.bytes() {
            // FNV-1a: the digest tells traces apart, and protects nothing.
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// Whether a trace is kept.
    pub(super) fn keeps_lines(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds a line to the trace that is kept, and nothing to what tells traces apart.
    pub(super) fn remark(&mut self, what: Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            lines.push(what.to_string());
        }
    }

    /// Something is not as it has to be. The first such thing counts; what follows may follow from it.
    pub(super) fn violated(&mut self, what: Arguments<'_>) {
        self.note(format_args!("VIOLATION {what}"));
        if self.violation.is_none() {
            self.violation = Some(format!("at {:.3} s: {what}", self.now().as_secs_f64()));
        }
    }

    /// A moment, as time since the schedule began.
    pub(super) fn since(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.origin)
    }

    /// For how long nothing was worth a line.
    pub(super) fn quiet(&self) -> Duration {
        self.now().saturating_sub(self.last_line)
    }

    /// Uses up a hold that may have done this; `false`: there was none.
    pub(super) fn use_hold(&mut self, hold: Hold) -> bool {
        let now = self.now();
        let (least, most) = match hold {
            Hold::Agree => (Duration::from_secs(2), Duration::MAX),
            Hold::Lock => (Duration::from_secs(5), Duration::MAX),
            Hold::Unbind => (Duration::from_secs(10), Duration::from_secs(30)),
        };
        let bit = 1 << hold as u8;
        let may_have = |press: &&mut Press| {
            let up = press.up.unwrap_or(now);
            let is_long = match press.interrupted {
                // What had its effect before may stand in the ledger only now.
                Some(at) => at.saturating_sub(press.since) + SLACK >= least,
                None => up.saturating_sub(press.since) + LATE >= least,
            };
            let is_long = is_long && up.saturating_sub(press.down) < most.saturating_add(LATE);
            let is_whole = !matches!(hold, Hold::Unbind) || press.interrupted.is_none() && press.up.is_some();
            (is_long || press.late && press.interrupted.is_none() && matches!(hold, Hold::Lock))
                && is_whole
                && press.acted & bit == 0
        };
        let press = self.presses.iter_mut().rev().find(may_have);
        press.map(|press| press.acted |= bit).is_some()
    }

    /// A capture's process is gone.
    pub(super) fn bury(&mut self, number: usize) {
        let now = self.now();
        let capture = &mut self.captures[number];
        (capture.alive, capture.gone) = (false, capture.gone.or(Some(now)));
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
