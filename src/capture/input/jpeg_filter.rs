//! Drops what a camera sends in place of a JPEG, ahead of the decoder.
//!
//! GStreamer's `jpegdec` looks for a picture's end in the bytes behind it, also where a camera gives one picture in
//! each buffer. A header that is broken therefore takes whole pictures with it: up to 64 KiB, the most that a segment
//! says it has.

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::error::CaptureError;

/// Second bytes of markers (ITU-T T.81, table B.1).
mod marker {
    pub(super) const START_OF_IMAGE: u8 = 0xd8;
    pub(super) const START_OF_SCAN: u8 = 0xda;
    /// Those that have no segment: restarts, start and end of an image, and one for private use.
    pub(super) const WITHOUT_SEGMENT: [core::ops::RangeInclusive<u8>; 2] = [0xd0..=0xd9, 0x00..=0x01];
}

/// Drops the pictures of `source` that are said to be JPEGs and whose headers are not whole.
pub(super) fn drop_broken_jpegs(source: &gst::Element) -> Result<(), CaptureError> {
    let pad = source.static_pad("src").ok_or_else(|| CaptureError::internal("a camera without a pad"))?;
    pad.add_probe(gst::PadProbeType::BUFFER, |pad, info| {
        let is_whole = |buffer: &gst::Buffer| buffer.map_readable().is_ok_and(|bytes| has_whole_header(&bytes));
        let is_broken = gives_jpegs(pad) && info.buffer().is_some_and(|buffer| !is_whole(buffer));
        if is_broken { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
    });
    Ok(())
}

fn gives_jpegs(pad: &gst::Pad) -> bool {
    pad.current_caps().is_some_and(|caps| caps.structure(0).is_some_and(|structure| structure.name() == "image/jpeg"))
}

/// Whether all segments ahead of the picture's data are there. Of the data a part may be missing: what is there is
/// shown.
fn has_whole_header(picture: &[u8]) -> bool {
    let Some(mut rest) = picture.strip_prefix(&[0xff, marker::START_OF_IMAGE]) else { return false };
    while let Some((kind, segment)) = next_marker(rest) {
        if marker::WITHOUT_SEGMENT.iter().any(|range| range.contains(&kind)) {
            return false;
        }
        let length = segment.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
        let Some(behind) = length.filter(|length| *length >= 2).and_then(|length| segment.get(length..)) else {
            return false;
        };
        if kind == marker::START_OF_SCAN {
            return true;
        }
        rest = behind;
    }
    false
}

/// The marker that `bytes` begin with, and what is behind it. Any number of 0xff may precede one.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let filled = bytes.strip_prefix(&[0xff])?;
    let at = filled.iter().position(|byte| *byte != 0xff)?;
    Some((filled[at], &filled[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] =
        &[0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xc0, 0, 3, 8, 0xff, 0xda, 0, 2, 7, 7, 0xff, 0xd9];

    #[test]
    fn a_header_is_whole_up_to_the_data() {
        let header = JPEG.len() - 4;
        for end in 0..=JPEG.len() {
            assert_eq!(has_whole_header(&JPEG[..end]), end >= header, "{end}");
        }
    }

    #[test]
    fn what_is_no_header_is_none() {
        for (at, byte) in [(0, 0), (1, 0xd9), (2, 0xfe), (3, 0xd9), (3, 0), (4, 0xff), (5, 1), (8, 0), (10, 0xd0)] {
            let mut broken = JPEG.to_vec();
            broken[at] = byte;
            assert!(!has_whole_header(&broken), "{byte:#x} at {at}");
        }
    }
}
