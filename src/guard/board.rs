//! The panel as the guard uses it: debounced buttons, a lamp that keeps its rhythm, and a second try when it is lost.

use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::lamp::LampDriver;
use crate::config;
use crate::consent::{Event, Fault, Lamp, Time};
use crate::panel::{self, Button, Debouncer, Panel, PanelError, Signal};

/// Panel, lamp and buttons.
#[derive(Debug)]
pub(super) struct Board {
    config: config::Panel,
    runtime_dir: PathBuf,
    signals: mpsc::UnboundedSender<Signal>,
    panel: Option<Box<dyn Panel>>,
    lamp: LampDriver,
    record: Debouncer,
    mute: Debouncer,
    /// What was last wrong.
    trouble: Option<String>,
}

impl Board {
    /// Not opened yet: [`Board::reopen`] does.
    pub(super) fn new(
        config: &config::Panel,
        runtime_dir: &Path,
        signals: mpsc::UnboundedSender<Signal>,
        now: Time,
    ) -> Self {
        Self {
            config: config.clone(),
            runtime_dir: runtime_dir.to_owned(),
            signals,
            panel: None,
            lamp: LampDriver::new(now),
            // A button that is held when the guard comes up was not pressed for it: only its release counts.
            record: Debouncer::new(config.debounce, true),
            mute: Debouncer::new(config.debounce, false),
            trouble: None,
        }
    }

    /// Opens the panel anew.
    pub(super) fn reopen(&mut self, now: Time) -> Result<(), PanelError> {
        self.panel = None;
        let opened = panel::open(&self.config, &self.runtime_dir, self.signals.clone());
        self.panel = Some(self.noted(opened)?);
        self.poll(now)
    }

    pub(super) fn name(&self) -> &'static str {
        self.panel.as_ref().map_or("none", |panel| panel.name())
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn noted<T>(&mut self, result: Result<T, PanelError>) -> Result<T, PanelError> {
        result.inspect_err(|error| {
            if self.trouble.as_ref() != Some(&error.0) {
                tracing::error!("the panel does not work: {error}");
                self.trouble = Some(error.0.clone());
            }
        })
    }

    fn on_lamp(
        &mut self,
        act: impl FnOnce(&mut LampDriver, &mut dyn Panel) -> Result<(), PanelError>,
    ) -> Result<(), PanelError> {
        let done = match &mut self.panel {
            Some(panel) => act(&mut self.lamp, panel.as_mut()),
            None => Err(PanelError(self.trouble.clone().unwrap_or_default())),
        };
        self.noted(done)
    }

    /// Shows a pattern from now on.
    pub(super) fn show(&mut self, now: Time, pattern: Lamp) -> Result<(), PanelError> {
        self.on_lamp(|lamp, panel| lamp.show(panel, now, pattern))
    }

    /// Shows which box this is.
    pub(super) fn identify(&mut self, now: Time) -> Result<(), PanelError> {
        self.on_lamp(|lamp, panel| lamp.identify(panel, now))
    }

    /// Drives the lamp if that is due.
    pub(super) fn drive(&mut self, now: Time) -> Result<(), PanelError> {
        if self.panel.is_none() || now < self.lamp.deadline() {
            return Ok(());
        }
        self.on_lamp(|lamp, panel| lamp.drive(panel, now))
    }

    /// What the lamp shows.
    pub(super) fn shown(&self, now: Time) -> Lamp {
        self.lamp.shown(now)
    }

    /// Moves a simulated button.
    pub(super) fn simulate(&mut self, button: Button, down: bool) -> Result<(), PanelError> {
        match &mut self.panel {
            Some(panel) => panel.simulate(button, down),
            None => Err(PanelError(self.trouble.clone().unwrap_or_default())),
        }
    }

    /// Takes in a raw change.
    pub(super) fn signal(&mut self, now: Time, signal: Signal) -> Option<Event> {
        match signal {
            Signal::Level { button, down, at } => {
                let debouncer = match button {
                    Button::Record => &mut self.record,
                    Button::Mute => &mut self.mute,
                };
                let Some(at) = at else {
                    debouncer.level(now, down);
                    return None;
                };
                debouncer.edge(now, down, at).and_then(|down| event(button, down))
            }
            Signal::ButtonLost(why) => {
                self.panel = None;
                let _ = self.noted::<()>(Err(PanelError(why)));
                Some(Event::Broken(Fault::Button))
            }
        }
    }

    /// Reads the levels anew, so that an edge that was lost is made good.
    pub(super) fn poll(&mut self, now: Time) -> Result<(), PanelError> {
        let Some(panel) = &mut self.panel else { return Ok(()) };
        let levels = panel.is_down(Button::Record).and_then(|record| Ok((record, panel.is_down(Button::Mute)?)));
        let (record, mute) = self.noted(levels)?;
        self.record.level(now, record);
        self.mute.level(now, mute);
        Ok(())
    }

    /// What the buttons say now that they have settled.
    pub(super) fn settle(&mut self, now: Time) -> Vec<Event> {
        let record = self.record.settle(now);
        // A press is as long as the kernel says, also where the guard heard of its beginning late.
        let held = if record == Some(false) { self.record.held().map(Event::ButtonHeld) } else { None };
        let record = record.and_then(|down| event(Button::Record, down));
        let mute = self.mute.settle(now).and_then(|down| event(Button::Mute, down));
        held.into_iter().chain(record).chain(mute).collect()
    }

    /// Tries a part that was broken.
    pub(super) fn works(&mut self, now: Time, fault: Fault) -> bool {
        if self.panel.is_none() && self.reopen(now).is_err() {
            return false;
        }
        let works = match fault {
            Fault::Lamp => self.on_lamp(|lamp, panel| lamp.prove(panel, now)).is_ok(),
            // A button that is still held is still stuck.
            Fault::Button => self.panel.as_mut().is_some_and(|panel| panel.is_down(Button::Record) == Ok(false)),
            Fault::Ledger => true,
        };
        if works {
            self.trouble = None;
        }
        works
    }

    /// When [`Board::settle`] or [`Board::drive`] are due.
    pub(super) fn deadline(&self) -> Time {
        if self.panel.is_none() {
            // Nothing is due until the panel is tried again.
            return Time::at(core::time::Duration::MAX);
        }
        let buttons = self.record.deadline().into_iter().chain(self.mute.deadline()).min();
        buttons.map_or(self.lamp.deadline(), |at| at.min(self.lamp.deadline()))
    }
}

/// What a button's settled level means.
fn event(button: Button, down: bool) -> Option<Event> {
    match (button, down) {
        (Button::Record, true) => Some(Event::ButtonDown),
        (Button::Record, false) => Some(Event::ButtonUp),
        (Button::Mute, true) => Some(Event::MuteDown),
        (Button::Mute, false) => None,
    }
}
