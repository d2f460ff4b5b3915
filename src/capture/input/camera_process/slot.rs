//! The one place that a session has for a process of its camera.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// At most one process of a session's camera exists. Clones are of the same session.
#[derive(Clone, Debug, Default)]
pub(in crate::capture::input) struct ProcessSlot(Arc<AtomicBool>);

/// The right to have that process. Dropped once it was reaped.
#[derive(Debug)]
pub(super) struct Occupied(ProcessSlot);

impl ProcessSlot {
    /// `None`: there is one.
    pub(super) fn occupy(&self) -> Option<Occupied> {
        (!self.0.swap(true, Ordering::SeqCst)).then(|| Occupied(self.clone()))
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_place_until_it_is_given_back() {
        let slot = ProcessSlot::default();
        let occupied = slot.clone().occupy().unwrap();
        assert!(slot.occupy().is_none());
        drop(occupied);
        assert!(slot.occupy().is_some() && slot.occupy().is_some());
    }
}
