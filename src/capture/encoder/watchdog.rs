//! Whether the encoder works: compares what goes in with what comes out. Pure: time is given.
//!
//! Hardware encoders in the field hang (nothing comes out), stop sending keyframes, or produce frames that all have one
//! size and hold no picture. Each of these keeps a connection alive that nobody can watch.

use std::fmt;
use std::time::Duration;

use monotonic::Monotonic;

/// Time beyond this between two checks was not the encoder's: this process itself did not run.
const MAX_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// An encoder without input for this long is idle.
const INPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// This many keyframe intervals without a keyframe are too many; one late keyframe is not.
const MAX_MISSED_INTERVALS: u32 = 3;
/// Fewer frames of one size prove nothing, however short the keyframe interval.
const MIN_EQUAL_FRAMES: u32 = 30;

/// How an encoder fails without reporting an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EncoderStall {
    /// Pictures go in, and no frame comes out.
    Silent,
    /// Frames come out, and no keyframe among them.
    NoKeyframe,
    /// Keyframes and others all have one size, which no encoder of real pictures does.
    ConstantSize,
}

impl fmt::Display for EncoderStall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "pictures go in and no frame comes out",
            Self::NoKeyframe => "no keyframe comes out any more",
            Self::ConstantSize => "every frame has the same size, keyframe or not",
        })
    }
}

/// Watches one encoder.
#[derive(Debug)]
pub(super) struct EncoderWatchdog {
    stall_timeout: Duration,
    /// Frames from one keyframe to the next.
    keyframe_interval: u32,
    last_check: Option<Monotonic>,
    /// A picture is being pushed: the encoder has no room.
    is_blocked: bool,
    last_input: Option<Monotonic>,
    /// For how long pictures have gone in without a frame coming out.
    silence: Duration,
    frames_since_keyframe: u32,
    equal_frames: EqualFrames,
}

/// The latest frames, as far as they have one size.
#[derive(Clone, Copy, Debug, Default)]
struct EqualFrames {
    size: usize,
    count: u32,
    has_keyframe: bool,
    has_delta_frame: bool,
}

impl EncoderWatchdog {
    pub(super) fn new(stall_timeout: Duration, keyframe_interval: u32) -> Self {
        Self {
            stall_timeout,
            keyframe_interval: keyframe_interval.max(1),
            last_check: None,
            is_blocked: false,
            last_input: None,
            silence: Duration::ZERO,
            frames_since_keyframe: 0,
            equal_frames: EqualFrames::default(),
        }
    }

    /// A picture is about to be pushed.
    pub(super) fn input_started(&mut self, now: Monotonic) {
        self.last_input = Some(now);
        self.is_blocked = true;
    }

    /// The picture was accepted.
    pub(super) fn input_done(&mut self, now: Monotonic) {
        self.last_input = Some(now);
        self.is_blocked = false;
    }

    /// The encoder produced a frame of `size` bytes.
    pub(super) fn output(&mut self, size: usize, is_keyframe: bool) {
        if size != self.equal_frames.size {
            self.equal_frames = EqualFrames { size, ..EqualFrames::default() };
        }
        let frames = &mut self.equal_frames;
        frames.count = frames.count.saturating_add(1);
        frames.has_keyframe |= is_keyframe;
        frames.has_delta_frame |= !is_keyframe;
    }

    /// A frame passed the parser, so that it is a frame in form.
    pub(super) fn parsed(&mut self, is_keyframe: bool) {
        self.silence = Duration::ZERO;
        self.frames_since_keyframe = if is_keyframe { 0 } else { self.frames_since_keyframe.saturating_add(1) };
    }

    /// Checks the encoder; to be called a few times a second at least.
    pub(super) fn check(&mut self, now: Monotonic) -> Option<EncoderStall> {
        let elapsed = self.last_check.map_or(Duration::ZERO, |last| now.duration_since(last)).min(MAX_CHECK_INTERVAL);
        self.last_check = Some(now);
        if self.is_blocked || self.last_input.is_some_and(|last| now.duration_since(last) < INPUT_TIMEOUT) {
            self.silence += elapsed;
        }
        if self.silence >= self.stall_timeout {
            return Some(EncoderStall::Silent);
        }
        if self.frames_since_keyframe > MAX_MISSED_INTERVALS.saturating_mul(self.keyframe_interval) {
            return Some(EncoderStall::NoKeyframe);
        }
        // A still picture gives delta frames of one size too, but a keyframe is larger than they are.
        let EqualFrames { count, has_keyframe, has_delta_frame, .. } = self.equal_frames;
        let is_long = count > self.keyframe_interval && count > MIN_EQUAL_FRAMES;
        (is_long && has_keyframe && has_delta_frame).then_some(EncoderStall::ConstantSize)
    }
}

#[cfg(test)]
mod tests;
