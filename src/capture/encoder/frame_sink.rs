//! Where encoded frames leave the encode pipeline for the queues.

use std::sync::Arc;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::guard_link::Gate;
use crate::capture::queue::{Frame, Queue, Track};

/// Where encoded frames leave: at once, with their times turned into running time, and only while the lease goes on.
pub(crate) fn tap(name: &str, track: Track, gate: Arc<Gate>, queues: Vec<Arc<Queue>>) -> gst_app::AppSink {
    let take = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if gate.is_open()
            && let Some(frame) = frame(track, &sample)
        {
            // None of them waits for anything.
            for queue in &queues {
                queue.put(frame.clone());
            }
        }
        Ok(gst::FlowSuccess::Ok)
    };
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(take).build();
    let tap = gst_app::AppSink::builder().name(name).max_buffers(4).build();
    at_once(&tap);
    tap.set_callbacks(callbacks);
    tap
}

/// Has a sink take what comes at once, and keep nothing of it.
pub(crate) fn at_once(sink: &impl IsA<gst::Element>) {
    // The clock paces sources, not sinks; a sink that waits to be started would hold the other back; and the picture
    // before this one is nobody's any more: its memory is the next one's.
    for flag in ["sync", "async", "enable-last-sample"] {
        sink.set_property(flag, false);
    }
}

fn frame(track: Track, sample: &gst::Sample) -> Option<Frame> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let mut buffer = sample.buffer_owned()?;
    let pts = segment.to_running_time(buffer.pts()?)?;
    let dts = buffer.dts().and_then(|dts| segment.to_running_time(dts)).unwrap_or(pts);
    let edit = buffer.make_mut();
    edit.set_pts(pts);
    edit.set_dts(dts);
    Some(Frame { track, buffer, caps: sample.caps_owned() })
}
