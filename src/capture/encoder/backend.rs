//! Which element encodes H.264, how it is set up, and how its bitrate is changed while it runs.

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::{self, make};
use crate::capture::gst::pop_error;
use crate::capture::media::h264::levels;
use crate::config::{Encoder, Video};
use crate::ipc::FailureKind;

/// In hardware, where the kernel has a device for it (Raspberry Pi 3, 4, Zero 2).
pub(crate) const V4L2: &str = "v4l2h264enc";
/// In software, what `auto` takes next, in this order.
const SOFTWARE: [&str; 2] = ["x264enc", "openh264enc"];

/// The profile of H.264 that most can decode.
pub(crate) const MAIN: &str = "main";
/// The profile that all of WebRTC can decode.
pub(crate) const BASELINE: &str = "constrained-baseline";

/// The encoder of choice, and why it and not a better one.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) factory: &'static str,
    pub(crate) why: String,
}

fn failed(message: impl Into<String>) -> CaptureError {
    CaptureError { kind: FailureKind::Encoder, message: message.into() }
}

/// Chooses: the configured one, or the first that works of hardware, x264 and openh264.
pub(crate) fn choose(video: &Video) -> Result<Chosen, CaptureError> {
    let configured = |factory| set_up(factory, video).map(|_| Chosen { factory, why: "configured".to_owned() });
    match video.encoder {
        Encoder::V4l2h264enc => return configured(V4L2),
        Encoder::X264enc => return configured("x264enc"),
        Encoder::Openh264enc => return configured("openh264enc"),
        Encoder::Auto => {}
    }
    let hardware = match set_up(V4L2, video).and_then(|element| trial(&element, video)) {
        Ok(()) => return Ok(Chosen { factory: V4L2, why: "the hardware encoder passed its trial".to_owned() }),
        Err(failure) => failure.message,
    };
    if set_up("x264enc", video).is_ok() {
        return Ok(Chosen { factory: "x264enc", why: format!("no hardware encoder ({hardware})") });
    }
    let why = format!("no hardware encoder ({hardware}), and no x264enc (package gstreamer1.0-plugins-ugly)");
    set_up("openh264enc", video).map(|_| Chosen { factory: "openh264enc", why }).map_err(|failure| {
        failed(format!(
            "no H.264 encoder works here: {}; or install gstreamer1.0-plugins-ugly for x264",
            failure.message
        ))
    })
}

/// Whether an encoder runs in software, and takes any colours.
pub(crate) fn is_software(factory: &str) -> bool {
    SOFTWARE.contains(&factory)
}

/// The first encoder in software that is here and not among those that `failed`.
pub(crate) fn after(gone: &[&'static str], video: &Video) -> Option<&'static str> {
    SOFTWARE.into_iter().find(|factory| !gone.contains(factory) && set_up(factory, video).is_ok())
}

/// Frames from one keyframe to the next.
pub(crate) fn keyframe_interval(video: &Video) -> u32 {
    let interval = video.keyframe_interval.as_secs_f64() * f64::from(video.fps);
    // A keyframe interval is 10 s at 60 frames per second at most: 600.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let interval = interval.round().max(1.0) as u32;
    interval
}

/// Makes an encoder for the configured picture.
pub(crate) fn set_up(factory: &'static str, video: &Video) -> Result<gst::Element, CaptureError> {
    if factory == V4L2 && !plugins::is_available(factory) {
        // It registers only where the kernel has an encoder device.
        return Err(failed("v4l2h264enc: no encoder device here"));
    }
    let element = make(factory, "encoder")?;
    let interval = keyframe_interval(video);
    match factory {
        "x264enc" => {
            element.set_property_from_str("tune", "zerolatency");
            // The preset that a Pi 4 without hardware can hold at 720p30 on the cores that are free.
            element.set_property_from_str("speed-preset", "superfast");
            element.set_property("key-int-max", interval);
            // Keyframes at scene changes would make the interval irregular, and players of segments stumble.
            element.set_property_from_str("option-string", "scenecut=0");
        }
        "openh264enc" => {
            element.set_property("gop-size", interval);
            element.set_property_from_str("rate-control", "bitrate");
            element.set_property_from_str("complexity", "low");
            element.set_property("scene-change-detection", false);
        }
        _ => {
            // The bitrate is among them; another structure would take their place before the device is open.
            element.set_property("extra-controls", controls(video.bitrate_kbps, Some(interval)));
            return Ok(element);
        }
    }
    set_bitrate(&element, factory, video.bitrate_kbps);
    Ok(element)
}

/// What the driver of a hardware encoder is told.
fn controls(kbps: u32, interval: Option<u32>) -> gst::Structure {
    // Checked to be at most 20 Mbit/s, and 600 frames: they fit.
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let controls = gst::Structure::builder("controls").field("video_bitrate", number(kbps.saturating_mul(1000)));
    let Some(interval) = interval.map(number) else { return controls.build() };
    let controls = controls.field("h264_i_frame_period", interval).field("video_gop_size", interval);
    controls.field("repeat_sequence_header", 1).build()
}

/// Asks an encoder for another bitrate; it takes it while it runs.
pub(crate) fn set_bitrate(element: &gst::Element, factory: &str, kbps: u32) {
    match factory {
        // Its buffer (VBV) is as long in time as before: it is set in milliseconds.
        "x264enc" => element.set_property("bitrate", kbps),
        "openh264enc" => element.set_property("bitrate", kbps.saturating_mul(1000)),
        // An element that is open hands them to its driver at once.
        _ => element.set_property("extra-controls", controls(kbps, None)),
    }
}

/// What must stand behind the encoder. The Pi's starts with no level but one that it is told, and one that is too low
/// gives garbage or nothing; of what is listed the driver gets the first that it knows.
pub(crate) fn caps(factory: &str, video: &Video, profile: &str) -> gst::Caps {
    let caps = gst::Caps::builder("video/x-h264");
    if factory != V4L2 {
        return caps.field("profile", profile).build();
    }
    let mut levels = levels(video.width, video.height, video.fps, video.bitrate_kbps);
    if levels.is_empty() {
        // Larger than any level is larger than any such encoder: it will say so itself.
        levels.push("5.2");
    }
    // Who can decode the one can mostly decode the others; WebRTC cannot.
    let all: &[&str] = if profile == MAIN { &[MAIN, "high", BASELINE] } else { &[profile] };
    caps.field("profile", gst::List::new(all)).field("level", gst::List::new(levels)).build()
}

/// Encodes five test pictures; a driver that is stuck, or fails, shows here and not on air.
fn trial(encoder: &gst::Element, video: &Video) -> Result<(), CaptureError> {
    let source = make("videotestsrc", "trial-source")?;
    source.set_property("num-buffers", 5);
    let filter = make("capsfilter", "trial-caps")?;
    filter.set_property("caps", crate::capture::media::raw_video_caps(video));
    let level = make("capsfilter", "trial-level")?;
    level.set_property("caps", caps(V4L2, video, MAIN));
    let sink = make("fakesink", "trial-sink")?;
    let pipeline = gst::Pipeline::with_name("trial");
    let all = [&source, &filter, encoder, &level, &sink];
    pipeline.add_many(all)?;
    gst::Element::link_many(all)?;
    let bus = pipeline.bus().ok_or_else(|| failed("a pipeline without a bus"))?;
    let started = pipeline.set_state(gst::State::Playing);
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let ended = bus.timed_pop_filtered(gst::ClockTime::from_seconds(2), &wanted);
    crate::capture::gst::close_within(&pipeline, crate::capture::gst::CLOSE_TIMEOUT);
    let said = pop_error(&bus, |_| {}).map(|posted| posted.error.message().to_string());
    match ended.as_ref().map(|message| message.type_()) {
        Some(gst::MessageType::Eos) if started.is_ok() => Ok(()),
        Some(_) => Err(failed(format!(
            "v4l2h264enc failed its trial{}",
            said.map(|said| format!(": {said}")).unwrap_or_default()
        ))),
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
    fn a_hardware_encoder_is_told_profile_and_level() {
        gst::init().unwrap();
        for (video, level) in [
            (video(640, 480, 15, 1_000), "2.2"),
            (video(1280, 720, 30, 2_500), "3.1"),
            (video(1920, 1080, 30, 6_000), "4"),
            (video(1080, 1920, 60, 6_000), "4.2"),
        ] {
            let caps = caps(V4L2, &video, MAIN);
            let structure = caps.structure(0).unwrap();
            let levels = structure.get::<gst::List>("level").unwrap();
            assert_eq!(levels.first().unwrap().get::<&str>().unwrap(), level);
            // What the driver of a Pi 4 offers (levels to 4.2), and what stands behind the encoder, agree on that
            // level.
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
    fn a_driver_gets_bits_and_keyframes_and_then_bits_alone() {
        gst::init().unwrap();
        let all = controls(2_500, Some(60));
        for (name, value) in [
            ("video_bitrate", 2_500_000),
            ("h264_i_frame_period", 60),
            ("video_gop_size", 60),
            ("repeat_sequence_header", 1),
        ] {
            assert_eq!(all.get::<i32>(name), Ok(value), "{name}");
        }
        let later = controls(300, None);
        assert_eq!((later.n_fields(), later.get::<i32>("video_bitrate")), (1, Ok(300_000)));
    }

    #[test]
    fn what_failed_is_not_chosen_again() {
        gst::init().unwrap();
        let video = video(320, 180, 30, 400);
        assert_eq!(after(&[V4L2], &video), Some("x264enc"));
        assert_eq!(after(&[V4L2, "x264enc"], &video), Some("openh264enc"));
        assert_eq!(after(&[V4L2, "x264enc", "openh264enc"], &video), None);
    }
}
