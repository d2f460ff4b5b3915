//! Where encoded frames leave a pipeline for the queues.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::gst::configure_live_sink;
use crate::capture::guard_link::Lease;
use crate::capture::media::{Frame, Track};
use crate::capture::queue::FrameQueue;

/// A sink that pushes each frame into `queues` at once, its time being running time, while `lease` is valid.
pub(crate) fn frame_sink(
    name: &str,
    track: Track,
    lease: Arc<Lease>,
    queues: Vec<Arc<FrameQueue>>,
) -> gst_app::AppSink {
    let new_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if lease.is_valid()
            && let Some(frame) = frame(track, &sample)
        {
            // A push never waits.
            for queue in &queues {
                queue.push(frame.clone());
            }
        }
        Ok(gst::FlowSuccess::Ok)
    };
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(new_sample).build();
    let sink = gst_app::AppSink::builder().name(name).max_buffers(4).build();
    configure_live_sink(&sink);
    sink.set_callbacks(callbacks);
    sink
}

fn frame(track: Track, sample: &gst::Sample) -> Option<Frame> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let mut buffer = sample.buffer_owned()?;
    let pts = segment.to_running_time(buffer.pts()?)?;
    let dts = buffer.dts().and_then(|dts| segment.to_running_time(dts)).unwrap_or(pts);
    let writable = buffer.make_mut();
    writable.set_pts(pts);
    writable.set_dts(dts);
    Some(Frame { track, buffer, caps: sample.caps_owned() })
}
