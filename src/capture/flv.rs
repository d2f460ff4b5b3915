//! FLV tags, as RTMP carries them: one buffer each, with the time that capture gave them.
//!
//! GStreamer's own `flvmux` (up to 1.22) never lets a tag be older than the one before it, of whatever track. A picture
//! then waits for the sound that belongs to it, which comes a whole AAC frame and an encoder's look-ahead later: 29 ms
//! in the median (docs/benchmarks.md), and for ever if the microphone falls silent. RTMP wants no such order: each
//! track has a chunk stream of its own.

use gstreamer as gst;

use super::queue::{Frame, Track};

/// Script data, in front of everything.
const SCRIPT: u8 = 18;
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
/// AAC, which FLV always calls 44 kHz, 16 bit, stereo; the truth is in its configuration.
const AAC: u8 = 0xaf;
/// H.264.
const AVC: u8 = 7;

/// Makes the tags of one connection.
#[derive(Debug)]
pub(super) struct Flv {
    sound: bool,
    metadata: bool,
    video: Option<gst::Buffer>,
    audio: Option<gst::Buffer>,
}

impl Flv {
    /// For a connection that carries a picture and, with `sound`, AAC.
    pub(super) fn new(sound: bool) -> Self {
        Self { sound, metadata: false, video: None, audio: None }
    }

    /// The tags for a frame, in order: what a decoder needs first, if it is new, then the frame itself.
    pub(super) fn tags(&mut self, frame: &Frame) -> Vec<gst::Buffer> {
        let mut tags = Vec::new();
        let at = millis(frame.buffer.dts());
        let structure = frame.caps.as_ref().and_then(|caps| caps.structure(0));
        if frame.track == Track::Video && !std::mem::replace(&mut self.metadata, true) {
            tags.push(tag(SCRIPT, at, &metadata(structure, self.sound), &[]));
        }
        let config = structure.and_then(|structure| structure.get::<gst::Buffer>("codec_data").ok());
        let known = match frame.track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        };
        if let Some(config) = config
            && known.as_ref() != Some(&config)
        {
            let head: &[u8] = match frame.track {
                Track::Video => &[0x10 | AVC, 0, 0, 0, 0],
                Track::Audio => &[AAC, 0],
            };
            tags.extend(tag_of(frame.track, at, head, &config));
            *known = Some(config);
        }
        let delay = millis(frame.buffer.pts()).saturating_sub(at).to_be_bytes();
        let head: &[u8] = match frame.track {
            Track::Video => {
                &[if frame.is_keyframe() { 0x10 | AVC } else { 0x20 | AVC }, 1, delay[1], delay[2], delay[3]]
            }
            Track::Audio => &[AAC, 1],
        };
        tags.extend(tag_of(frame.track, at, head, &frame.buffer));
        if let (Some(last), Some(pts)) = (tags.last_mut().and_then(gst::Buffer::get_mut), frame.buffer.pts()) {
            last.set_pts(pts);
        }
        tags
    }
}

const fn kind(track: Track) -> u8 {
    match track {
        Track::Video => VIDEO,
        Track::Audio => AUDIO,
    }
}

/// Milliseconds as FLV counts them; they begin anew after 49 days, long after the longest session.
fn millis(time: Option<gst::ClockTime>) -> u32 {
    time.map_or(0, |time| u32::try_from(time.mseconds() & 0xffff_ffff).unwrap_or(0))
}

fn tag_of(track: Track, at: u32, head: &[u8], buffer: &gst::Buffer) -> Option<gst::Buffer> {
    let map = buffer.map_readable().ok()?;
    Some(tag(kind(track), at, head, map.as_slice()))
}

/// Header of 11 bytes, `head` and `body`, and the length of all three.
fn tag(kind: u8, at: u32, head: &[u8], body: &[u8]) -> gst::Buffer {
    // A frame has at most 8 MiB, the bound of the queue: fits 24 bits.
    let size = u32::try_from(head.len() + body.len()).unwrap_or(0);
    let (length, time) = (size.to_be_bytes(), at.to_be_bytes());
    let mut bytes = Vec::with_capacity(head.len() + body.len() + 15);
    bytes.extend([kind, length[1], length[2], length[3], time[1], time[2], time[3], time[0], 0, 0, 0]);
    bytes.extend(head);
    bytes.extend(body);
    bytes.extend((size + 11).to_be_bytes());
    gst::Buffer::from_mut_slice(bytes)
}

/// `onMetaData` in AMF0: what servers and players want to know before the first frame.
fn metadata(video: Option<&gst::StructureRef>, sound: bool) -> Vec<u8> {
    let number = |field: &str| video.and_then(|video| video.get::<i32>(field).ok()).map(f64::from);
    let rate = video.and_then(|video| video.get::<gst::Fraction>("framerate").ok());
    // A camera whose rate varies tells 0.
    let rate = rate.filter(|rate| rate.numer() > 0).map(|rate| f64::from(rate.numer()) / f64::from(rate.denom()));
    let fields = [
        ("width", number("width")),
        ("height", number("height")),
        ("framerate", rate),
        ("videocodecid", Some(f64::from(AVC))),
        ("audiocodecid", sound.then_some(10.0)),
    ];
    let known: Vec<(&str, f64)> = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let mut bytes = vec![2];
    name(&mut bytes, "onMetaData");
    bytes.push(8);
    bytes.extend(u32::try_from(known.len()).unwrap_or(0).to_be_bytes());
    for (field, value) in known {
        name(&mut bytes, field);
        bytes.push(0);
        bytes.extend(value.to_be_bytes());
    }
    bytes.extend([0, 0, 9]);
    bytes
}

fn name(bytes: &mut Vec<u8>, name: &str) {
    bytes.extend(u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn bytes(buffers: &[gst::Buffer]) -> Vec<Vec<u8>> {
        buffers.iter().map(|buffer| buffer.map_readable().unwrap().to_vec()).collect()
    }

    #[test]
    fn a_connection_begins_with_what_a_decoder_needs() {
        let mut flv = Flv::new(true);
        let tags = bytes(&flv.tags(&frame(Track::Video, 0x0102_0304, true, b"cfg")));
        assert_eq!(tags.len(), 3);
        assert_eq!(tags[0][0], SCRIPT);
        assert!(tags[0].windows(12).any(|part| part == b"audiocodecid"));
        assert_eq!(tags[1], [9, 0, 0, 8, 2, 3, 4, 1, 0, 0, 0, 0x17, 0, 0, 0, 0, b'c', b'f', b'g', 0, 0, 0, 19]);
        assert_eq!(tags[2], [9, 0, 0, 8, 2, 3, 4, 1, 0, 0, 0, 0x17, 1, 0, 0, 40, 1, 2, 3, 0, 0, 0, 19]);
        let tags = bytes(&flv.tags(&frame(Track::Audio, 5, true, b"aac")));
        assert_eq!(tags[0][11..16], [0xaf, 0, b'a', b'a', b'c']);
        assert_eq!(tags[1], [8, 0, 0, 5, 0, 0, 5, 0, 0, 0, 0, 0xaf, 1, 1, 2, 3, 0, 0, 0, 16]);
        let tags = bytes(&flv.tags(&frame(Track::Video, 40, false, b"cfg")));
        assert_eq!((tags.len(), tags[0][11]), (1, 0x27), "no more than the frame");
        let tags = bytes(&flv.tags(&frame(Track::Video, 80, true, b"new")));
        assert_eq!(tags.len(), 2, "a configuration that changed is sent again");
    }
}
