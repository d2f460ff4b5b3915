//! Errors on a pipeline's bus.

use gst::prelude::*;
use gstreamer as gst;

/// An error that an element posted.
#[derive(Clone, Debug)]
pub(crate) struct BusError {
    /// The element's name.
    pub(crate) element: String,
    pub(crate) error: gst::glib::Error,
    pub(crate) debug: String,
}

/// Takes messages from the bus up to the first error, and returns that. `other` gets the messages before it.
pub(crate) fn pop_error(bus: &gst::Bus, mut other: impl FnMut(&gst::Message)) -> Option<BusError> {
    while let Some(message) = bus.pop() {
        if let gst::MessageView::Error(error) = message.view() {
            let element = message.src().map(|src| src.name().to_string()).unwrap_or_default();
            let debug = error.debug().map(|text| text.to_string()).unwrap_or_default();
            return Some(BusError { element, error: error.error(), debug });
        }
        other(&message);
    }
    None
}
