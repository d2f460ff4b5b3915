//! FLV tags as RTMP carries them: one message each, with the timestamp of capture.
//!
//! GStreamer's `flvmux` (up to 1.22) orders all tags by time, across tracks. A picture then waits for its audio, which
//! comes an AAC frame and an encoder's look-ahead later: 29 ms in the median (docs/benchmarks), and for ever if the
//! microphone falls silent. RTMP needs no such order: each track has its own chunk stream.

use gstreamer as gst;

use super::amf::{self, AmfValue};
use super::chunk::message_type::{AMF0_DATA, AUDIO, VIDEO};
use crate::capture::media::{Frame, Track};

/// AAC. FLV always calls it 44 kHz, 16 bit, stereo; the `AudioSpecificConfig` has the real values.
const AAC: u8 = 0xaf;
/// H.264.
const AVC: u8 = 7;
/// `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1) of the audio that every session encodes: AAC-LC, 48 kHz, stereo. It
/// is sent before the first picture, when no audio may have come yet; other audio brings its own.
const AAC_CONFIG: [u8; 2] = [0x11, 0x90];

/// The longest time, in milliseconds, between a picture's decoding and its display.
const MAX_COMPOSITION_TIME: u32 = 0x7f_ffff;

/// The parts of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capture::output) struct FlvTag<'a> {
    /// The message type.
    pub(in crate::capture::output) kind: u8,
    /// Milliseconds.
    pub(in crate::capture::output) time: u32,
    /// The bytes of FLV and of the codec before the frame.
    pub(in crate::capture::output) head: &'a [u8],
    pub(in crate::capture::output) body: &'a [u8],
}

/// What `onMetaData` needs and frames do not have, in kbit/s.
#[derive(Clone, Copy, Debug)]
pub(in crate::capture::output) struct StreamBitrates {
    pub(in crate::capture::output) video_kbps: u32,
    /// `None`: there is no audio.
    pub(in crate::capture::output) audio_kbps: Option<u32>,
}

/// Makes the tags of one connection.
#[derive(Debug)]
pub(in crate::capture::output) struct FlvMuxer {
    bitrates: StreamBitrates,
    sent_metadata: bool,
    avc_config: Option<gst::Buffer>,
    aac_config: Vec<u8>,
}

impl FlvMuxer {
    /// For a connection with picture and, where `audio_kbps` is set, AAC.
    pub(in crate::capture::output) fn new(bitrates: StreamBitrates) -> Self {
        Self { bitrates, sent_metadata: false, avc_config: None, aac_config: Vec::new() }
    }

    /// Passes the tags of a frame to `send`, in order: new metadata and codec configurations, then the frame.
    pub(in crate::capture::output) fn mux(&mut self, frame: &Frame, mut send: impl FnMut(FlvTag<'_>)) {
        let time = timestamp_ms(frame.buffer.dts());
        let structure = frame.caps.as_ref().and_then(|caps| caps.structure(0));
        let config = structure.and_then(|structure| structure.get::<gst::Buffer>("codec_data").ok());
        if frame.track == Track::Video && !self.sent_metadata {
            send(FlvTag { kind: AMF0_DATA, time, head: &[], body: &metadata(structure, self.bitrates) });
        }
        match (frame.track, config) {
            (Track::Video, Some(config)) if self.avc_config.as_ref() != Some(&config) => {
                if let Ok(body) = config.map_readable() {
                    send(FlvTag { kind: VIDEO, time, head: &[0x10 | AVC, 0, 0, 0, 0], body: &body });
                }
                self.avc_config = Some(config);
            }
            (Track::Audio, Some(config)) => {
                if let Ok(body) = config.map_readable() {
                    self.mux_aac_config(time, &body, &mut send);
                }
            }
            (Track::Video | Track::Audio, _) => {}
        }
        if frame.track == Track::Video
            && !std::mem::replace(&mut self.sent_metadata, true)
            && self.bitrates.audio_kbps.is_some()
        {
            self.mux_aac_config(time, &AAC_CONFIG, &mut send);
        }
        // Before either of them wraps. It has 24 bits, of which one is a sign.
        let delay = milliseconds(frame.buffer.pts()).saturating_sub(milliseconds(frame.buffer.dts()));
        let delay = u32::try_from(delay).unwrap_or(u32::MAX).min(MAX_COMPOSITION_TIME).to_be_bytes();
        let (kind, head): (u8, &[u8]) = match frame.track {
            Track::Video => {
                (VIDEO, &[if frame.is_keyframe() { 0x10 | AVC } else { 0x20 | AVC }, 1, delay[1], delay[2], delay[3]])
            }
            Track::Audio => (AUDIO, &[AAC, 1]),
        };
        if let Ok(body) = frame.buffer.map_readable() {
            send(FlvTag { kind, time, head, body: &body });
        }
    }

    fn mux_aac_config(&mut self, time: u32, config: &[u8], send: &mut impl FnMut(FlvTag<'_>)) {
        if self.aac_config != config {
            send(FlvTag { kind: AUDIO, time, head: &[AAC, 0], body: config });
            self.aac_config = config.to_vec();
        }
    }
}

/// A time in milliseconds; 0 where there is none.
fn milliseconds(time: Option<gst::ClockTime>) -> u64 {
    time.map_or(0, gst::ClockTime::mseconds)
}

/// A timestamp in milliseconds. It wraps after 49 days, long after the longest session.
fn timestamp_ms(time: Option<gst::ClockTime>) -> u32 {
    u32::try_from(milliseconds(time) & 0xffff_ffff).unwrap_or(0)
}

/// `onMetaData` with the fields that OBS sends: what servers and players need before the first frame.
fn metadata(video: Option<&gst::StructureRef>, bitrates: StreamBitrates) -> Vec<u8> {
    let number = |field: &str| video.and_then(|video| video.get::<i32>(field).ok()).map(f64::from);
    let rate = video.and_then(|video| video.get::<gst::Fraction>("framerate").ok());
    // A camera with a variable rate reports 0.
    let rate = rate.filter(|rate| rate.numer() > 0).map(|rate| f64::from(rate.numer()) / f64::from(rate.denom()));
    let video = [
        ("duration", Some(0.0)),
        ("fileSize", Some(0.0)),
        ("width", number("width")),
        ("height", number("height")),
        ("videocodecid", Some(f64::from(AVC))),
        ("videodatarate", Some(f64::from(bitrates.video_kbps))),
        ("framerate", rate),
    ];
    let audio = bitrates.audio_kbps.map(|kbps| {
        [
            ("audiocodecid", 10.0),
            ("audiodatarate", f64::from(kbps)),
            ("audiosamplerate", 48_000.0),
            ("audiosamplesize", 16.0),
            ("audiochannels", 2.0),
        ]
    });
    let numbers = video.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let numbers = numbers.chain(audio.into_iter().flatten()).map(|(name, value)| (name, AmfValue::Number(value)));
    let others = [("stereo", AmfValue::Boolean(true)), ("encoder", AmfValue::text("tallybox"))];
    let others = others.into_iter().filter(|(name, _)| *name != "stereo" || bitrates.audio_kbps.is_some());
    let all: Vec<_> = numbers.chain(others).map(|(name, value)| (name.to_owned(), value)).collect();
    amf::metadata(&all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const BITRATES: StreamBitrates = StreamBitrates { video_kbps: 2500, audio_kbps: Some(128) };

    fn frame(track: Track, millis: u64, key: bool, config: &[u8]) -> Frame {
        gst::init().unwrap();
        let mut buffer = gst::Buffer::from_mut_slice(vec![1, 2, 3]);
        let edit = buffer.get_mut().unwrap();
        edit.set_dts(gst::ClockTime::from_mseconds(millis));
        edit.set_pts(gst::ClockTime::from_mseconds(millis + 40));
        if !key {
            edit.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        let caps = gst::Caps::builder("video/x-h264")
            .field("width", 1280)
            .field("codec_data", gst::Buffer::from_slice(config.to_vec()));
        Frame { track, buffer, caps: Some(caps.build()) }
    }

    /// Type, timestamp and bytes of each tag.
    fn tags(flv: &mut FlvMuxer, frame: &Frame) -> Vec<(u8, u32, Vec<u8>)> {
        let mut all = Vec::new();
        flv.mux(frame, |tag| all.push((tag.kind, tag.time, [tag.head, tag.body].concat())));
        all
    }

    #[test]
    fn a_connection_begins_with_all_that_a_decoder_needs_for_both_tracks() {
        let mut flv = FlvMuxer::new(BITRATES);
        let first = tags(&mut flv, &frame(Track::Video, 0x0102_0304, true, b"cfg"));
        assert_eq!(
            first.iter().map(|tag| (tag.0, tag.1)).collect::<Vec<_>>(),
            [18, 9, 8, 9].map(|kind| (kind, 0x0102_0304))
        );
        let said = amf::decode(&first[0].2);
        assert_eq!(said[..2], [AmfValue::text("@setDataFrame"), AmfValue::text("onMetaData")]);
        for (field, value) in
            [("width", 1280.0), ("videodatarate", 2500.0), ("audiocodecid", 10.0), ("audiosamplerate", 48_000.0)]
        {
            assert_eq!(said[2].get(field), Some(&AmfValue::Number(value)), "{field}");
        }
        assert_eq!(first[1].2, [0x17, 0, 0, 0, 0, b'c', b'f', b'g']);
        assert_eq!(first[2].2, [0xaf, 0, 0x11, 0x90]);
        assert_eq!(first[3].2, [0x17, 1, 0, 0, 40, 1, 2, 3]);
        assert_eq!(tags(&mut flv, &frame(Track::Audio, 5, true, &AAC_CONFIG)), [(8, 5, vec![0xaf, 1, 1, 2, 3])]);
        let next = tags(&mut flv, &frame(Track::Video, 40, false, b"cfg"));
        assert_eq!((next.len(), next[0].2[0]), (1, 0x27), "no more than the frame");
    }

    #[test]
    fn the_metadata_is_what_the_privacy_report_lists() {
        let said = amf::decode(&tags(&mut FlvMuxer::new(BITRATES), &frame(Track::Video, 0, true, b"cfg"))[0].2);
        let AmfValue::Object(fields) = &said[2] else { panic!("{said:?}") };
        let sent: BTreeSet<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        let parts = crate::privacy::parts();
        let names = parts.iter().flat_map(|part| &part.data).map(|datum| datum.name.as_str());
        let listed: BTreeSet<&str> = names.filter_map(|name| name.strip_prefix("rtmp.metadata.")).collect();
        assert!(sent.is_subset(&listed), "{sent:?}");
        // This frame has no caps for them.
        assert_eq!(&listed - &sent, ["framerate", "height"].into());
    }

    #[test]
    fn a_picture_is_as_late_as_before_when_its_timestamp_wraps() {
        let all = tags(&mut FlvMuxer::new(BITRATES), &frame(Track::Video, u64::from(u32::MAX) - 10, true, b"cfg"));
        let last = all.last().unwrap();
        assert_eq!((last.1, &last.2[2..5]), (u32::MAX - 10, &[0, 0, 40][..]));
    }

    #[test]
    fn a_configuration_that_changed_is_sent_again() {
        let mut flv = FlvMuxer::new(BITRATES);
        tags(&mut flv, &frame(Track::Video, 0, true, b"cfg"));
        assert_eq!(tags(&mut flv, &frame(Track::Video, 80, true, b"new"))[0].2[5..], *b"new");
        assert_eq!(tags(&mut flv, &frame(Track::Audio, 80, true, b"aac"))[0].2, [0xaf, 0, b'a', b'a', b'c']);
    }

    #[test]
    fn without_sound_nothing_is_said_of_any() {
        let all = tags(
            &mut FlvMuxer::new(StreamBitrates { audio_kbps: None, ..BITRATES }),
            &frame(Track::Video, 0, true, b"cfg"),
        );
        assert_eq!(all.iter().map(|tag| tag.0).collect::<Vec<_>>(), [18, 9, 9]);
        let Some(AmfValue::Object(fields)) = amf::decode(&all[0].2).into_iter().nth(2) else { panic!("no metadata") };
        assert!(fields.iter().all(|(name, _)| !name.contains("audio") && name != "stereo"), "{fields:?}");
    }
}
