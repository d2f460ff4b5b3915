//! The simulated panel: two buttons, a lamp with a sense pin, and a chip that may go away.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::checks;
use super::truth::Shared;
use crate::ipc::LampPattern;
use crate::panel::{self, Button, PanelDriver, PanelError, PanelEvent};
use crate::sync::LockExt;

/// The driver of the panel of one guard.
#[derive(Debug)]
struct Board(Shared);

fn away() -> PanelError {
    PanelError("the chip is away".to_owned())
}

impl PanelDriver for Board {
    fn name(&self) -> &'static str {
        "board"
    }

    fn drive(&mut self, lamp: LampPattern, lit: bool) -> Result<(), PanelError> {
        let mut truth = self.0.lock_unpoisoned();
        if truth.panel_lost {
            return Err(away());
        }
        if truth.lamp != lamp {
            truth.lamp = lamp;
            truth.note(format_args!("lamp {}", lamp.as_str()));
            checks::consent::on_lamp(&mut truth);
        }
        // A dead lamp is noticed in the moments in which it should be lit.
        if truth.lamp_dead && lit { Err(PanelError("the lamp is dead".to_owned())) } else { Ok(()) }
    }

    fn is_down(&mut self, button: Button) -> Result<bool, PanelError> {
        let truth = self.0.lock_unpoisoned();
        if truth.panel_lost {
            return Err(away());
        }
        Ok(match button {
            Button::Record => truth.record_down,
            Button::Mute => truth.mute_down,
        })
    }
}

/// The wires from the buttons to the guard that runs.
pub(super) type Wires = std::rc::Rc<std::cell::RefCell<Option<UnboundedSender<PanelEvent>>>>;

/// Puts the simulated panel in the place of the machine's.
pub(super) fn install(truth: &Shared, wires: &Wires) -> panel::simulated::Installed {
    let (truth, wires) = (truth.clone(), wires.clone());
    panel::simulated::install(Box::new(move |signals| {
        if truth.lock_unpoisoned().panel_lost {
            return Err(away());
        }
        *wires.borrow_mut() = Some(signals.clone());
        Ok(Box::new(Board(truth.clone())))
    }))
}

/// A button's raw level changes; the guard hears of it `late`r.
#[allow(clippy::disallowed_methods)] // the schedule's end ends it
pub(super) fn move_button(truth: &Shared, wires: &Wires, button: Button, down: bool, late: u32) {
    let at = {
        let mut truth = truth.lock_unpoisoned();
        match button {
            Button::Record => truth.record_down = down,
            Button::Mute => truth.mute_down = down,
        }
        crate::clock::edge_now()
    };
    let Some(wire) = wires.borrow().clone() else { return };
    if truth.lock_unpoisoned().panel_lost {
        return;
    }
    let edge = PanelEvent::LevelChanged { button, down, at: Some(at) };
    let due = {
        let mut truth = truth.lock_unpoisoned();
        let now = truth.now();
        let heard = &mut truth.edges_heard[usize::from(button == Button::Mute)];
        // The kernel hands the edges of a line on in their order.
        let after = if *heard >= now { *heard + Duration::from_millis(1) } else { now };
        *heard = after.max(now + Duration::from_millis(late.into()));
        heard.saturating_sub(now)
    };
    if due.is_zero() {
        let _ = wire.send(edge);
        return;
    }
    tokio::task::spawn_local(async move {
        tokio::time::sleep(due).await;
        let _ = wire.send(edge);
    });
}
