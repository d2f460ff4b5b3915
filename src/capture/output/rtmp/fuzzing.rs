//! Fuzz targets: whatever an RTMP server says, and FLV as we write it.

use gstreamer as gst;

use super::amf::{self, AmfValue};
use super::chunk::{self, ChunkReader, MessageHeader};
use super::endpoint::RtmpEndpoint;
use super::flv::{FlvMuxer, FlvTag, StreamBitrates};
use super::session::{RtmpSession, SessionEnd};
use crate::capture::media::{Frame, Track};
use crate::config::Host;
use crate::fuzzing::input::Input;
use crate::fuzzing::oracle::{CANARY, allowed_destinations, assert_no_secret, assert_told};

fn endpoint() -> RtmpEndpoint {
    RtmpEndpoint {
        tls: false,
        host: Host::parse("push.example.cn").expect("a host"),
        port: 1935,
        application: "live".to_owned(),
        stream: CANARY.to_owned(),
        login: Some(("box".to_owned(), format!("{CANARY}-2"))),
        auth_query: String::new(),
    }
}

/// A server's half of a session, however it is cut, through a redirect and an authentication where it asks for them.
pub(crate) fn server(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (portion, has_handshake) = (1 + usize::from(input.byte()), input.byte() & 1 == 1);
    let mut session = RtmpSession::new(endpoint());
    let mut said = if has_handshake { [&[3][..], &[0; 3072]].concat() } else { Vec::new() };
    said.extend(input.rest());
    let mut answered = 0;
    for part in said.chunks(portion.max(said.len() / 64)) {
        if let Err(end) = session.receive(part) {
            return ended(end);
        }
        answered += session.pending_bytes();
        session.output().clear();
    }
    answered += session.pending_bytes();
    // C1, C2, and commands for each step; then no more than an answer for each short message.
    assert!(answered <= 8192 + 8 * said.len(), "{answered} bytes answer {}", said.len());
    let error = session.error_on_close();
    assert_told(&error.reason);
    assert_no_secret(&error.reason);
}

fn ended(end: SessionEnd) {
    match end {
        SessionEnd::Failed(error) => {
            assert_told(&error.reason);
            assert_no_secret(&error.reason);
        }
        SessionEnd::Authenticate(query) => {
            // User and hashes; the password itself never leaves the box.
            assert_no_secret(&query);
            assert!(query.starts_with('?') && !query.chars().any(char::is_control), "{query:?}");
        }
        SessionEnd::Redirect(url) => match endpoint().redirected(&url, &allowed_destinations()) {
            Ok(to) => {
                assert!(to.host.as_str().ends_with(".example.cn") && to.stream == CANARY, "{url}");
                assert!(to.auth_query.is_empty() && !to.application.is_empty());
            }
            Err(error) => {
                assert_told(&error.reason);
                assert_no_secret(&error.reason);
            }
        },
    }
}

/// Any bytes as AMF0. What was read is written, and read as the same.
pub(crate) fn amf0(bytes: &[u8]) {
    let values = amf::decode(bytes);
    assert!(values.len() <= bytes.len());
    let written = amf::encode(&values);
    // Texts that are no UTF-8 grow to three bytes for one.
    assert!(written.len() <= 3 * bytes.len() + 8, "{} of {}", written.len(), bytes.len());
    let again = amf::decode(&written);
    // Not a number is equal to nothing.
    if !format!("{values:?}").contains("NaN") && !has_long_name(&values) {
        assert_eq!(again, values);
    }
}

/// Names that grew beyond what a name can have: none of ours has so many letters.
fn has_long_name(values: &[AmfValue]) -> bool {
    values.iter().any(|value| match value {
        AmfValue::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.len() > usize::from(u16::MAX) || has_long_name(std::slice::from_ref(value))),
        AmfValue::Number(_) | AmfValue::Boolean(_) | AmfValue::String(_) | AmfValue::Null => false,
    })
}

/// A frame of these bytes, with these times in milliseconds.
fn frame(track: Track, [dts, pts]: [u64; 2], key: bool, data: &[u8], config: Option<&[u8]>) -> Frame {
    let mut buffer = gst::Buffer::from_slice(data.to_vec());
    if let Some(edit) = buffer.get_mut() {
        edit.set_dts(gst::ClockTime::from_mseconds(dts));
        edit.set_pts(gst::ClockTime::from_mseconds(pts));
        if !key {
            edit.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
    }
    let caps = config.map(|config| {
        let config = gst::Buffer::from_slice(config.to_vec());
        gst::Caps::builder("video/x-h264").field("codec_data", config).field("width", 640_i32).build()
    });
    Frame { track, buffer, caps }
}

/// Frames of any content and time: what a demuxer makes of our tags is the frames again, and chunks carry the tags.
pub(crate) fn flv(bytes: &[u8]) {
    gst::init().expect("GStreamer");
    let mut input = Input::new(bytes);
    let has_audio = input.byte() & 1 == 1;
    let bitrates = StreamBitrates { video_kbps: 2500, audio_kbps: has_audio.then_some(128) };
    let chunk_size = 1 + usize::from(input.byte()) * 16;
    let (mut muxer, mut wire) = (FlvMuxer::new(bitrates), Vec::new());
    let size = u32::try_from(chunk_size).unwrap_or(128).to_be_bytes();
    let header = |chunk_stream, time, kind| MessageHeader { chunk_stream, time, kind, stream: 1 };
    chunk::write(&mut wire, 128, header(2, 0, chunk::message_type::SET_CHUNK_SIZE), &[&size]);
    let mut written: Vec<(u8, Vec<u8>)> = Vec::new();
    while !input.is_empty() && written.len() < 64 {
        let what = input.byte();
        let track = if what & 1 == 1 { Track::Audio } else { Track::Video };
        let (dts, delay) = (input.number() >> 30, u64::from(input.byte()));
        let config = (what & 2 == 2).then(|| input.part());
        let data = input.part();
        let (before, key) = (written.len(), what & 4 == 4);
        muxer.mux(&frame(track, [dts, dts + delay], key, data, config), |FlvTag { kind, time, head, body }| {
            assert_eq!(u64::from(time), dts & 0xffff_ffff);
            chunk::write(&mut wire, chunk_size, header(4 + kind % 4, time, kind), &[head, body]);
            written.push((kind, [head, body].concat()));
        });
        demuxed(&written[before..], track, key, delay, data);
    }
    let (mut reader, mut read) = (ChunkReader::default(), Vec::new());
    reader.feed(&wire);
    while let Some(message) = reader.next().expect("chunks of our own") {
        read.push((message.kind, message.body));
    }
    assert_eq!(read, written);
}

/// The last tag of a frame as a demuxer reads it (Video File Format 10.1, annexes E.4.2 and E.4.3).
fn demuxed(tags: &[(u8, Vec<u8>)], track: Track, key: bool, delay: u64, data: &[u8]) {
    let (kind, tag) = tags.last().expect("a tag for each frame");
    match track {
        Track::Audio => {
            assert_eq!((*kind, &tag[..2], &tag[2..]), (chunk::message_type::AUDIO, &[0xaf, 1][..], data));
        }
        Track::Video => {
            let composition = u64::from(tag[2]) << 16 | u64::from(tag[3]) << 8 | u64::from(tag[4]);
            assert_eq!((*kind, tag[0] & 0x0f, tag[1], composition), (chunk::message_type::VIDEO, 7, 1, delay));
            assert_eq!((tag[0] >> 4 == 1, &tag[5..]), (key, data));
        }
    }
    for (kind, tag) in tags.iter().filter(|(kind, _)| *kind == chunk::message_type::AMF0_DATA) {
        let values = amf::decode(tag);
        assert_eq!((*kind, values.len(), values[1].as_str()), (18, 3, Some("onMetaData")));
    }
}
