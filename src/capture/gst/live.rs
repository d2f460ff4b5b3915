//! Where buffers leave and enter a pipeline that is live: an `appsink` and an `appsrc` that hold nothing up.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

/// Has a sink take what comes at once, and keep nothing of it.
pub(crate) fn configure_live_sink(sink: &impl IsA<gst::Element>) {
    // The clock paces sources, not sinks; a sink that waits to be started would hold the other back; and the picture
    // before this one is nobody's any more: its memory is the next one's.
    for flag in ["sync", "async", "enable-last-sample"] {
        sink.set_property(flag, false);
    }
}

/// What stands between the queue and a pipeline.
pub(crate) fn live_appsrc(name: &str) -> gst_app::AppSrc {
    let source = gst_app::AppSrc::builder().name(name).format(gst::Format::Time).build();
    // What may wait for a server that does not read; the queue behind it is bounded by itself.
    source.set_max_bytes(256 * 1024);
    source.set_block(false);
    // Muxers wait for what is late only where their sources are live.
    source.set_is_live(true);
    source
}
