//! The panel as the guard uses it: debounced buttons, a lamp with a rhythm, and reopening after a failure.

use monotonic::Monotonic;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::lamp_driver::LampDriver;
use crate::clock;
use crate::config;
use crate::panel::{self, Button, DebouncedLevel, Debouncer, PanelDriver, PanelError, PanelEvent};
use consent::{Event, Fault, LampPattern};

/// Panel, lamp and buttons.
#[derive(Debug)]
pub(super) struct PanelController {
    config: config::Panel,
    runtime_dir: PathBuf,
    signals: mpsc::UnboundedSender<PanelEvent>,
    panel: Option<Box<dyn PanelDriver>>,
    lamp: LampDriver,
    record: Debouncer,
    mute: Debouncer,
    /// When the last session ended, by the clock of the edges' timestamps.
    session_ended: Option<Duration>,
    /// The last error.
    error_text: Option<String>,
}

impl PanelController {
    /// Not opened yet: [`PanelController::reopen`] does.
    pub(super) fn new(
        config: &config::Panel,
        runtime_dir: &Path,
        signals: mpsc::UnboundedSender<PanelEvent>,
        now: Monotonic,
    ) -> Self {
        Self {
            config: config.clone(),
            runtime_dir: runtime_dir.to_owned(),
            signals,
            panel: None,
            lamp: LampDriver::new(now),
            record: Debouncer::new(config.debounce, true),
            mute: Debouncer::new(config.debounce, true),
            session_ended: None,
            error_text: None,
        }
    }

    /// A session has just ended: nothing is captured any more.
    pub(super) fn note_session_end(&mut self) {
        self.session_ended = Some(clock::edge_now());
    }

    /// Whether the touch that is on began before the last session ended: it was to stop that.
    fn crosses_session_end(&self) -> bool {
        self.session_ended.zip(self.record.touch_began()).is_some_and(|(ended, began)| began <= ended)
    }

    /// Opens the panel, or opens it again.
    pub(super) fn reopen(&mut self, now: Monotonic) -> Result<(), PanelError> {
        self.close();
        let opened = panel::open(&self.config, &self.runtime_dir, self.signals.clone());
        self.panel = Some(self.log_error(opened)?);
        self.poll(now)
    }

    /// Closes the panel. A button that is down when it opens again was not pressed since: only its release counts.
    fn close(&mut self) {
        self.panel = None;
        self.record = Debouncer::new(self.config.debounce, true);
        self.mute = Debouncer::new(self.config.debounce, true);
    }

    pub(super) fn name(&self) -> &'static str {
        self.panel.as_ref().map_or("none", |panel| panel.name())
    }

    pub(super) fn last_error(&self) -> Option<&str> {
        self.error_text.as_deref()
    }

    fn log_error<T>(&mut self, result: Result<T, PanelError>) -> Result<T, PanelError> {
        result.inspect_err(|error| {
            if self.error_text.as_ref() != Some(&error.0) {
                tracing::error!("the panel does not work: {error}");
                self.error_text = Some(error.0.clone());
            }
        })
    }

    fn on_lamp(
        &mut self,
        act: impl FnOnce(&mut LampDriver, &mut dyn PanelDriver) -> Result<(), PanelError>,
    ) -> Result<(), PanelError> {
        let done = match &mut self.panel {
            Some(panel) => act(&mut self.lamp, panel.as_mut()),
            None => Err(PanelError(self.error_text.clone().unwrap_or_default())),
        };
        self.log_error(done)
    }

    /// Shows a pattern from now on.
    pub(super) fn show(&mut self, now: Monotonic, pattern: LampPattern) -> Result<(), PanelError> {
        self.on_lamp(|lamp, panel| lamp.show(panel, now, pattern))
    }

    /// Shows the `identify` pattern.
    pub(super) fn identify(&mut self, now: Monotonic) -> Result<(), PanelError> {
        self.on_lamp(|lamp, panel| lamp.identify(panel, now))
    }

    /// Whether the lamp has to show, while it would be dark, that something is to be looked at.
    pub(super) fn set_notice(&mut self, now: Monotonic, wanted: bool) -> Result<(), PanelError> {
        if self.panel.is_none() || self.lamp.has_notice() == wanted {
            return Ok(());
        }
        self.on_lamp(|lamp, panel| lamp.set_notice(panel, now, wanted))
    }

    /// Whether the case is open, by its switch.
    pub(super) fn is_case_open(&mut self) -> Result<bool, PanelError> {
        let Some(panel) = &mut self.panel else { return Err(PanelError("the panel is not open".to_owned())) };
        let open = panel.is_case_open();
        self.log_error(open)
    }

    /// Drives the lamp if that is due.
    pub(super) fn drive(&mut self, now: Monotonic) -> Result<(), PanelError> {
        if self.panel.is_none() || now < self.lamp.deadline() {
            return Ok(());
        }
        self.on_lamp(|lamp, panel| lamp.drive(panel, now))
    }

    /// The pattern that the lamp shows.
    pub(super) fn pattern(&self) -> LampPattern {
        self.lamp.shown()
    }

    /// Moves a simulated button.
    pub(super) fn simulate(&mut self, button: Button, down: bool) -> Result<(), PanelError> {
        match &mut self.panel {
            Some(panel) => panel.simulate(button, down),
            None => Err(PanelError(self.error_text.clone().unwrap_or_default())),
        }
    }

    /// Processes a raw change. Returns the events of the level before it, if that held long enough.
    pub(super) fn on_event(&mut self, now: Monotonic, signal: PanelEvent) -> Vec<Event> {
        match signal {
            PanelEvent::LevelChanged { button, down, at } => {
                let debouncer = match button {
                    Button::Record => &mut self.record,
                    Button::Mute => &mut self.mute,
                };
                let Some(at) = at else {
                    debouncer.on_level(now, down);
                    return Vec::new();
                };
                let late = debouncer.on_edge(now, down, at);
                late.map_or_else(Vec::new, |settled| self.events(button, settled))
            }
            PanelEvent::ButtonLost(why) => {
                self.close();
                let _ = self.log_error::<()>(Err(PanelError(why)));
                vec![Event::FaultDetected(Fault::Button)]
            }
        }
    }

    /// Polls the buttons' levels, so that a lost edge does no harm.
    pub(super) fn poll(&mut self, now: Monotonic) -> Result<(), PanelError> {
        let Some(panel) = &mut self.panel else { return Ok(()) };
        let levels = panel.is_down(Button::Record).and_then(|record| Ok((record, panel.is_down(Button::Mute)?)));
        let (record, mute) = self.log_error(levels)?;
        let at = clock::edge_now();
        self.record.on_polled_level(now, record, at);
        self.mute.on_polled_level(now, mute, at);
        Ok(())
    }

    /// Returns the events of levels that have held for long enough.
    pub(super) fn poll_debounced(&mut self, now: Monotonic) -> Vec<Event> {
        let settled = [(Button::Record, self.record.poll(now)), (Button::Mute, self.mute.poll(now))];
        let settled = settled.into_iter().filter_map(|(button, settled)| settled.map(|settled| (button, settled)));
        settled.flat_map(|(button, settled)| self.events(button, settled)).collect()
    }

    /// The events of a debounced level.
    fn events(&self, button: Button, settled: DebouncedLevel) -> Vec<Event> {
        let timed = self.panel.as_ref().is_some_and(|panel| panel.has_edge_timestamps());
        match (button, settled) {
            (Button::Record, DebouncedLevel { down: true, held: None }) if timed => vec![Event::ButtonFoundDown],
            (Button::Record, DebouncedLevel { down: true, .. }) if self.crosses_session_end() => {
                vec![Event::ButtonFoundDown]
            }
            (Button::Record, DebouncedLevel { down: true, .. }) => vec![Event::ButtonDown],
            // The kernel's timestamps give the touch's length, also where its beginning was processed late.
            (Button::Record, DebouncedLevel { down: false, held }) => {
                held.map(Event::ButtonHeldFor).into_iter().chain([Event::ButtonUp]).collect()
            }
            (Button::Mute, DebouncedLevel { down: true, .. }) => vec![Event::MuteButtonDown],
            (Button::Mute, DebouncedLevel { down: false, .. }) => Vec::new(),
        }
    }

    /// Tests a part that has a fault.
    pub(super) fn self_test(&mut self, now: Monotonic, fault: Fault) -> bool {
        if self.panel.is_none() && self.reopen(now).is_err() {
            return false;
        }
        let works = match fault {
            Fault::Lamp => self.on_lamp(|lamp, panel| lamp.test(panel, now)).is_ok(),
            // A button that is still down is still stuck.
            Fault::Button => self.panel.as_mut().is_some_and(|panel| panel.is_down(Button::Record) == Ok(false)),
            Fault::Ledger | Fault::Power | Fault::Tamper => true,
        };
        if works {
            self.error_text = None;
        }
        works
    }

    /// When [`PanelController::drive`] or, `with_buttons`, [`PanelController::poll_debounced`] are due.
    pub(super) fn deadline(&self, with_buttons: bool) -> Monotonic {
        if self.panel.is_none() {
            // Nothing is due until the next attempt to open the panel.
            return Monotonic::from_start(core::time::Duration::MAX);
        }
        let buttons = self.record.deadline().into_iter().chain(self.mute.deadline()).min().filter(|_| with_buttons);
        buttons.map_or(self.lamp.deadline(), |at| at.min(self.lamp.deadline()))
    }
}

#[cfg(test)]
mod tests;
