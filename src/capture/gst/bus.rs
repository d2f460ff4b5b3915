//! Errors that a pipeline posts on its bus.

use gst::prelude::*;
use gstreamer as gst;

/// The error that a pipeline posted on its bus: who posted it, and what.
#[derive(Clone, Debug)]
pub(crate) struct BusError {
    pub(crate) element: String,
    pub(crate) error: gst::glib::Error,
    pub(crate) debug: String,
}

/// The first error on the bus, if there is one; other messages are handed to `other`.
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
