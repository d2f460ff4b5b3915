//! Buttons and lamp: one interface, three backends.

mod cdev;
mod debounce;
mod driver;
mod rppal;
mod sim;
#[cfg(feature = "sim")]
pub mod simulated;

use std::path::Path;

use tokio::sync::mpsc;

use crate::config;

pub use debounce::{DebouncedLevel, Debouncer};
pub use driver::{Button, PanelDriver, PanelError, PanelEvent};

/// The backend that `auto` means on this machine.
fn detected() -> config::PanelBackend {
    if rppal::is_pi() { config::PanelBackend::Rppal } else { config::PanelBackend::Cdev }
}

/// Opens the configured panel; raw changes go to `signals` from then on, from a thread of the panel's own.
pub fn open(
    config: &config::Panel,
    runtime_dir: &Path,
    signals: mpsc::UnboundedSender<PanelEvent>,
) -> Result<Box<dyn PanelDriver>, PanelError> {
    #[cfg(feature = "sim")]
    if let Some(opened) = simulated::open(&signals) {
        return opened;
    }
    Ok(match config.backend {
        config::PanelBackend::Sim => Box::new(sim::SimPanel::new(config, runtime_dir, signals)),
        config::PanelBackend::Rppal => Box::new(rppal::RppalPanel::open(config, &signals)?),
        config::PanelBackend::Cdev => Box::new(cdev::CdevPanel::open(config, &signals)?),
        // Never the simulated panel: a box without a real button must report that.
        config::PanelBackend::Auto => {
            return open(&config::Panel { backend: detected(), ..config.clone() }, runtime_dir, signals);
        }
    })
}
