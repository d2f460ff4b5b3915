//! The simulated panel: buttons moved through the guard's socket, a lamp in a file.

use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::driver::{Button, PanelDriver, PanelError, PanelEvent};
use crate::atomic_file::{self, BY_UMASK, Durability};
use crate::config;
use crate::ipc::{SIM_CASE, SIM_LAMP};
use consent::LampPattern;

/// Buttons and lamp without hardware.
#[derive(Debug)]
pub(super) struct SimPanel {
    lamp: PathBuf,
    /// The file that stands for an open case; `None`: the case has no switch.
    case: Option<PathBuf>,
    shown: Option<LampPattern>,
    record: bool,
    mute: bool,
    events: mpsc::UnboundedSender<PanelEvent>,
}

impl SimPanel {
    pub(super) fn new(config: &config::Panel, runtime_dir: &Path, events: mpsc::UnboundedSender<PanelEvent>) -> Self {
        let case = config.case_pin.map(|_| runtime_dir.join(SIM_CASE));
        Self { lamp: runtime_dir.join(SIM_LAMP), case, shown: None, record: false, mute: false, events }
    }

    /// In one step: no reader finds it half written.
    fn write(&self, lamp: LampPattern) -> std::io::Result<()> {
        atomic_file::replace(&self.lamp, lamp.as_str().as_bytes(), BY_UMASK, Durability::Unsynced)
    }
}

impl PanelDriver for SimPanel {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn drive(&mut self, lamp: LampPattern, _lit: bool) -> Result<(), PanelError> {
        if self.shown != Some(lamp) {
            self.shown = None;
            self.write(lamp).map_err(|error| {
                PanelError(format!("the simulated lamp {} cannot be written: {error}", self.lamp.display()))
            })?;
            self.shown = Some(lamp);
        }
        Ok(())
    }

    fn is_down(&mut self, button: Button) -> Result<bool, PanelError> {
        Ok(match button {
            Button::Record => self.record,
            Button::Mute => self.mute,
        })
    }

    fn is_case_open(&mut self) -> Result<bool, PanelError> {
        Ok(self.case.as_ref().is_some_and(|case| case.exists()))
    }

    fn has_edge_timestamps(&self) -> bool {
        false
    }

    fn simulate(&mut self, button: Button, down: bool) -> Result<(), PanelError> {
        match button {
            Button::Record => self.record = down,
            Button::Mute => self.mute = down,
        }
        self.events
            .send(PanelEvent::LevelChanged { button, down, at: None })
            .map_err(|_| PanelError("the guard is ending".to_owned()))
    }
}
