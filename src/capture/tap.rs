//! Where encoded frames leave the encode pipeline for the queues.

use std::sync::Arc;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::door::Gate;
use super::queue::{Frame, Queue, Track};

/// Where encoded frames leave: at once, with their times turned into running time, and only while the lease goes on.
pub(super) fn tap(name: &str, track: Track, gate: Arc<Gate>, queues: Vec<Arc<Queue>>) -> gst_app::AppSink {
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
    let tap = gst_app::AppSink::builder().name(name).sync(false).max_buffers(4).build();
    // The clock paces sources, not sinks; and a sink that waits to be started would hold the other back.
    tap.set_property("async", false);
    tap.set_property("enable-last-sample", false);
    tap.set_callbacks(callbacks);
    tap
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
