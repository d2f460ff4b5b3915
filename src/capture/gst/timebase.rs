//! One clock and one base time for all pipelines of a session, so that a running time means the same in each of them.

use gst::prelude::*;
use gstreamer as gst;

/// The clock, and its time at the start of the session.
#[derive(Clone, Debug)]
pub(crate) struct Timebase {
    clock: gst::Clock,
    base: gst::ClockTime,
}

impl Timebase {
    /// Starts now, on the system's monotonic clock. A device's own clock would vanish with the device.
    pub(crate) fn start() -> Self {
        let clock = gst::SystemClock::obtain();
        let base = clock.time();
        Self { clock, base }
    }

    /// That of another process on this machine, from its [`Self::base`].
    pub(crate) fn from_base(base: gst::ClockTime) -> Self {
        Self { clock: gst::SystemClock::obtain(), base }
    }

    /// The clock's time at the start of the session. The clock counts for all processes alike.
    pub(crate) fn base(&self) -> gst::ClockTime {
        self.base
    }

    /// One that started `ago`, for tests of what happens late in a session.
    #[cfg(test)]
    pub(crate) fn started_ago(ago: gst::ClockTime) -> Self {
        let now = Self::start();
        Self { base: now.base.saturating_sub(ago), ..now }
    }

    /// Gives `pipeline` this clock and base time, whenever it starts.
    pub(crate) fn apply_to(&self, pipeline: &gst::Pipeline) {
        self.apply_from(pipeline, gst::ClockTime::ZERO);
    }

    /// The same for a pipeline whose own running time starts at the session's running time `start`.
    pub(crate) fn apply_from(&self, pipeline: &gst::Pipeline, start: gst::ClockTime) {
        pipeline.use_clock(Some(&self.clock));
        pipeline.set_start_time(gst::ClockTime::NONE);
        pipeline.set_base_time(self.base + start);
    }

    /// The time since the session started.
    pub(crate) fn running_time(&self) -> gst::ClockTime {
        self.clock.time().saturating_sub(self.base)
    }
}
