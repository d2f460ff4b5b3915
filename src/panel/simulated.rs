//! The panel of a simulation, in the place of the configured one.

use std::cell::RefCell;

use tokio::sync::mpsc::UnboundedSender;

use super::{PanelDriver, PanelError, PanelEvent};

/// Opens a simulation's panel; raw changes go to the sender from then on.
pub type Opener = Box<dyn Fn(&UnboundedSender<PanelEvent>) -> Result<Box<dyn PanelDriver>, PanelError>>;

thread_local! {
    static OPENER: RefCell<Option<Opener>> = const { RefCell::new(None) };
}

/// The simulated panel counts in this thread until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        OPENER.with_borrow_mut(|opener| *opener = None);
    }
}

/// Whoever opens the panel gets one from `opener`.
pub fn install(opener: Opener) -> Installed {
    OPENER.with_borrow_mut(|known| *known = Some(opener));
    Installed(())
}

/// `None`: this thread has the machine's panel.
pub(super) fn open(signals: &UnboundedSender<PanelEvent>) -> Option<Result<Box<dyn PanelDriver>, PanelError>> {
    OPENER.with_borrow(|opener| opener.as_ref().map(|opener| opener(signals)))
}
