//! The role that owns button, lamp, consent, ledger and policy. It uses no network but Unix sockets, and neither camera
//! nor microphone.

mod capture_process;
mod control_server;
mod engine;
mod erasure;
mod event_loop;
mod footage;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(crate) mod identity;
mod incidents;
mod instance;
mod lamp_driver;
mod panel_controller;
mod pending_replies;
mod periodic_tasks;
mod persistence_check;
mod program_check;
pub(crate) mod receipt;
mod session;
mod status;
mod supply_voltage;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::Config;
use crate::exit::Exit;
use crate::runtime;
use consent::LampPattern;

pub use capture_process::LaunchMode;
#[cfg(feature = "sim")]
pub use capture_process::{SimulatedLauncher, SimulatedProcess};
pub use event_loop::GuardOptions;
#[cfg(feature = "sim")]
pub(crate) use event_loop::simulate;

/// Runs until SIGTERM or SIGINT.
pub fn run(config: Config, options: GuardOptions) -> Result<(), Exit> {
    runtime::block_on(event_loop::run(Arc::new(config), options))
}

/// Whether a guard runs on this configuration.
pub(crate) fn is_running(config: &Config) -> bool {
    instance::is_running(config)
}

/// Switches the lamp off after a guard that died: a GPIO line can keep its level when its process is gone.
pub fn switch_off_lamp(config: &Config) -> Result<(), Exit> {
    // A guard that is alive, or starts meanwhile, has the lamp to itself.
    let _lock = instance::lock_existing(config)?;
    let (events, _) = mpsc::unbounded_channel();
    let open = || crate::panel::open(&config.panel, &config.device.runtime_dir, events);
    let pid_file = capture_process::PidFile::new(&config.device.runtime_dir);
    let orphan = instance::find_orphan(&pid_file)?;
    let units = capture_process::CaptureUnits::of_this_guard();
    let is_left = orphan.is_some() || units.as_ref().is_some_and(|units| !units.is_empty().unwrap_or(false));
    let mut panel = open();
    if is_left {
        // Some chips drop the line's level with its process: the lamp is lit again until nothing captures.
        panel = panel.and_then(|mut panel| panel.drive(LampPattern::FastBlink, true).map(|()| panel));
        if let Some(capture) = orphan {
            instance::terminate_orphan(&pid_file, &capture)?;
        }
        if let Some(units) = &units {
            instance::empty(units)?;
        }
    }
    panel
        .and_then(|mut panel| panel.drive(LampPattern::Dark, false))
        .map_err(|error| Exit::unavailable(error.to_string()))
}
