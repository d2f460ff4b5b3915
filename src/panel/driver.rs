//! What a panel's backends have in common.

use std::time::Duration;

use consent::LampPattern;

/// A button of the panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Button {
    /// Starts and stops.
    Record,
    /// Toggles the sound.
    Mute,
}

/// A change on the panel, not debounced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PanelEvent {
    /// A button's raw level changed.
    LevelChanged {
        /// The button that changed.
        button: Button,
        /// Whether it is down now.
        down: bool,
        /// The kernel's timestamp, where there is one. Only differences between two of one button mean anything.
        at: Option<Duration>,
    },
    /// A button cannot be read any more.
    ButtonLost(String),
}

/// Why a panel does not work, with advice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PanelError(pub String);

/// A panel's lamp, and its buttons' levels. The buttons' changes come through the channel given to [`super::open`].
pub trait PanelDriver: Send + std::fmt::Debug {
    /// The backend's name in the configuration.
    fn name(&self) -> &'static str;

    /// Drives the lamp, and reads it back where there is a sense pin. Called at each change of the pattern and of
    /// `lit`; repeating a call does no harm.
    fn drive(&mut self, lamp: LampPattern, lit: bool) -> Result<(), PanelError>;

    /// Whether the button is down now, raw.
    fn is_down(&mut self, button: Button) -> Result<bool, PanelError>;

    /// Whether the case is open, by its switch. A wire that was cut reads as open; without a switch it is closed.
    fn is_case_open(&mut self) -> Result<bool, PanelError> {
        Ok(false)
    }

    /// Whether edges have the kernel's timestamps. Where they do, the beginning of a touch without one was missed.
    fn has_edge_timestamps(&self) -> bool {
        true
    }

    /// Moves a simulated button; only the backend "sim" can.
    fn simulate(&mut self, _button: Button, _down: bool) -> Result<(), PanelError> {
        Err(PanelError(format!("the panel backend is \"{}\": its buttons are pressed by hand", self.name())))
    }
}

/// Attempts to read back a lamp that was just driven before it counts as failed; a transistor needs microseconds.
const READ_BACK_ATTEMPTS: u32 = 50;

/// Reads the lamp back until it shows `lit`.
pub(super) fn read_back(lit: bool, mut read: impl FnMut() -> Result<bool, PanelError>) -> Result<(), PanelError> {
    for _ in 0..READ_BACK_ATTEMPTS {
        if read()? == lit {
            return Ok(());
        }
        std::thread::yield_now();
    }
    let (told, found) = if lit { ("on", "off") } else { ("off", "on") };
    Err(PanelError(format!("the lamp was switched {told} and its sense pin says {found}: see the lamp and its wires")))
}
