//! What is done to the picture: `[video] rotation` and `crop`, `[overlay]`, `[[privacy-mask]]`.

use crate::config::reader::Reader;
use crate::config::{Crop, Mask, Overlay, Video};

/// More letters than this do not fit beside the clock.
const LETTERS: usize = 48;
/// So much of a side may be cut off, in percent.
const CUT: u32 = 90;

pub(super) fn rotation(reader: &mut Reader<'_>) -> u32 {
    let Some(degrees) = reader.number("video", "rotation", 0..=270) else { return 0 };
    if !degrees.is_multiple_of(90) {
        let place = reader.place("video", "rotation");
        let help = "write 0, 90, 180 or 270: degrees, clockwise";
        reader.error(place, format!("rotation = {degrees} is not a quarter turn"), help);
        return 0;
    }
    degrees
}

pub(super) fn crop(reader: &mut Reader<'_>) -> Crop {
    let names = ["left", "right", "top", "bottom"];
    let Some((table, place)) = reader.table("video", "crop") else { return Crop::default() };
    let sides = reader.numbers("crop", &table, place, names, 0..=CUT);
    let [left, right, top, bottom] = sides.map(|side| side.map_or(0, |(percent, _)| percent));
    for (one, other, sum) in [("left", "right", left + right), ("top", "bottom", top + bottom)] {
        if sum > CUT {
            let message = format!("crop: {one} and {other} together cut off {sum} percent");
            reader.error(Some(place), message, format!("leave at least {} percent of the picture", 100 - CUT));
        }
    }
    Crop { left, right, top, bottom }
}

pub(super) fn overlay(reader: &mut Reader<'_>) -> Overlay {
    let text = reader.text("overlay", "text").map(|(text, place)| {
        if text.trim().is_empty() || text.chars().count() > LETTERS || text.chars().any(char::is_control) {
            let help = format!("write the shop's name, 1 to {LETTERS} letters, on one line");
            reader.error(Some(place), format!("text = {text:?} cannot be shown"), help);
        }
        text
    });
    Overlay { text, clock: reader.flag("overlay", "clock", false) }
}

pub(super) fn masks(reader: &mut Reader<'_>, video: &Video) -> Vec<Mask> {
    let names = ["x", "y", "width", "height"];
    let mut all = Vec::new();
    for (table, place) in reader.tables("privacy-mask") {
        let found = reader.numbers("privacy-mask", &table, place, names, 0..=3840);
        let missing: Vec<&str> =
            names.into_iter().filter(|name| !table.keys().any(|key| key.get_ref() == name)).collect();
        if !missing.is_empty() {
            let help = "write x, y, width and height, in pixels of the picture of [video] width and height";
            reader.error(Some(place), format!("a privacy-mask without {}", missing.join(" and ")), help);
        }
        let [Some((x, _)), Some((y, _)), Some((width, across)), Some((height, down))] = found else { continue };
        for (name, from, size, most, at) in
            [("width", x, width, video.width, across), ("height", y, height, video.height, down)]
        {
            if size == 0 {
                reader.error(
                    Some(at),
                    format!("a privacy-mask with {name} = 0 hides nothing"),
                    "write a larger one, or remove it",
                );
            } else if from.saturating_add(size) > most {
                let message =
                    format!("a privacy-mask from {from} with {name} = {size} reaches beyond the picture's {most}");
                reader.error(
                    Some(at),
                    message,
                    format!(
                        "write at most {}; masks count pixels of [video] width and height",
                        most.saturating_sub(from)
                    ),
                );
            }
        }
        all.push(Mask { x, y, width, height });
    }
    all
}
