//! Selects one of a camera's modes, and says why: a pure choice.
//!
//! In this order: the exact size and rate; the right size with at least the rate; the right size with the highest rate;
//! another size. Raw pictures are preferred to JPEG, because nothing has to be decoded.

use core::fmt;
use std::cmp::Reverse;
use std::collections::HashSet;

use crate::config::Video;

/// What is asked of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CameraRequest {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Pictures per second.
    pub(crate) fps: u32,
}

impl CameraRequest {
    /// What `[video]` asks of the camera. Its picture is turned to the configured size by the configured rotation.
    pub(crate) const fn of(video: &Video) -> Self {
        let (width, height) = match video.rotation {
            90 | 270 => (video.height, video.width),
            _ => (video.width, video.height),
        };
        Self { width, height, fps: video.fps }
    }
}

/// What the camera sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CameraFormat {
    /// Raw pictures, by GStreamer's name of the format.
    Raw(String),
    Jpeg,
}

/// One of a camera's modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) format: CameraFormat,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Pictures per second as a fraction; `None`: the camera names none.
    pub(crate) rate: Option<(u32, u32)>,
}

/// Why none of its modes can be selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoUsableMode {
    /// It offers only these formats, by their common names.
    OnlyFormats(Vec<String>),
    /// It offers nothing at all.
    NoFormats,
}

/// The mode to open, and why in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) mode: Mode,
    /// Such as `exact size and rate`.
    pub(crate) reason: String,
}

/// A rate this close to the requested one is equal to it, in per cent: 30000/1001 to 30.
const RATE_TOLERANCE_PERCENT: u64 = 1;
/// Among other sizes, a rate below this comes last: it is a slide show.
const MIN_SMOOTH_MILLIHERTZ: u64 = 15_000;
/// Formats that cost little to convert to the encoder's I420, cheapest first. Others come after them.
const CHEAP_FORMATS: [&str; 8] = ["I420", "YV12", "NV12", "NV21", "YUY2", "UYVY", "YVYU", "VYUY"];

impl fmt::Display for CameraFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw(format) => format,
            Self::Jpeg => "JPEG",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", self.format, self.width, self.height)?;
        self.rate.map_or(Ok(()), |rate| write!(f, " at {}", rate_name(rate)))
    }
}

/// Pictures per second in words: `30/s`, `7.5/s`, `29.97/s`.
pub(crate) fn rate_name((pictures, seconds): (u32, u32)) -> String {
    let hundredths = u64::from(pictures) * 100 / u64::from(seconds.max(1));
    match (hundredths / 100, hundredths % 100) {
        (whole, 0) => format!("{whole}/s"),
        (whole, part) if part % 10 == 0 => format!("{whole}.{}/s", part / 10),
        (whole, part) => format!("{whole}.{part:02}/s"),
    }
}

impl fmt::Display for NoUsableMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyFormats(names) => write!(
                f,
                "gives only {}, and tallybox takes raw pictures or JPEG: use a camera that has one of them \
                 (v4l2-ctl --list-formats shows it)",
                names.join(", ")
            ),
            Self::NoFormats => write!(f, "offers no pictures at all: choose another node with [video] device"),
        }
    }
}

impl Mode {
    /// Thousandths of pictures per second.
    fn millihertz(&self, request: CameraRequest) -> u64 {
        // A camera that names no rate may well give the requested one.
        let (pictures, seconds) = self.rate.unwrap_or((request.fps, 1));
        u64::from(pictures) * 1000 / u64::from(seconds.max(1))
    }

    /// The rate in pictures per second, rounded up; `None`: the camera names none.
    pub(crate) fn fps(&self) -> Option<u32> {
        self.rate.map(|(pictures, seconds)| pictures.div_ceil(seconds.max(1)))
    }

    /// The best mode has the lowest rank.
    fn rank(&self, request: CameraRequest) -> impl Ord + use<> {
        let (rate, requested) = (self.millihertz(request), u64::from(request.fps) * 1000);
        let enough = rate * 100 >= requested * (100 - RATE_TOLERANCE_PERCENT);
        let same_size = (self.width, self.height) == (request.width, request.height);
        let exact = enough && rate * 100 <= requested * (100 + RATE_TOLERANCE_PERCENT);
        let step = match (same_size, exact, enough, rate >= MIN_SMOOTH_MILLIHERTZ) {
            (true, true, _, _) => 0,
            (true, false, true, _) => 1,
            (true, false, false, _) => 2,
            (false, _, true, _) => 3,
            (false, _, false, true) => 4,
            (false, _, false, false) => 5,
        };
        // A rate that is too low counts more than raw or JPEG does.
        let missing = if enough || !same_size { 0 } else { requested - rate.min(requested) };
        let (kind, format) = match &self.format {
            CameraFormat::Raw(format) if is_grey(format) => (2, 0),
            CameraFormat::Raw(format) => {
                (0, CHEAP_FORMATS.iter().position(|known| known == format).unwrap_or(CHEAP_FORMATS.len()))
            }
            CameraFormat::Jpeg => (1, 0),
        };
        let size_mismatch = if same_size { SizeMismatch::default() } else { self.size_mismatch(request) };
        // The pictures in excess would be dropped.
        let excess = if enough { rate.abs_diff(requested) } else { 0 };
        (step, missing, size_mismatch, kind, excess, format, Reverse(rate))
    }

    /// How far another size is from the requested one: first whether it has all its pixels, then the aspect ratio.
    fn size_mismatch(&self, request: CameraRequest) -> SizeMismatch {
        let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
        let covers = self.width >= request.width && self.height >= request.height;
        let same = area(self.width, request.height) == area(request.width, self.height);
        let (is, requested) = (area(self.width, self.height), area(request.width, request.height));
        SizeMismatch { covers: Reverse(covers), same_aspect: Reverse(same), area_difference: is.abs_diff(requested) }
    }
}

/// Whether pictures of this raw format have no colours.
fn is_grey(format: &str) -> bool {
    format.starts_with("GRAY")
}

impl Mode {
    /// Why it is the best of `modes`, in words.
    fn reason(&self, modes: &[Self], request: CameraRequest) -> String {
        let CameraRequest { width, height, fps } = request;
        let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
        let (rate, requested) = (self.millihertz(request), u64::from(fps) * 1000);
        let fit = if (self.width, self.height) != (width, height) {
            let smaller = area(self.width, self.height) < area(width, height);
            let scaled = if smaller { "scaled up" } else { "scaled down" };
            format!("no {width}x{height}: {}x{} is {scaled}", self.width, self.height)
        } else if self.rate.is_none() {
            "exact size, and the camera names no rate".to_owned()
        } else if rate * 100 > requested * (100 + RATE_TOLERANCE_PERCENT) {
            format!("exact size, no {fps}/s: the next rate above")
        } else if rate * 100 >= requested * (100 - RATE_TOLERANCE_PERCENT) {
            "exact size and rate".to_owned()
        } else {
            format!("exact size, and no rate as high as {fps}/s")
        };
        match &self.format {
            CameraFormat::Jpeg => format!("{fit}; JPEG, because {}", self.why_not_raw(modes, request)),
            CameraFormat::Raw(_) => fit,
        }
    }

    /// Why this mode, which is JPEG, is better than a raw one of its size.
    fn why_not_raw(&self, modes: &[Self], request: CameraRequest) -> String {
        let same_size = modes.iter().filter(|mode| (mode.width, mode.height) == (self.width, self.height));
        let raw = same_size.filter_map(|mode| match &mode.format {
            CameraFormat::Raw(format) => Some((!is_grey(format), mode.millihertz(request), mode.rate)),
            CameraFormat::Jpeg => None,
        });
        match raw.max() {
            None => format!("there is no raw {}x{}", self.width, self.height),
            Some((false, _, _)) => "raw is grey".to_owned(),
            Some((true, highest, Some(rate))) if highest < self.millihertz(request) => {
                format!("raw is at most {} at this size", rate_name(rate))
            }
            Some(_) => "raw has no such rate".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct SizeMismatch {
    covers: Reverse<bool>,
    same_aspect: Reverse<bool>,
    area_difference: u64,
}

/// The mode to open, of `modes`. `other_formats` are the common names of what the camera offers besides.
///
/// # Errors
/// There is none that can be used.
pub(crate) fn select(
    modes: &[Mode],
    other_formats: &[String],
    request: CameraRequest,
) -> Result<Selection, NoUsableMode> {
    match modes.iter().min_by_key(|mode| mode.rank(request)) {
        Some(mode) => Ok(Selection { mode: mode.clone(), reason: mode.reason(modes, request) }),
        None if other_formats.is_empty() => Err(NoUsableMode::NoFormats),
        None => {
            // One in several sizes is there several times.
            let mut seen = HashSet::new();
            let names = other_formats.iter().filter(|name| seen.insert(*name)).cloned().collect();
            Err(NoUsableMode::OnlyFormats(names))
        }
    }
}
