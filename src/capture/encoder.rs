//! Which element encodes H.264, and how it is set up.

use gst::prelude::*;
use gstreamer as gst;

use super::failure::{Failure, error_on, make};
use crate::config::{Encoder, Video};
use crate::ipc::FailureKind;

/// The encoder of choice, and why it and not a better one.
pub(super) struct Chosen {
    pub(super) element: gst::Element,
    pub(super) name: &'static str,
    pub(super) why: String,
}

/// Chooses: the configured one, or the first that works of hardware, x264 and openh264.
pub(super) fn choose(video: &Video) -> Result<Chosen, Failure> {
    let configured =
        |factory| Ok(Chosen { element: set_up(factory, video)?, name: factory, why: "configured".to_owned() });
    match video.encoder {
        Encoder::V4l2h264enc => return configured("v4l2h264enc"),
        Encoder::X264enc => return configured("x264enc"),
        Encoder::Openh264enc => return configured("openh264enc"),
        Encoder::Auto => {}
    }
    let hardware = match set_up("v4l2h264enc", video).and_then(|element| trial(&element, video)) {
        Ok(()) => {
            let why = "the hardware encoder passed its trial".to_owned();
            return Ok(Chosen { element: set_up("v4l2h264enc", video)?, name: "v4l2h264enc", why });
        }
        Err(failure) => failure.message,
    };
    if let Ok(element) = set_up("x264enc", video) {
        let why = format!("no hardware encoder ({hardware})");
        return Ok(Chosen { element, name: "x264enc", why });
    }
    set_up("openh264enc", video)
        .map(|element| Chosen {
            element,
            name: "openh264enc",
            why: format!("no hardware encoder ({hardware}), and no x264enc (package gstreamer1.0-plugins-ugly)"),
        })
        .map_err(|failure| Failure {
            kind: FailureKind::Encoder,
            message: format!(
                "no H.264 encoder works here: {}; or install gstreamer1.0-plugins-ugly for x264",
                failure.message
            ),
        })
}

fn set_up(factory: &'static str, video: &Video) -> Result<gst::Element, Failure> {
    if factory == "v4l2h264enc" && gst::ElementFactory::find(factory).is_none() {
        // It registers only where the kernel has an encoder device.
        return Err(Failure { kind: FailureKind::Encoder, message: "v4l2h264enc: no encoder device here".to_owned() });
    }
    let element = make(factory, "encoder")?;
    let interval = video.keyframe_interval.as_secs_f64() * f64::from(video.fps);
    // A keyframe interval is 10 s at 60 frames per second at most: 600.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let interval = interval.round().max(1.0) as u32;
    match factory {
        "x264enc" => {
            element.set_property_from_str("tune", "zerolatency");
            // The preset that a Pi 4 without hardware can hold at 720p30 on the cores that are free.
            element.set_property_from_str("speed-preset", "superfast");
            element.set_property("bitrate", video.bitrate_kbps);
            element.set_property("key-int-max", interval);
            // Keyframes at scene changes would make the interval irregular, and players of segments stumble.
            element.set_property_from_str("option-string", "scenecut=0");
        }
        "openh264enc" => {
            element.set_property("bitrate", video.bitrate_kbps * 1000);
            element.set_property("gop-size", interval);
            element.set_property_from_str("rate-control", "bitrate");
            element.set_property_from_str("complexity", "low");
            element.set_property("scene-change-detection", false);
        }
        _ => {
            let bitrate = video.bitrate_kbps * 1000;
            let controls = format!(
                "controls,video_bitrate={bitrate},h264_i_frame_period={interval},video_gop_size={interval},repeat_sequence_header=1"
            );
            element.set_property_from_str("extra-controls", &controls);
        }
    }
    Ok(element)
}

/// What must stand behind the encoder: the Pi's does not start without a level.
pub(super) fn caps(name: &str) -> gst::Caps {
    let caps = gst::Caps::builder("video/x-h264");
    if name == "v4l2h264enc" { caps.field("level", "4").build() } else { caps.field("profile", "main").build() }
}

/// Encodes five test pictures; a driver that is stuck, or fails, shows here and not on air.
fn trial(encoder: &gst::Element, video: &Video) -> Result<(), Failure> {
    let failed = |message: String| Failure { kind: FailureKind::Encoder, message };
    let source = make("videotestsrc", "trial-source")?;
    source.set_property("num-buffers", 5);
    let filter = make("capsfilter", "trial-caps")?;
    filter.set_property("caps", super::video::raw_caps(video));
    let level = make("capsfilter", "trial-level")?;
    level.set_property("caps", caps("v4l2h264enc"));
    let sink = make("fakesink", "trial-sink")?;
    let pipeline = gst::Pipeline::with_name("trial");
    let all = [&source, &filter, encoder, &level, &sink];
    pipeline.add_many(all)?;
    gst::Element::link_many(all)?;
    let bus = pipeline.bus().ok_or_else(|| failed("a pipeline without a bus".to_owned()))?;
    let started = pipeline.set_state(gst::State::Playing);
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let ended = bus.timed_pop_filtered(gst::ClockTime::from_seconds(2), &wanted);
    let _ = pipeline.set_state(gst::State::Null);
    let said = error_on(&bus, |_| {}).map(|posted| posted.error.message().to_string());
    match ended.as_ref().map(|message| message.type_()) {
        Some(gst::MessageType::Eos) if started.is_ok() => Ok(()),
        Some(_) => Err(failed(format!(
            "v4l2h264enc failed its trial{}",
            said.map(|said| format!(": {said}")).unwrap_or_default()
        ))),
        None => Err(failed("v4l2h264enc gave no picture within 2 s: its driver is stuck, restart the box".to_owned())),
    }
}
