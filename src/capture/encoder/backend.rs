//! The elements that encode H.264: which one to use, how it is configured, and how its bitrate changes while it runs.

use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::{self, make};
use crate::capture::gst::{CLOSE_TIMEOUT, close_within, pop_error};
use crate::capture::media::h264::levels;
use crate::capture::media::raw_video_caps;
use crate::config::{Encoder, Video};
use crate::ipc::FailureKind;

/// A hardware encoder without output for this long hangs: it needs a tenth of a second for a picture.
const HARDWARE_STALL_TIMEOUT: Duration = Duration::from_secs(3);
/// A software encoder is only slow, on a busy machine; none is known to hang. Shorter than the time without progress (8
/// s) after which the publisher gives the connection up.
const SOFTWARE_STALL_TIMEOUT: Duration = Duration::from_secs(6);

/// A profile of H.264.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// The profile that nearly every decoder supports.
    Main,
    /// The profile that every WebRTC implementation decodes.
    ConstrainedBaseline,
}

impl Profile {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::ConstrainedBaseline => "constrained-baseline",
        }
    }
}

/// What an encoder cannot exceed while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LiveLimit {
    /// In kbit/s.
    pub(super) kbps: u32,
    /// The level that says so.
    pub(super) level: &'static str,
}

/// An element that encodes H.264.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum H264Encoder {
    /// The hardware encoder, where the kernel has a device for it (Raspberry Pi 3, 4, Zero 2).
    V4l2,
    X264,
    OpenH264,
}

/// The selected encoder, and the reason for it.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub(super) encoder: H264Encoder,
    pub(super) reason: String,
}

fn failed(message: impl Into<String>) -> CaptureError {
    CaptureError { kind: FailureKind::Encoder, message: message.into() }
}

/// Selects the configured encoder, or the first that works of hardware, x264 and openh264.
pub(super) fn select(video: &Video) -> Result<Selection, CaptureError> {
    let configured = match video.encoder {
        Encoder::V4l2h264enc => H264Encoder::V4l2,
        Encoder::X264enc => H264Encoder::X264,
        Encoder::Openh264enc => H264Encoder::OpenH264,
        Encoder::Auto => return select_automatically(video),
    };
    configured.create(video).map(|_| Selection { encoder: configured, reason: "configured".to_owned() })
}

fn select_automatically(video: &Video) -> Result<Selection, CaptureError> {
    let hardware_error = match H264Encoder::V4l2.create(video).and_then(|element| self_test(&element, video)) {
        Ok(()) => {
            let reason = "the hardware encoder passed its trial".to_owned();
            return Ok(Selection { encoder: H264Encoder::V4l2, reason });
        }
        Err(error) => error.message,
    };
    if H264Encoder::X264.create(video).is_ok() {
        let reason = format!("no hardware encoder ({hardware_error})");
        return Ok(Selection { encoder: H264Encoder::X264, reason });
    }
    let encoder = H264Encoder::OpenH264;
    let reason = format!("no hardware encoder ({hardware_error}), and no x264enc (package gstreamer1.0-plugins-ugly)");
    encoder.create(video).map(|_| Selection { encoder, reason }).map_err(|error| {
        failed(format!("no H.264 encoder works here: {}; or install gstreamer1.0-plugins-ugly for x264", error.message))
    })
}

/// The first software encoder that is installed and is not among those that `failed`.
pub(super) fn next_software(failed: &[H264Encoder], video: &Video) -> Option<H264Encoder> {
    H264Encoder::SOFTWARE.into_iter().find(|encoder| !failed.contains(encoder) && encoder.create(video).is_ok())
}

/// Frames from one keyframe to the next.
pub(super) fn keyframe_interval(video: &Video) -> u32 {
    let interval = video.keyframe_interval.as_secs_f64() * f64::from(video.fps);
    // At most 10 s at 60 frames per second: 600.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let interval = interval.round().max(1.0) as u32;
    interval
}

impl H264Encoder {
    /// In the order in which `auto` takes them after the hardware.
    const SOFTWARE: [Self; 2] = [Self::X264, Self::OpenH264];

    /// The name of the element's factory, which is also the encoder's name in status and ledger.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V4l2 => "v4l2h264enc",
            Self::X264 => "x264enc",
            Self::OpenH264 => "openh264enc",
        }
    }

    /// A software encoder accepts every pixel format that comes out of a camera.
    pub(super) const fn is_software(self) -> bool {
        match self {
            Self::V4l2 => false,
            Self::X264 | Self::OpenH264 => true,
        }
    }

    /// After how long without output it counts as hung.
    pub(super) const fn stall_timeout(self) -> Duration {
        if self.is_software() { SOFTWARE_STALL_TIMEOUT } else { HARDWARE_STALL_TIMEOUT }
    }

    /// Creates the element, configured for `video`.
    pub(super) fn create(self, video: &Video) -> Result<gst::Element, CaptureError> {
        if self == Self::V4l2 && !plugins::is_available(self.name()) {
            // The plugin registers it only where the kernel has an encoder device.
            return Err(failed("v4l2h264enc: no encoder device here"));
        }
        let element = make(self.name(), "encoder")?;
        self.configure(&element, video);
        Ok(element)
    }

    /// Configures `element`, one of this kind.
    pub(super) fn configure(self, element: &gst::Element, video: &Video) {
        let interval = keyframe_interval(video);
        match self {
            Self::V4l2 => {
                // One structure with the bitrate: a second one would replace it before the device is open.
                element.set_property("extra-controls", v4l2_controls(video.bitrate_kbps, Some(interval)));
            }
            Self::X264 => {
                element.set_property_from_str("tune", "zerolatency");
                // The preset with which a Pi 4 encodes 720p30 on the cores that are free.
                element.set_property_from_str("speed-preset", "superfast");
                element.set_property("key-int-max", interval);
                // Keyframes at scene cuts would make the interval irregular, which players of segments do not handle.
                element.set_property_from_str("option-string", "scenecut=0");
                self.set_bitrate(element, video.bitrate_kbps);
            }
            Self::OpenH264 => {
                element.set_property("gop-size", interval);
                element.set_property_from_str("rate-control", "bitrate");
                element.set_property_from_str("complexity", "low");
                element.set_property("scene-change-detection", false);
                self.set_bitrate(element, video.bitrate_kbps);
            }
        }
    }

    /// Changes the bitrate of `element`, one of this kind, also while it runs.
    pub(super) fn set_bitrate(self, element: &gst::Element, kbps: u32) {
        match self {
            // An open element passes them on to its driver at once.
            Self::V4l2 => element.set_property("extra-controls", v4l2_controls(kbps, None)),
            // The rate control's buffer (VBV) keeps its duration: it is set in milliseconds.
            Self::X264 => element.set_property("bitrate", kbps),
            Self::OpenH264 => element.set_property("bitrate", kbps.saturating_mul(1000)),
        }
    }

    /// The highest bitrate that can be requested of it while it runs; `None`: any that can be configured. A hardware
    /// encoder was given a level when it was made for `video`, and cannot change it.
    pub(super) fn live_limit(self, video: &Video) -> Option<LiveLimit> {
        if self.is_software() {
            return None;
        }
        let level = levels(video.width, video.height, video.fps, video.bitrate_kbps).next()?;
        Some(LiveLimit { kbps: level.max_kbps(), level: level.name })
    }

    /// The caps to request behind the encoder. The Pi's uses only a level that it is given, and with one that is too
    /// low produces garbage or nothing; the driver takes the first of the list that it knows.
    pub(super) fn output_caps(self, video: &Video, profile: Profile) -> gst::Caps {
        let caps = gst::Caps::builder("video/x-h264");
        if self.is_software() {
            return caps.field("profile", profile.as_str()).build();
        }
        let levels = levels(video.width, video.height, video.fps, video.bitrate_kbps);
        let mut levels: Vec<_> = levels.map(|level| level.name).collect();
        if levels.is_empty() {
            // A picture that exceeds every level exceeds the encoder too, whose own error says so.
            levels.push("5.2");
        }
        // A decoder of one of these mostly decodes the others too; WebRTC does not.
        let profiles: &[&str] = match profile {
            Profile::Main => &["main", "high", "constrained-baseline"],
            Profile::ConstrainedBaseline => &["constrained-baseline"],
        };
        caps.field("profile", gst::List::new(profiles)).field("level", gst::List::new(levels)).build()
    }
}

/// The controls of a hardware encoder's driver.
fn v4l2_controls(kbps: u32, keyframe_interval: Option<u32>) -> gst::Structure {
    // At most 20 Mbit/s and 600 frames: they fit.
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let controls = gst::Structure::builder("controls").field("video_bitrate", number(kbps.saturating_mul(1000)));
    let Some(interval) = keyframe_interval.map(number) else { return controls.build() };
    let controls = controls.field("h264_i_frame_period", interval).field("video_gop_size", interval);
    controls.field("repeat_sequence_header", 1).build()
}

/// Encodes five test pictures with the hardware, so that a driver that hangs or fails is found before the stream
/// starts.
fn self_test(encoder: &gst::Element, video: &Video) -> Result<(), CaptureError> {
    let source = make("videotestsrc", "trial-source")?;
    source.set_property("num-buffers", 5);
    let filter = make("capsfilter", "trial-caps")?;
    filter.set_property("caps", raw_video_caps(video));
    let level = make("capsfilter", "trial-level")?;
    level.set_property("caps", H264Encoder::V4l2.output_caps(video, Profile::Main));
    let sink = make("fakesink", "trial-sink")?;
    let pipeline = gst::Pipeline::with_name("trial");
    let all = [&source, &filter, encoder, &level, &sink];
    pipeline.add_many(all)?;
    gst::Element::link_many(all)?;
    let bus = pipeline.bus().ok_or_else(|| failed("a pipeline without a bus"))?;
    let started = pipeline.set_state(gst::State::Playing);
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let ended = bus.timed_pop_filtered(gst::ClockTime::from_seconds(2), &types);
    close_within(&pipeline, CLOSE_TIMEOUT);
    let error = pop_error(&bus, |_| {}).map(|posted| posted.error.message().to_string());
    match ended.as_ref().map(|message| message.type_()) {
        Some(gst::MessageType::Eos) if started.is_ok() => Ok(()),
        Some(_) => {
            let detail = error.map(|error| format!(": {error}")).unwrap_or_default();
            Err(failed(format!("v4l2h264enc failed its trial{detail}")))
        }
        None => Err(failed("v4l2h264enc gave no picture within 2 s: its driver is stuck, restart the box")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(width: u32, height: u32, fps: u32, bitrate_kbps: u32) -> Video {
        Video { width, height, fps, bitrate_kbps, ..crate::config::example("").video }
    }

    #[test]
    fn a_hardware_encoder_is_given_profile_and_level() {
        gst::init().unwrap();
        for (video, level) in [
            (video(640, 480, 15, 1_000), "2.2"),
            (video(1280, 720, 30, 2_500), "3.1"),
            (video(1920, 1080, 30, 6_000), "4"),
            (video(1080, 1920, 60, 6_000), "4.2"),
        ] {
            let caps = H264Encoder::V4l2.output_caps(&video, Profile::Main);
            let structure = caps.structure(0).unwrap();
            let levels = structure.get::<gst::List>("level").unwrap();
            assert_eq!(levels.first().unwrap().get::<&str>().unwrap(), level);
            // What the driver of a Pi 4 offers (levels up to 4.2) and these caps agree on that level.
            let pi = gst::Caps::builder("video/x-h264")
                .field("profile", gst::List::new(["baseline", "constrained-baseline", "main", "high"]))
                .field(
                    "level",
                    gst::List::new([
                        "1", "1b", "1.1", "1.2", "1.3", "2", "2.1", "2.2", "3", "3.1", "3.2", "4", "4.1", "4.2",
                    ]),
                );
            let mut agreed = caps.intersect_with_mode(&pi.build(), gst::CapsIntersectMode::First);
            agreed.fixate();
            let agreed = agreed.structure(0).unwrap();
            assert_eq!((agreed.get::<&str>("level"), agreed.get::<&str>("profile")), (Ok(level), Ok("main")));
        }
    }

    #[test]
    fn a_driver_gets_bitrate_and_keyframes_and_later_the_bitrate_alone() {
        gst::init().unwrap();
        let first = v4l2_controls(2_500, Some(60));
        for (name, value) in [
            ("video_bitrate", 2_500_000),
            ("h264_i_frame_period", 60),
            ("video_gop_size", 60),
            ("repeat_sequence_header", 1),
        ] {
            assert_eq!(first.get::<i32>(name), Ok(value), "{name}");
        }
        let later = v4l2_controls(300, None);
        assert_eq!((later.n_fields(), later.get::<i32>("video_bitrate")), (1, Ok(300_000)));
    }

    #[test]
    fn only_hardware_is_bound_to_the_level_it_was_made_with() {
        for (video, kbps, level) in
            [(video(640, 480, 15, 1_000), 4_000, "2.2"), (video(1280, 720, 30, 2_500), 14_000, "3.1")]
        {
            assert_eq!(H264Encoder::V4l2.live_limit(&video), Some(LiveLimit { kbps, level }));
            assert_eq!(H264Encoder::X264.live_limit(&video), None);
        }
    }

    #[test]
    fn an_encoder_that_failed_is_not_selected_again() {
        use H264Encoder::{OpenH264, V4l2, X264};
        gst::init().unwrap();
        let video = video(320, 180, 30, 400);
        assert_eq!(next_software(&[V4l2], &video), Some(X264));
        assert_eq!(next_software(&[V4l2, X264], &video), Some(OpenH264));
        assert_eq!(next_software(&[V4l2, X264, OpenH264], &video), None);
    }
}
