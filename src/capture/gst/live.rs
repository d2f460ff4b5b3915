//! An `appsink` and an `appsrc` for live pipelines: neither blocks the pipeline, and neither keeps buffers.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use crate::capture::error::CaptureError;

/// `appsrc` drops what exceeds this. It is for a server that does not read; the frame queue ahead of it has a limit of
/// its own.
const MAX_APPSRC_BYTES: u64 = 256 * 1024;

/// Makes a sink take each buffer at once, and keep none.
pub(crate) fn configure_live_sink(sink: &impl IsA<gst::Element>) {
    // `sync`: the sources set the pace. `async`: a sink that waits for its first buffer would hold the others back.
    // `enable-last-sample`: the memory of the last picture is for the next one.
    for property in ["sync", "async", "enable-last-sample"] {
        sink.set_property(property, false);
    }
}

/// Has `sink` take pictures with padded lines. Without this answer GStreamer copies each picture of a camera that pads
/// them.
pub(crate) fn accept_padded_lines(sink: &gst::Element) -> Result<(), CaptureError> {
    let pad = sink.static_pad("sink").ok_or_else(|| CaptureError::internal("an appsink without a pad"))?;
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| match info.query_mut().map(gst::QueryRef::view_mut) {
        Some(gst::QueryViewMut::Allocation(query)) => {
            query.add_allocation_meta::<gst_video::VideoMeta>(None);
            gst::PadProbeReturn::Handled
        }
        _ => gst::PadProbeReturn::Ok,
    });
    Ok(())
}

/// An `appsrc` between a frame queue and a pipeline.
pub(crate) fn live_appsrc(name: &str) -> gst_app::AppSrc {
    let source = gst_app::AppSrc::builder().name(name).format(gst::Format::Time).build();
    source.set_max_bytes(MAX_APPSRC_BYTES);
    source.set_block(false);
    // A muxer waits for late buffers only if its sources are live.
    source.set_is_live(true);
    source
}
