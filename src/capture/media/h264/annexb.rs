//! From H.264 with length prefixes (ISO/IEC 14496-15), as the encoders give it here, to H.264 with start codes (ITU-T
//! H.264, Annex B), as MPEG-TS and the RTP packetizer take it.

use gstreamer as gst;

use crate::capture::media::Frame;

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// NAL unit type of a sequence parameter set.
const SPS: u8 = 7;

/// The frame with start codes; `None` if it is malformed. A keyframe gets the parameter sets in front: a decoder needs
/// them.
pub(crate) fn avcc_to_annexb(frame: &Frame) -> Option<Vec<u8>> {
    let map = frame.buffer.map_readable().ok()?;
    let units = nal_units(&map)?;
    let mut bytes = Vec::with_capacity(map.len() + 64);
    if frame.is_keyframe() && !units.iter().any(|unit| nal_unit_type(unit) == SPS) {
        let structure = frame.caps.as_ref().and_then(|caps| caps.structure(0));
        let config = structure.and_then(|structure| structure.get::<gst::Buffer>("codec_data").ok())?;
        let config = config.map_readable().ok()?;
        for unit in parameter_sets(&config)? {
            bytes.extend(START_CODE);
            bytes.extend(unit);
        }
    }
    for unit in units {
        bytes.extend(START_CODE);
        bytes.extend(unit);
    }
    Some(bytes)
}

fn nal_unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |first| first & 0x1f)
}

fn take<'a>(bytes: &mut &'a [u8], at: usize) -> Option<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(at)?;
    *bytes = rest;
    Some(first)
}

/// NAL units, each after a length of four bytes: the length that `h264parse` writes.
fn nal_units(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut units = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(take(&mut bytes, 4)?.try_into().ok()?);
        units.push(take(&mut bytes, usize::try_from(length).ok()?)?);
    }
    Some(units)
}

/// The parameter sets in an avcC record (ISO/IEC 14496-15, 5.3.3.1.2).
fn parameter_sets(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut sets = Vec::new();
    let head = take(&mut bytes, 6)?;
    let mut count = head[5] & 0x1f;
    for _ in 0..2 {
        for _ in 0..count {
            let length = u16::from_be_bytes(take(&mut bytes, 2)?.try_into().ok()?);
            sets.push(take(&mut bytes, length.into())?);
        }
        // The picture parameter sets follow the sequence parameter sets.
        count = bytes.first().copied().unwrap_or(0);
        bytes = bytes.get(1..).unwrap_or_default();
    }
    Some(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::media::Track;

    fn frame(key: bool, bytes: &[u8]) -> Frame {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::from_slice(bytes.to_vec());
        if !key {
            buffer.get_mut().unwrap().set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        let config = [1, 66, 0xe0, 31, 0xff, 0xe1, 0, 2, 0x67, 9, 1, 0, 1, 0x68];
        let caps = gst::Caps::builder("video/x-h264").field("codec_data", gst::Buffer::from_slice(config));
        Frame { track: Track::Video, buffer, caps: Some(caps.build()) }
    }

    #[test]
    fn lengths_become_start_codes() {
        let delta = avcc_to_annexb(&frame(false, &[0, 0, 0, 2, 0x41, 5, 0, 0, 0, 1, 0x41])).unwrap();
        assert_eq!(delta, [0, 0, 0, 1, 0x41, 5, 0, 0, 0, 1, 0x41]);
    }

    #[test]
    fn a_keyframe_gets_its_parameter_sets() {
        let key = avcc_to_annexb(&frame(true, &[0, 0, 0, 2, 0x65, 5])).unwrap();
        assert_eq!(key, [0, 0, 0, 1, 0x67, 9, 0, 0, 0, 1, 0x68, 0, 0, 0, 1, 0x65, 5]);
    }

    #[test]
    fn a_keyframe_with_parameter_sets_gets_no_others() {
        let whole = avcc_to_annexb(&frame(true, &[0, 0, 0, 1, 0x67, 0, 0, 0, 1, 0x65])).unwrap();
        assert_eq!(whole, [0, 0, 0, 1, 0x67, 0, 0, 0, 1, 0x65]);
    }

    #[test]
    fn a_truncated_frame_is_refused() {
        for bytes in [&[0, 0][..], &[0, 0, 0, 9, 1]] {
            assert_eq!(avcc_to_annexb(&frame(false, bytes)), None);
        }
    }
}
