//! A model check: every state that the machine can reach within bounds, breadth first, and the rules in each of them.
//! docs/model-check.md explains it.

use core::mem::{Discriminant, discriminant};
use core::time::Duration;
use std::collections::HashMap;

use model_check::{Counterexample, Report};

use super::ms;
use super::onlooker::{NOW, Watched};
use crate::{
    CaptureExit, CaptureReport, CaptureSettings, Effect, Event, Fault, LampPattern, Parting, PersistedState, Phase,
    Reason, SessionId, SessionLimits,
};

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// This, at once.
    Happens(Event),
    /// The button comes up, and by the kernel's timestamps it was down for so many ms.
    LetGo(u64),
    /// The guard polls when it has to.
    Polls,
    /// The guard does nothing for so many ms.
    Sleeps(u64),
    /// Capture confirms settings of so many revisions ago, with or without sound.
    Applies { ago: u64, obeys: bool },
}

/// A watched machine, and what bounds the search.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    watched: Watched,
    /// The guard slept during the present touch.
    has_slept: bool,
}

impl State {
    /// Takes an action, and then forgets what makes no difference. `None`: it is not possible now, or out of bounds.
    fn take(&mut self, action: Action, told: &mut dyn FnMut(&Effect)) -> Option<Result<(), String>> {
        let taken = self.take_as_is(action, told);
        self.watched.canonical();
        taken
    }

    fn take_as_is(&mut self, action: Action, told: &mut dyn FnMut(&Effect)) -> Option<Result<(), String>> {
        let (now, is_down) = (self.watched.now, self.watched.onlooker.is_down());
        let (at, event) = match action {
            Action::Happens(event) => (now, event),
            Action::LetGo(_) if !is_down => return None,
            Action::LetGo(told) => {
                let held = Event::ButtonHeldFor(Duration::from_millis(told));
                if let Err(broken) = self.watched.take(now, held, |_| ()) {
                    return Some(Err(broken.to_string()));
                }
                (now, Event::ButtonUp)
            }
            // While the button is down, it polls as rarely as it may.
            Action::Polls if is_down => (now + 500, Event::Tick),
            Action::Polls => (now + self.due_in()?, Event::Tick),
            Action::Sleeps(ms) => {
                // One gap in a touch is enough to make its two lengths differ.
                if is_down && std::mem::replace(&mut self.has_slept, true) {
                    return None;
                }
                (now + ms, Event::Tick)
            }
            Action::Applies { ago, obeys } => {
                let CaptureSettings { revision, muted } = self.watched.onlooker.wanted()?;
                let said = CaptureSettings { revision: revision.checked_sub(ago)?, muted: muted == obeys };
                (now, Event::CaptureReported(CaptureReport::Applied(said)))
            }
        };
        let taken = self.watched.take(at, event, told);
        self.has_slept &= self.watched.onlooker.is_down();
        Some(taken.map_err(|broken| broken.to_string()))
    }

    /// In how many ms the guard polls.
    fn due_in(&self) -> Option<u64> {
        let due = self.watched.machine.deadline()?.duration_since(ms(self.watched.now));
        Some(u64::try_from(due.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Each of what may follow. One reason, and one fault of each kind that the machine treats alike, stand for the others.
fn actions(fault: Fault) -> Vec<Action> {
    let events = [
        Event::ButtonDown,
        Event::ButtonFoundDown,
        Event::ButtonUp,
        Event::MuteButtonDown,
        Event::RemoteRequest,
        Event::ProbeRequest,
        Event::UnbindRequest,
        Event::EndService,
        Event::RemoteStop,
        Event::RemoteMute,
        Event::RemoteUnmute,
        Event::PolicyChanged,
        Event::AgreementNeeded,
        Event::AgreementWithdrawn,
        Event::Revoke(Reason::Erase),
        Event::CaptureReported(CaptureReport::Live),
        Event::CaptureReported(CaptureReport::Reconnecting),
        Event::CaptureExited(CaptureExit::Died),
        Event::CaptureExited(CaptureExit::ProbeFinished),
        Event::FaultDetected(Fault::Button),
        Event::FaultDetected(fault),
        Event::FaultCleared(Fault::Button),
        Event::FaultCleared(fault),
    ];
    let events = events.into_iter().map(Action::Happens);
    let let_go = [100, 900, 2500, 4000, 7000, 12_000, 31_000].map(Action::LetGo);
    let sleeps = [600, 3000, 31_000].map(Action::Sleeps);
    let applies = [(0, true), (0, false), (1, true)].map(|(ago, obeys)| Action::Applies { ago, obeys });
    events.chain(let_go).chain([Action::Polls]).chain(sleeps).chain(applies).collect()
}

/// The box as it may come up, each way.
fn starts(minors_mode: bool) -> Vec<State> {
    // Short, and different: a search sees no difference between 4 s and 4 hours, but many states.
    let limits = SessionLimits {
        max_session: Duration::from_millis(1500),
        request_timeout: Duration::from_secs(4),
        reconnect_window: Duration::from_millis(700),
        minors_mode,
    };
    let parted = [None, Some(Parting::Unbound), Some(Parting::ServiceEnded)];
    let memories = [false, true].into_iter().flat_map(|locked| {
        let policies = [false, true].into_iter();
        policies.flat_map(move |policy_pending| {
            parted.map(|parted| PersistedState { last_session: SessionId(0), locked, parted, policy_pending })
        })
    });
    let mut starts: Vec<_> =
        memories.map(|memory| State { watched: Watched::new(NOW, limits, memory), has_slept: false }).collect();
    for start in &mut starts {
        start.watched.canonical();
    }
    starts
}

/// The kinds of effect that came up, and each pattern of the lamp, with their names.
type Met = HashMap<(Discriminant<Effect>, Option<LampPattern>), String>;

/// Follows `actions` from `starts`; `rule` is judged beside those of the onlooker. `Err`: one is broken; how to get
/// there, a line for each step.
fn search(
    starts: &[State],
    actions: &[Action],
    most: usize,
    rule: fn(&State) -> Result<(), String>,
) -> Result<(Report, Met), String> {
    let mut met = Met::new();
    let report = model_check::search(starts, actions, most, |state, action| {
        let taken = state.take(action, &mut |effect| note(&mut met, effect))?;
        Some(taken.and_then(|()| rule(state)))
    });
    report.map(|report| (report, met)).map_err(trace)
}

/// The effect's kind, and the pattern of a lamp.
fn note(met: &mut Met, effect: &Effect) {
    let lamp = if let Effect::SetLamp(lamp) = effect { Some(*lamp) } else { None };
    met.entry((discriminant(effect), lamp)).or_insert_with(|| match lamp {
        Some(lamp) => format!("SetLamp({lamp:?})"),
        None => format!("{effect:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
    });
}

fn trace(found: Counterexample<State, Action>) -> String {
    let mut state = found.start;
    let mut lines = vec![format!("from {:?}", state.watched.machine.phase())];
    for action in found.actions {
        let before = state.watched.now;
        let mut effects = Vec::new();
        let _ = state.take_as_is(action, &mut |effect| effects.push(format!("{effect:?}")));
        let passed = state.watched.now - before;
        let phase = state.watched.machine.phase();
        lines.push(format!("+{passed:>5} ms  {action:?}  ->  {phase:?}  {}", effects.join(", ")));
        state.watched.canonical();
    }
    format!("{}\n{}", lines.join("\n"), found.broken)
}

/// Everything that an effect can be, but [`Effect::SetLamp`], which comes with each pattern that a machine shows.
const KINDS: [&str; 28] = [
    "Configure",
    "DestroyFootage",
    "EndService",
    "Kill",
    "Launch",
    "RecordAgreement",
    "RecordFault",
    "RecordLock",
    "RecordMute",
    "RecordPolicyAcknowledged",
    "RecordRequest",
    "RecordRequestEnded",
    "RecordStart",
    "RecordStop",
    "RecordUnbindRequest",
    "RecordUnlock",
    "SelfTest",
    "SetLamp(Dark)",
    "SetLamp(DoubleBlink)",
    "SetLamp(FastBlink)",
    "SetLamp(LockFlash)",
    "SetLamp(SlowPulse)",
    "SetLamp(Solid)",
    "SetLamp(SolidNotched)",
    "SetLamp(Sos)",
    "SetLamp(TripleBlink)",
    "SetLamp(UnbindRequest)",
    "SetLamp(UnbindWarning)",
];

/// `TALLYBOX_LONG=1 cargo test -p consent --release --lib exhaustive -- --nocapture` looks at all of them.
#[test]
fn every_state_that_can_be_reached_keeps_the_rules() {
    let is_long = std::env::var_os("TALLYBOX_LONG").is_some();
    let most = if is_long { usize::MAX } else { 10_000 };
    for (minors_mode, fault) in [(false, Fault::Ledger), (false, Fault::Lamp), (true, Fault::Ledger)] {
        let report = search(&starts(minors_mode), &actions(fault), most, |_| Ok(()));
        let (report, met) = report.unwrap_or_else(|trace| panic!("{trace}"));
        println!(
            "minors' mode {minors_mode}, fault {fault:?}: {} states, {} transitions, {} steps to the farthest",
            report.states, report.transitions, report.depth
        );
        assert!(report.is_complete || !is_long && report.states >= most);
        let others = if minors_mode { &["SetLamp(ReleaseNow)"][..] } else { &[] };
        let missed: Vec<_> = KINDS.iter().chain(others).filter(|kind| !met.values().any(|met| met == *kind)).collect();
        assert!(!is_long || missed.is_empty(), "never: {missed:?}");
    }
}

#[test]
fn a_broken_rule_is_told_with_the_shortest_way_to_it() {
    let rule = |state: &State| {
        if state.watched.machine.phase() == Phase::Live { Err("it is live".to_owned()) } else { Ok(()) }
    };
    let trace = search(&starts(false), &actions(Fault::Ledger), 100_000, rule).unwrap_err();
    let steps = [
        "from Idle",
        "+    0 ms  Happens(ButtonUp)  ->  Idle  ",
        "+    0 ms  Happens(ButtonDown)  ->  Idle  ",
        "+    0 ms  Happens(ButtonUp)  ->  Connecting  SetLamp(FastBlink), RecordStart { session: SessionId(1), sound: true, purpose: OnAir, guardian: false }, Launch(Grant { session: SessionId(1), sound: true, purpose: OnAir })",
        "+    0 ms  Happens(CaptureReported(Live))  ->  Live  SetLamp(Solid)",
        "it is live",
    ];
    assert_eq!(trace, steps.join("\n"));
}
