//! Fuzz targets of capture's own: what encoders and libraries give, and texts that leave it.

use gstreamer as gst;

use super::guard_link::stabilize;
pub(crate) use super::input::camera_process::fuzzing::camera_process;
use super::media::h264::avcc_to_annexb;
use super::media::{Frame, Track};
pub(crate) use super::output::fuzzing::{amf0, flv, rtmp_server, srt_statistics, whip_http, whip_sdp};
use crate::fuzzing::input::Input;

/// Any bytes as a frame with lengths: with start codes it has the same units, in their order.
pub(crate) fn annexb(bytes: &[u8]) {
    gst::init().expect("GStreamer");
    let mut input = Input::new(bytes);
    let (is_key, has_config) = (input.byte() & 1 == 1, input.byte() & 1 == 1);
    let config = input.part().to_vec();
    let data = input.rest();
    let mut buffer = gst::Buffer::from_slice(data.to_vec());
    if let Some(edit) = buffer.get_mut().filter(|_| !is_key) {
        edit.set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    let caps = gst::Caps::builder("video/x-h264").field("codec_data", gst::Buffer::from_slice(config.clone())).build();
    let frame = Frame { track: Track::Video, buffer, caps: has_config.then_some(caps) };
    let Some(found) = avcc_to_annexb(&frame) else { return };
    let mut wanted = Vec::new();
    let mut rest = data;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("32 bits");
        let (unit, behind) = behind.split_at_checked(length).expect("a malformed frame is none");
        wanted.extend([0, 0, 0, 1]);
        wanted.extend(unit);
        rest = behind;
    }
    assert!(rest.is_empty() && found.ends_with(&wanted), "units were changed");
    assert!(found.len() <= wanted.len() + 4 * config.len() + 4, "{} parameter sets", found.len() - wanted.len());
    assert!(is_key || found == wanted);
}

/// Any text of a library: without what differs from one attempt to the next it is the same again.
pub(crate) fn library_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let stable = stabilize(&text);
    assert!(stable.len() <= 3 * text.len());
    assert_eq!(stabilize(&stable), stable, "{text:?}");
    assert!(!stable.contains(['\n', '\t']));
}
