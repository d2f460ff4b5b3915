//! Selects one of a camera's modes: a pure choice among the caps that it offers.
//!
//! In this order: the exact size and rate; the right size with at least the rate; the right size with the highest rate;
//! another size. Raw pictures are preferred to JPEG, because nothing has to be decoded.

use core::fmt;
use std::cmp::Reverse;

use gstreamer as gst;

/// What is asked of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CameraRequest {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Pictures per second.
    pub(super) fps: u32,
}

/// What the camera sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CameraFormat {
    /// Raw pictures, by GStreamer's name of the format.
    Raw(String),
    Jpeg,
}

/// One of a camera's modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) format: CameraFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Pictures per second as a fraction; `None`: the camera names none.
    pub(super) rate: Option<(u32, u32)>,
}

/// Why none of its modes can be selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoUsableMode {
    /// It offers only these media types.
    OnlyTypes(Vec<String>),
    /// It offers nothing at all.
    NoFormats,
}

/// A rate this close to the requested one is equal to it, in per cent: 30000/1001 to 30.
const RATE_TOLERANCE_PERCENT: u64 = 1;
/// Among other sizes, a rate below this comes last: it is a slide show.
const MIN_SMOOTH_MILLIHERTZ: u64 = 15_000;
/// Formats that cost little to convert to the encoder's I420, cheapest first. Others come after them.
const CHEAP_FORMATS: [&str; 8] = ["I420", "YV12", "NV12", "NV21", "YUY2", "UYVY", "YVYU", "VYUY"];

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match &self.format {
            CameraFormat::Raw(format) => format.as_str(),
            CameraFormat::Jpeg => "JPEG",
        };
        write!(f, "{format} {}x{}", self.width, self.height)?;
        match self.rate {
            Some((pictures, 1)) => write!(f, " at {pictures}/s"),
            Some((pictures, seconds)) => {
                let hundredths = u64::from(pictures) * 100 / u64::from(seconds.max(1));
                write!(f, " at {}.{:02}/s", hundredths / 100, hundredths % 100)
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for NoUsableMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyTypes(types) => write!(
                f,
                "gives only {}, and tallybox takes raw pictures or JPEG: use a camera that has one of them \
                 (v4l2-ctl --list-formats shows it)",
                types.iter().map(|name| format_name(name)).collect::<Vec<_>>().join(", ")
            ),
            Self::NoFormats => write!(f, "offers no pictures at all: choose another node with [video] device"),
        }
    }
}

/// The common name of a media type.
fn format_name(media_type: &str) -> &str {
    match media_type {
        "video/x-h264" => "H.264",
        "video/x-h265" => "H.265",
        "video/x-bayer" => "Bayer patterns",
        "video/mpeg" | "video/mpegts" => "MPEG",
        "video/x-vp8" | "video/x-vp9" => "VP8 or VP9",
        other => other,
    }
}

impl Mode {
    /// Thousandths of pictures per second.
    fn millihertz(&self, request: CameraRequest) -> u64 {
        // A camera that names no rate may well give the requested one.
        let (pictures, seconds) = self.rate.unwrap_or((request.fps, 1));
        u64::from(pictures) * 1000 / u64::from(seconds.max(1))
    }

    /// The caps that ask the camera for this mode.
    pub(super) fn caps(&self) -> gst::Caps {
        let int = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        let caps = match &self.format {
            CameraFormat::Raw(format) => gst::Caps::builder("video/x-raw").field("format", format.as_str()),
            CameraFormat::Jpeg => gst::Caps::builder("image/jpeg"),
        };
        let caps = caps.field("width", int(self.width)).field("height", int(self.height));
        match self.rate {
            Some((pictures, seconds)) => {
                caps.field("framerate", gst::Fraction::new(int(pictures), int(seconds))).build()
            }
            None => caps.build(),
        }
    }

    /// The rate in pictures per second, rounded up; `None`: the camera names none.
    pub(super) fn fps(&self) -> Option<u32> {
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
            CameraFormat::Raw(format) if format.starts_with("GRAY") => (2, 0),
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct SizeMismatch {
    covers: Reverse<bool>,
    same_aspect: Reverse<bool>,
    area_difference: u64,
}

/// The mode to open, of those that `offered` holds.
///
/// # Errors
/// There is none that can be used.
pub(super) fn select(offered: &gst::CapsRef, request: CameraRequest) -> Result<Mode, NoUsableMode> {
    let all = offered.iter_with_features().filter(|(_, features)| is_system_memory(features));
    let best = all.flat_map(|(structure, _)| candidate_modes(structure, request)).min_by_key(|mode| mode.rank(request));
    best.ok_or_else(|| {
        let mut types: Vec<_> = offered.iter().map(|structure| structure.name().to_string()).collect();
        types.dedup();
        if types.is_empty() { NoUsableMode::NoFormats } else { NoUsableMode::OnlyTypes(types) }
    })
}

fn is_system_memory(features: &gst::CapsFeaturesRef) -> bool {
    features.is_any() || features.size() == 0 || features.contains(gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY)
}

/// The modes in one structure that could be meant: of what it leaves open the nearest to what is request.
fn candidate_modes(structure: &gst::StructureRef, request: CameraRequest) -> Vec<Mode> {
    let formats = match structure.name().as_str() {
        "image/jpeg" => vec![CameraFormat::Jpeg],
        "video/x-raw" => strings(structure, "format").into_iter().map(CameraFormat::Raw).collect(),
        _ => return Vec::new(),
    };
    let pixels = |field, near: u32| numbers(structure, field, near);
    let (widths, heights) = (pixels("width", request.width), pixels("height", request.height));
    let rates = rates(structure, request.fps);
    let mut all = Vec::new();
    for format in &formats {
        for (width, height) in widths.iter().flat_map(|width| heights.iter().map(move |height| (*width, *height))) {
            all.extend(rates.iter().map(|rate| Mode { format: format.clone(), width, height, rate: *rate }));
        }
    }
    all
}

fn strings(structure: &gst::StructureRef, field: &str) -> Vec<String> {
    match (structure.get::<String>(field), structure.get::<gst::List>(field)) {
        (Ok(one), _) => vec![one],
        (Err(_), Ok(list)) => list.iter().filter_map(|value| value.get().ok()).collect(),
        (Err(_), Err(_)) => Vec::new(),
    }
}

/// The whole numbers that a field may have. Of a range, the one nearest to `near`.
fn numbers(structure: &gst::StructureRef, field: &str, near: u32) -> Vec<u32> {
    let positive = |number: i32| u32::try_from(number).ok().filter(|number| *number > 0);
    let near = i32::try_from(near).unwrap_or(i32::MAX);
    let of_range = |range: gst::IntRange<i32>| {
        let (least, step) = (range.min(), range.step().max(1));
        let inside = near.clamp(least, range.max().max(least));
        positive(inside - (inside - least) % step)
    };
    if let Ok(one) = structure.get::<i32>(field) {
        return positive(one).into_iter().collect();
    }
    if let Ok(range) = structure.get::<gst::IntRange<i32>>(field) {
        return of_range(range).into_iter().collect();
    }
    let list = structure.get::<gst::List>(field).ok();
    let each = list.iter().flat_map(|list| list.iter());
    each.filter_map(|value| match (value.get::<i32>(), value.get::<gst::IntRange<i32>>()) {
        (Ok(one), _) => positive(one),
        (Err(_), Ok(range)) => of_range(range),
        (Err(_), Err(_)) => None,
    })
    .collect()
}

/// The rates that a structure has. Of a range, the one nearest to `fps`. A camera that names none has one unknown rate.
fn rates(structure: &gst::StructureRef, fps: u32) -> Vec<Option<(u32, u32)>> {
    const FIELD: &str = "framerate";
    let fraction = |rate: gst::Fraction| {
        let (pictures, seconds) = (u32::try_from(rate.numer()).ok()?, u32::try_from(rate.denom()).ok()?);
        (pictures > 0 && seconds > 0).then_some((pictures, seconds))
    };
    let near = gst::Fraction::new(i32::try_from(fps).unwrap_or(i32::MAX), 1);
    let of_range = |range: gst::FractionRange| fraction(near.max(range.min()).min(range.max()));
    let all: Vec<_> = if let Ok(one) = structure.get::<gst::Fraction>(FIELD) {
        fraction(one).into_iter().collect()
    } else if let Ok(range) = structure.get::<gst::FractionRange>(FIELD) {
        of_range(range).into_iter().collect()
    } else if let Ok(list) = structure.get::<gst::List>(FIELD) {
        let each = list.iter().filter_map(|value| match (value.get(), value.get()) {
            (Ok(one), _) => fraction(one),
            (Err(_), Ok(range)) => of_range(range),
            (Err(_), Err(_)) => None,
        });
        each.collect()
    } else {
        Vec::new()
    };
    if all.is_empty() { vec![None] } else { all.into_iter().map(Some).collect() }
}

#[cfg(test)]
mod tests;
