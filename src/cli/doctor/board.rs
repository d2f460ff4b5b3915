//! Which board this is, and what it can encode.

use super::host::HostFiles;
use super::{CheckResult, fail, ok, warn};
use crate::capture::h264::{LEVEL_4, macroblocks};
use crate::config::{Config, Encoder, Video};

/// Raspberry Pis that differ in what matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pi {
    /// 1, Zero, Zero W, Compute Module 1: one slow core.
    One,
    /// 2: hardware encoder.
    Two,
    /// 3, 3+, Compute Module 3: hardware encoder.
    Three,
    /// Zero 2 W: hardware encoder, 512 MiB.
    ZeroTwo,
    /// 4, 400, Compute Module 4: hardware encoder.
    Four,
    /// 5, 500, Compute Module 5: no encoder (mediamtx#2581, ustreamer#260).
    Five,
}

/// A board.
#[derive(Clone, Debug)]
pub(super) struct Board {
    pub(super) model: Option<String>,
    pub(super) pi: Option<Pi>,
}

impl Board {
    /// From the device tree's `model` (Devicetree Specification, 2.3.2), which ends with a zero.
    pub(super) fn of(machine: &HostFiles) -> Self {
        let tree = ["/proc/device-tree/model", "/sys/firmware/devicetree/base/model"];
        let model = tree.into_iter().find_map(|path| machine.read(path)).filter(|model| !model.is_empty());
        Self { pi: model.as_deref().and_then(pi), model }
    }

    /// Whether the firmware encodes, through the driver bcm2835-codec.
    pub(super) fn has_hardware_encoder(&self) -> bool {
        match self.pi {
            Some(Pi::Two | Pi::Three | Pi::ZeroTwo | Pi::Four) => true,
            Some(Pi::One | Pi::Five) | None => false,
        }
    }
}

fn pi(model: &str) -> Option<Pi> {
    let name = model.strip_prefix("Raspberry Pi ")?;
    let name = name.strip_prefix("Compute Module ").unwrap_or(name);
    let is = |names: &[&str]| names.iter().any(|known| name.split(' ').next() == Some(known));
    Some(match name {
        _ if name.starts_with("Zero 2") => Pi::ZeroTwo,
        _ if is(&["5", "500"]) => Pi::Five,
        _ if is(&["4", "400", "4S"]) => Pi::Four,
        _ if is(&["3"]) => Pi::Three,
        _ if is(&["2"]) => Pi::Two,
        _ if is(&["Zero", "Model", "1", "Rev"]) => Pi::One,
        // A later one; those do not encode either.
        _ => Pi::Five,
    })
}

/// Whether the picture is more than the Pi's encoder takes: beyond level 4 it hangs after the first frame
/// (raspberrypi/linux#4906, #3974), or gives garbage (#6045: 1920x1200, firmware before 21 March 2024).
pub(super) fn is_beyond_level_4(video: &Video) -> bool {
    !LEVEL_4.allows(video.width, video.height, video.fps)
}

pub(super) fn row(board: &Board, machine: &HostFiles, config: &Config) -> CheckResult {
    let video = &config.video;
    let wanted = format!("{}x{} at {} frames per second", video.width, video.height, video.fps);
    let Some(model) = &board.model else {
        let product = machine.read("/sys/class/dmi/id/product_name").unwrap_or_else(|| "unknown".to_owned());
        return ok(
            "board",
            format!("not a Raspberry Pi ({product}); the encoder works in software if no driver has one"),
        );
    };
    let Some(pi) = board.pi else { return ok("board", model.clone()) };
    let lower = "set [video] width = 1280, height = 720, fps = 30";
    match (pi, video.encoder) {
        (Pi::Five, Encoder::V4l2h264enc) => {
            fail("board", format!("{model}: it has no H.264 encoder"), "set [video] encoder = \"auto\"")
        }
        (Pi::Five, Encoder::Auto | Encoder::X264enc | Encoder::Openh264enc) if is_beyond_level_4(video) => {
            warn("board", format!("{model}: it encodes in software, and {wanted} is much"), lower)
        }
        (Pi::Five, Encoder::Auto | Encoder::X264enc | Encoder::Openh264enc) => {
            ok("board", format!("{model}: encodes in software, on its four cores"))
        }
        (Pi::One, _) => warn(
            "board",
            format!("{model}: one slow core"),
            "take a Zero 2 W, 3 or 4: there the encoder is in hardware and a core is left for TLS",
        ),
        (Pi::Two | Pi::Three | Pi::ZeroTwo | Pi::Four, Encoder::Auto | Encoder::V4l2h264enc)
            if is_beyond_level_4(video) =>
        {
            let found =
                format!("{model}: its encoder ends at 1920x1080 and 30 frames per second, and {wanted} is more");
            fail("board", found, "set [video] width = 1920, height = 1080, fps = 30, or less")
        }
        (Pi::ZeroTwo, _) if macroblocks(video.width, video.height) * video.fps > 3600 * 30 => warn(
            "board",
            format!("{model}: {wanted} on 512 MiB of memory"),
            format!("{lower}: more needs the memory that the system needs"),
        ),
        (Pi::Two | Pi::Three | Pi::ZeroTwo, Encoder::X264enc | Encoder::Openh264enc) => warn(
            "board",
            format!("{model}: has an encoder in hardware, and [video] encoder sets one in software"),
            "set [video] encoder = \"auto\"",
        ),
        (Pi::Two | Pi::Three | Pi::ZeroTwo | Pi::Four, _) => {
            ok("board", format!("{model}: encodes in hardware up to 1920x1080 at 30 frames per second"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pi, pi};

    #[test]
    fn models_are_told_apart() {
        for (model, wanted) in [
            ("Raspberry Pi 5 Model B Rev 1.0", Pi::Five),
            ("Raspberry Pi 500 Rev 1.0", Pi::Five),
            ("Raspberry Pi Compute Module 5 Rev 1.0", Pi::Five),
            ("Raspberry Pi 4 Model B Rev 1.5", Pi::Four),
            ("Raspberry Pi 400 Rev 1.1", Pi::Four),
            ("Raspberry Pi Compute Module 4 Rev 1.1", Pi::Four),
            ("Raspberry Pi 3 Model A Plus Rev 1.0", Pi::Three),
            ("Raspberry Pi Compute Module 3 Plus Rev 1.0", Pi::Three),
            ("Raspberry Pi Zero 2 W Rev 1.0", Pi::ZeroTwo),
            ("Raspberry Pi 2 Model B Rev 1.1", Pi::Two),
            ("Raspberry Pi Zero W Rev 1.1", Pi::One),
            ("Raspberry Pi Model B Plus Rev 1.2", Pi::One),
            ("Raspberry Pi Compute Module Rev 1.0", Pi::One),
        ] {
            assert_eq!(pi(model), Some(wanted), "{model}");
        }
        assert_eq!(pi("Radxa ROCK 5B"), None);
    }
}
