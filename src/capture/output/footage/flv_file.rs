//! Footage as a file that every player opens: FLV (Adobe, Video File Format 10.1, annex E), with the tags that RTMP
//! carries too, encrypted as it is written.

use std::fs::File;
use std::io;

use gstreamer as gst;

use super::age::AgeWriter;
use crate::capture::media::{Frame, Track};
use crate::capture::output::rtmp::{FlvMuxer, FlvTag, StreamBitrates};
use crate::config::AgeRecipient;

/// The file's header, for audio and video, and the size of the tag before the first.
const HEADER: [u8; 13] = [b'F', b'L', b'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0];
/// The type of a tag with metadata.
const SCRIPT_DATA: u8 = 18;
/// `@setDataFrame`, AMF's text of it, which only servers are told.
const SET_DATA_FRAME: usize = 3 + b"@setDataFrame".len();

/// One file, from a keyframe on.
pub(super) struct FlvFile {
    file: AgeWriter<File>,
    muxer: FlvMuxer,
    /// Timestamp of the first tag, which has 0 in the file.
    begin: Option<u32>,
    /// Plain bytes so far.
    pub(super) bytes: u64,
    /// Of the newest frame.
    pub(super) last: gst::ClockTime,
    has_audio: bool,
}

impl FlvFile {
    /// Begins an encrypted file in `file`.
    pub(super) fn new(file: File, recipient: &AgeRecipient, bitrates: StreamBitrates) -> io::Result<Self> {
        let mut file = AgeWriter::new(file, recipient)?;
        file.write(&HEADER)?;
        let has_audio = bitrates.audio_kbps.is_some();
        let (begin, bytes) = (None, HEADER.len() as u64);
        Ok(Self { file, muxer: FlvMuxer::new(bitrates), begin, bytes, last: gst::ClockTime::ZERO, has_audio })
    }

    /// Adds a frame.
    pub(super) fn add(&mut self, frame: &Frame) -> io::Result<()> {
        if frame.track == Track::Audio && !self.has_audio {
            return Ok(());
        }
        let (file, begin, bytes) = (&mut self.file, &mut self.begin, &mut self.bytes);
        let mut result = Ok(());
        self.muxer.mux(frame, |tag| {
            let time = tag.time.saturating_sub(*begin.get_or_insert(tag.time));
            if result.is_ok() {
                result = write_tag(file, &tag, time).map(|length| *bytes += length);
            }
        });
        self.last = self.last.max(frame.buffer.pts().unwrap_or_default());
        result
    }

    /// Ends the file.
    pub(super) fn finish(self) -> io::Result<File> {
        self.file.finish()
    }
}

/// Returns how many bytes it has.
fn write_tag(file: &mut AgeWriter<File>, tag: &FlvTag<'_>, time: u32) -> io::Result<u64> {
    let body = if tag.kind == SCRIPT_DATA { tag.body.get(SET_DATA_FRAME..).unwrap_or_default() } else { tag.body };
    let too_long = |_| io::Error::other("a frame is too long");
    let length = u32::try_from(tag.head.len() + body.len()).map_err(too_long)?;
    let ([_, l1, l2, l3], [t0, t1, t2, t3]) = (length.to_be_bytes(), time.to_be_bytes());
    file.write(&[tag.kind, l1, l2, l3, t1, t2, t3, t0, 0, 0, 0])?;
    file.write(tag.head)?;
    file.write(body)?;
    file.write(&(length + 11).to_be_bytes())?;
    Ok(u64::from(length) + 15)
}
