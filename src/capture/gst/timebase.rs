//! One clock and one beginning for all pipelines of a session, so that times mean the same in each of them.

use gst::prelude::*;
use gstreamer as gst;

/// The clock, and its time when the session began.
#[derive(Clone, Debug)]
pub(crate) struct Timebase {
    clock: gst::Clock,
    base: gst::ClockTime,
}

impl Timebase {
    /// Begins now, on the system's monotonic clock: no device's, because a device may go away.
    pub(crate) fn start() -> Self {
        let clock = gst::SystemClock::obtain();
        let base = clock.time();
        Self { clock, base }
    }

    /// One that began `ago`, for tests of what happens late in a session.
    #[cfg(test)]
    pub(crate) fn started_ago(ago: gst::ClockTime) -> Self {
        let now = Self::start();
        Self { base: now.base.saturating_sub(ago), ..now }
    }

    /// Makes `pipeline` keep this time, whenever it starts.
    pub(crate) fn apply_to(&self, pipeline: &gst::Pipeline) {
        self.apply_from(pipeline, gst::ClockTime::ZERO);
    }

    /// The same for one whose own time begins when the session's running time is `late`.
    pub(crate) fn apply_from(&self, pipeline: &gst::Pipeline, late: gst::ClockTime) {
        pipeline.use_clock(Some(&self.clock));
        pipeline.set_start_time(gst::ClockTime::NONE);
        pipeline.set_base_time(self.base + late);
    }

    /// How long the session has been going on.
    pub(crate) fn running_time(&self) -> gst::ClockTime {
        self.clock.time().saturating_sub(self.base)
    }
}
