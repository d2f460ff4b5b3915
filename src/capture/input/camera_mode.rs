//! A camera's caps as modes, of which [`camera::select`] takes one.

use gstreamer as gst;

use crate::camera::{self, CameraFormat, CameraRequest, Mode, NoUsableMode, Selection};

/// The mode to open, of those that `offered` holds.
///
/// # Errors
/// There is none that can be used.
pub(super) fn select(offered: &gst::CapsRef, request: CameraRequest) -> Result<Selection, NoUsableMode> {
    let all = offered.iter_with_features().filter(|(_, features)| is_system_memory(features));
    let modes: Vec<_> = all.flat_map(|(structure, _)| candidate_modes(structure, request)).collect();
    let formats: Vec<_> = offered.iter().map(|structure| format_name(structure.name().as_str()).to_owned()).collect();
    camera::select(&modes, &formats, request)
}

/// What fixed caps are as a mode, in words. `None`: they are none that can be used.
pub(super) fn describe(caps: &gst::CapsRef, request: CameraRequest) -> Option<String> {
    candidate_modes(caps.structure(0)?, request).first().map(Mode::to_string)
}

/// The caps that ask the camera for `mode`.
pub(super) fn caps_of(mode: &Mode) -> gst::Caps {
    let int = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let caps = match &mode.format {
        CameraFormat::Raw(format) => gst::Caps::builder("video/x-raw").field("format", format.as_str()),
        CameraFormat::Jpeg => gst::Caps::builder("image/jpeg"),
    };
    let caps = caps.field("width", int(mode.width)).field("height", int(mode.height));
    match mode.rate {
        Some((pictures, seconds)) => caps.field("framerate", gst::Fraction::new(int(pictures), int(seconds))).build(),
        None => caps.build(),
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
