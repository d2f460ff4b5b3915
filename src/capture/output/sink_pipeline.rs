//! The pipeline of a connection that GStreamer makes: it ends in the element that sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::error::CaptureError;
use crate::capture::gst::{configure_live_sink, pop_error};
use crate::capture::output::credentials::Redactor;
use crate::capture::output::error::ConnectionError;
use crate::capture::output::target::IngestTarget;

/// Buffers that reach a sink before the first frame: metadata and codec configurations.
const HEADER_BUFFERS: u64 = 3;

/// The pipeline of a connection that GStreamer makes.
#[derive(Debug)]
pub(super) struct SinkPipeline {
    pub(super) pipeline: gst::Pipeline,
    bus: gst::Bus,
    pub(super) sink: gst::Element,
    /// Buffers that reached the sink, which blocks until the server has accepted the stream.
    buffers_sent: Arc<AtomicU64>,
    redactor: Redactor,
}

impl Drop for SinkPipeline {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl SinkPipeline {
    /// A pipeline that ends in `sink`. It is not started yet.
    pub(super) fn new(target: &IngestTarget, sink: gst::Element) -> Result<Self, CaptureError> {
        let pipeline = gst::Pipeline::with_name("push");
        let bus = pipeline.bus().ok_or_else(|| CaptureError::internal("a pipeline without a bus"))?;
        configure_live_sink(&sink);
        pipeline.add(&sink)?;
        let buffers_sent = Arc::new(AtomicU64::new(0));
        let counter = buffers_sent.clone();
        if let Some(pad) = sink.static_pad("sink") {
            pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, _| {
                counter.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
        }
        // All connections use capture's clock and base time: the server sees no gap and no step back.
        target.timebase.apply_to(&pipeline);
        Ok(Self { pipeline, bus, sink, buffers_sent, redactor: target.redactor.clone() })
    }

    pub(super) fn start(&self) -> Result<(), ConnectionError> {
        if self.pipeline.set_state(gst::State::Playing).is_err() {
            let unknown =
                || ConnectionError::unreachable(format!("{}: the connection cannot be made", self.redactor.host_port));
            return Err(self.take_error().unwrap_or_else(unknown));
        }
        Ok(())
    }

    /// Pushes `buffer` into one of the sources.
    pub(super) fn push(&self, source: &gst_app::AppSrc, buffer: gst::Buffer) -> Result<(), ConnectionError> {
        let refused = |error| {
            let unknown = || ConnectionError::unreachable(format!("{}: {error}", self.redactor.host_port));
            self.take_error().unwrap_or_else(unknown)
        };
        source.push_buffer(buffer).map(|_| ()).map_err(refused)
    }

    /// Host and port, for messages.
    pub(super) fn host_port(&self) -> &str {
        &self.redactor.host_port
    }

    /// Buffers that reached the sink.
    pub(super) fn buffers_sent(&self) -> u64 {
        self.buffers_sent.load(Ordering::Relaxed)
    }

    /// Whether one of these buffers is a frame.
    pub(super) fn has_sent_frame(&self) -> bool {
        self.buffers_sent() > HEADER_BUFFERS
    }

    pub(super) fn take_error(&self) -> Option<ConnectionError> {
        pop_error(&self.bus, |_| {}).map(|bus_error| ConnectionError::from_bus(&bus_error, &self.redactor))
    }

    /// The sink's current statistics.
    pub(super) fn stats(&self) -> Option<gst::Structure> {
        self.sink.property("stats")
    }

    /// A value of the sink's statistics.
    pub(super) fn stat<T: for<'a> gst::glib::value::FromValue<'a>>(&self, name: &str) -> Option<T> {
        self.stats()?.get(name).ok()
    }
}
