//! Where encoded frames leave the encode pipeline for the queues.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::gst::configure_live_sink;
use crate::capture::guard_link::Lease;
use crate::capture::media::Frame;
use crate::capture::media::Track;
use crate::capture::queue::FrameQueue;

/// Where encoded frames leave: at once, with their times turned into running time, and only while the lease goes on.
pub(crate) fn tap(name: &str, track: Track, lease: Arc<Lease>, queues: Vec<Arc<FrameQueue>>) -> gst_app::AppSink {
    let take = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if lease.is_valid()
            && let Some(frame) = frame(track, &sample)
        {
            // None of them waits for anything.
            for queue in &queues {
                queue.push(frame.clone());
            }
        }
        Ok(gst::FlowSuccess::Ok)
    };
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(take).build();
    let tap = gst_app::AppSink::builder().name(name).max_buffers(4).build();
    configure_live_sink(&tap);
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
