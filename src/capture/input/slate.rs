//! The picture that is sent while the camera is lost. Its text is a bitmap here: a text element would need fonts, and
//! time to find them.

use gstreamer as gst;
use gstreamer_video as gst_video;

/// The text, one character for each of its points.
const TEXT: [&str; 16] = [
    "                   ####  ###  #   # ##### ####   ###",
    "                  #     #   # ## ## #     #   # #   #",
    "                  #     #   # # # # #     #   # #   #",
    "                  #     ##### # # # ####  ####  #####",
    "                  #     #   # #   # #     # #   #   #",
    "                  #     #   # #   # #     #  #  #   #",
    "                   #### #   # #   # ##### #   # #   #",
    "",
    "",
    "####   ###   ####  ####  ###  #   # #   # #####  #### ##### ##### ####",
    "#   #   #   #     #     #   # ##  # ##  # #     #       #   #     #   #",
    "#   #   #   #     #     #   # # # # # # # #     #       #   #     #   #",
    "#   #   #    ###  #     #   # #  ## #  ## ####  #       #   ####  #   #",
    "#   #   #       # #     #   # #   # #   # #     #       #   #     #   #",
    "#   #   #       # #     #   # #   # #   # #     #       #   #     #   #",
    "####   ###  ####   ####  ###  #   # #   # #####  ####   #   ##### ####",
];
/// Columns of the longest line.
const COLUMNS: usize = 71;
/// Dark grey with light grey text, so that nobody takes it for a fault of the screen.
const BACKGROUND_LUMA: u8 = 48;
const TEXT_LUMA: u8 = 200;
/// Chroma of grey.
const NEUTRAL_CHROMA: u8 = 128;

/// The slate in the size of `caps`, which are I420. `None`: there is no memory for it.
pub(super) fn render(caps: &gst::Caps) -> Option<gst::Buffer> {
    let info = gst_video::VideoInfo::from_caps(caps).ok()?;
    let buffer = gst::Buffer::with_size(info.size()).ok()?;
    let mut frame = gst_video::VideoFrame::from_buffer_writable(buffer, &info).ok()?;
    for (plane, value) in [(0, BACKGROUND_LUMA), (1, NEUTRAL_CHROMA), (2, NEUTRAL_CHROMA)] {
        frame.plane_data_mut(plane).ok()?.fill(value);
    }
    let (width, height) = (info.width() as usize, info.height() as usize);
    let stride = usize::try_from(info.stride()[0]).ok()?;
    // The text takes three quarters of the width.
    let scale = (width * 3 / 4 / COLUMNS).max(1);
    let (left, top) = (width.saturating_sub(COLUMNS * scale) / 2, height.saturating_sub(TEXT.len() * scale) / 2);
    let luma = frame.plane_data_mut(0).ok()?;
    for (row, line) in TEXT.iter().enumerate() {
        for (column, _) in line.bytes().enumerate().filter(|(_, mark)| *mark == b'#') {
            for y in (top + row * scale..top + (row + 1) * scale).take_while(|y| *y < height) {
                let from = (left + column * scale).min(width);
                let to = (from + scale).min(width);
                luma[y * stride + from..y * stride + to].fill(TEXT_LUMA);
            }
        }
    }
    Some(frame.into_buffer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_visible_in_every_size() {
        gst::init().unwrap();
        for (width, height) in [(16, 16), (18, 100), (640, 360), (1282, 722), (3840, 2160)] {
            let caps = gst::Caps::builder("video/x-raw").field("format", "I420").field("width", width);
            let buffer = render(&caps.field("height", height).build()).unwrap();
            let map = buffer.map_readable().unwrap();
            let text_pixels = map.iter().fold(0, |count, value| count + i32::from(*value == TEXT_LUMA));
            assert!(text_pixels > 0, "{width}x{height}");
            if width > 600 {
                let all = width * height;
                assert!(text_pixels * 50 > all && text_pixels * 5 < all, "{width}x{height}: {text_pixels} of {all}");
            }
        }
    }
}
