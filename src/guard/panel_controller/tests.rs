//! A finger, the kernel's timestamps and a guard that is busy again and again: what the machine does fits what the
//! finger did.

use core::time::Duration;
use monotonic::Monotonic;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tokio::sync::mpsc;

use super::PanelController;
use crate::config;
use crate::panel::{Button, PanelDriver, PanelError, PanelEvent};
use crate::sync::LockExt;
use consent::{
    CaptureExit, Effect, Event, Fault, LampPattern, Machine, PersistedState, Phase, SessionId, SessionLimits,
};

const fn ms(millis: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(millis))
}

/// A button whose level the test sets; `None`: its chip is gone.
#[derive(Clone, Debug)]
struct Wire(Arc<Mutex<Option<bool>>>);

impl Wire {
    fn get(&self) -> Option<bool> {
        *self.0.lock_unpoisoned()
    }

    fn set(&self, level: Option<bool>) {
        *self.0.lock_unpoisoned() = level;
    }
}

impl PanelDriver for Wire {
    fn name(&self) -> &'static str {
        "wire"
    }

    fn drive(&mut self, _lamp: LampPattern, _lit: bool) -> Result<(), PanelError> {
        Ok(())
    }

    fn is_down(&mut self, button: Button) -> Result<bool, PanelError> {
        let gone = || PanelError("the chip is gone".to_owned());
        if button == Button::Record { self.get().ok_or_else(gone) } else { Ok(false) }
    }
}

/// Panel and machine, joined as in the guard's loop.
struct PanelAndMachine {
    wire: Wire,
    panel: PanelController,
    machine: Machine,
    /// Edges that the guard has not processed.
    edges: VecDeque<PanelEvent>,
    /// Releases that the machine was fed.
    releases: usize,
    seen: Vec<(usize, Effect)>,
}

impl PanelAndMachine {
    fn new(locked: bool) -> Self {
        let config = config::Panel {
            backend: config::PanelBackend::Auto,
            button_pin: 17,
            lamp_pin: 27,
            lamp_sense_pin: None,
            mute_pin: None,
            case_pin: None,
            active_low: true,
            debounce: Duration::from_millis(30),
        };
        let (signals, _) = mpsc::unbounded_channel();
        let wire = Wire(Arc::new(Mutex::new(Some(false))));
        let mut panel = PanelController::new(&config, std::path::Path::new("/nowhere"), signals, ms(0));
        panel.panel = Some(Box::new(wire.clone()));
        let memory = PersistedState { last_session: SessionId(0), locked, parted: None, policy_pending: false };
        let machine = Machine::restore(SessionLimits::default(), memory);
        let mut pair = Self { wire, panel, machine, edges: VecDeque::new(), releases: 0, seen: Vec::new() };
        assert!(pair.panel.poll(ms(0)).is_ok());
        pair.run(ms(40));
        assert_eq!(std::mem::take(&mut pair.releases), 1);
        pair
    }

    fn moves(&mut self, at: u64, down: bool) {
        self.wire.set(Some(down));
        let at = Some(Duration::from_millis(at));
        self.edges.push_back(PanelEvent::LevelChanged { button: Button::Record, down, at });
    }

    fn feed(&mut self, now: Monotonic, event: Event) {
        if event == Event::ButtonUp {
            self.releases += 1;
        }
        for effect in self.machine.step(now, event) {
            let stops = matches!(effect, Effect::Stop(_));
            self.seen.push((self.releases, effect));
            if stops {
                self.feed(now, Event::CaptureExited(CaptureExit::Stopped));
            }
        }
    }

    /// One turn of the guard's loop: one event, debounced levels, and a tick.
    fn run(&mut self, now: Monotonic) {
        if let Some(signal) = self.edges.pop_front() {
            for event in self.panel.on_event(now, signal) {
                self.feed(now, event);
            }
        }
        for event in self.panel.poll_debounced(now) {
            self.feed(now, event);
        }
        self.feed(now, Event::Tick);
    }

    /// Once a second the guard polls the level.
    fn look(&mut self, now: Monotonic) {
        if self.panel.poll(now).is_err() {
            self.feed(now, Event::FaultDetected(Fault::Button));
        }
    }
}

/// A touch: the pause before it, its length, and how long the guard is busy at its edges, in ms.
fn any_touch() -> impl Strategy<Value = (u64, u64, u64, u64)> {
    let length = prop_oneof![3 => 60_u64..700, 3 => 700_u64..3000, 4 => 3000_u64..12_000, 1 => 12_000_u64..40_000];
    let busy = || prop_oneof![4 => Just(0_u64), 2 => 100_u64..3000, 3 => 3000_u64..15_000];
    (60_u64..3000, length, busy(), busy())
}

fn check(touches: &[(u64, u64, u64, u64)], locked: bool) -> Result<(), TestCaseError> {
    let mut pair = PanelAndMachine::new(locked);
    let (mut now, mut busy_until) = (1000, 0);
    let mut script = VecDeque::new();
    for &(gap, length, at_down, at_up) in touches {
        script.push_back((gap, true, at_down));
        script.push_back((length, false, at_up));
    }
    script.push_back((60_000, false, 0));
    for (span, down, busy) in script {
        for at in (now..now + span).step_by(5) {
            if at < busy_until {
                continue;
            }
            pair.run(ms(at));
            if at % 1000 == 0 {
                pair.look(ms(at));
            }
        }
        now += span;
        if pair.wire.get() != Some(down) {
            pair.moves(now, down);
        }
        busy_until = busy_until.max(now + busy);
    }
    prop_assert_eq!(pair.releases, touches.len());
    let held = |index: usize| touches.get(index).map_or(0, |touch| touch.1);
    for (releases, effect) in &pair.seen {
        // The present touch, and the one that has just ended.
        let (on, ended) = (held(*releases), releases.checked_sub(1).map_or(0, held));
        match effect {
            Effect::RecordStart { sound, .. } => {
                prop_assert!(ended < if *sound { 700 } else { 3000 }, "a start after {ended} ms");
            }
            Effect::RecordUnlock => prop_assert!(on > 1500, "an unlock in a touch of {on} ms"),
            Effect::RecordLock => prop_assert!(on > 4500 || ended >= 5000, "a lock after {on} and {ended} ms"),
            Effect::DestroyFootage => prop_assert!((4500..30_000).contains(&ended), "footage after {ended} ms"),
            Effect::Unbind => prop_assert!((10_000..30_000).contains(&ended), "unbound after {ended} ms"),
            Effect::EndService => prop_assert!(false, "no touch ends the service"),
            Effect::SetLamp(_)
            | Effect::Launch(_)
            | Effect::Stop(_)
            | Effect::Kill
            | Effect::RecordStop { .. }
            | Effect::RecordRequest(_)
            | Effect::RecordUnbindRequest
            | Effect::RecordAgreement
            | Effect::RecordRequestEnded(_)
            | Effect::RecordPolicyAcknowledged
            | Effect::RecordFault(_)
            | Effect::Configure(_)
            | Effect::RecordMute { .. }
            | Effect::SelfTest => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_done_fits_what_the_finger_did(
        touches in prop::collection::vec(any_touch(), 1..6),
        locked in any::<bool>(),
    ) {
        check(&touches, locked)?;
    }
}

#[test]
fn two_holds_that_are_heard_at_once_start_nothing() {
    let mut pair = PanelAndMachine::new(false);
    // Six seconds, a pause, and a bounce of a second touch, all processed once the disk is done.
    for (at, down) in [(1000, true), (7000, false), (7500, true), (13_500, false)] {
        pair.moves(at, down);
    }
    for at in (14_000..15_000).step_by(5) {
        pair.run(ms(at));
    }
    assert!(pair.seen.iter().all(|(_, effect)| !matches!(effect, Effect::Launch(_))), "{:?}", pair.seen);
    assert_eq!(pair.machine.phase(), Phase::Locked);
}

#[test]
fn a_chip_that_goes_away_under_a_finger_ends_the_touch() {
    let mut pair = PanelAndMachine::new(false);
    pair.moves(1000, true);
    for at in (1000..4000).step_by(5) {
        pair.run(ms(at));
    }
    pair.wire.set(None);
    pair.edges.push_back(PanelEvent::ButtonLost("the chip is gone".to_owned()));
    for at in (4000..50_000).step_by(5) {
        pair.run(ms(at));
    }
    let words: Vec<String> = pair.seen.iter().map(|(_, effect)| format!("{effect:?}")).collect();
    assert_eq!(words, ["RecordFault(Button)", "SetLamp(Sos)"]);
    // The chip returns with the button still down, which is released later.
    pair.panel.panel = Some(Box::new(pair.wire.clone()));
    pair.wire.set(Some(true));
    pair.look(ms(50_000));
    pair.run(ms(50_100));
    pair.moves(52_000, false);
    for at in (52_000..53_000).step_by(5) {
        pair.run(ms(at));
    }
    pair.feed(ms(53_000), Event::FaultCleared(Fault::Button));
    assert_eq!(pair.machine.phase(), Phase::Idle);
    let more = &pair.seen[2..];
    assert!(more.iter().all(|(_, effect)| matches!(effect, Effect::SelfTest | Effect::SetLamp(_))), "{more:?}");
}
