//! What capture and a camera's process say to each other. Capture writes one [`Request`]. The child answers with
//! records: a header, and as many bytes as that says. Capture takes nothing that the child says on trust: the child
//! parses what a camera sends.

use std::io::{BufRead, Write};

use gstreamer as gst;
use gstreamer_video as gst_video;
use serde::{Deserialize, Serialize};

use crate::config::{Crop, Encoder, Video, VideoSource};

/// Bytes ahead of each record: its kind and three zeros, the length of what follows (4 bytes), and a running time in
/// nanoseconds (8 bytes), which is 0 but for pictures. Numbers are little-endian.
pub(super) const HEADER: usize = 16;
/// The longest text of a record, in bytes. A sentence of ours with a library's error text has some hundred.
pub(super) const MAX_TEXT: usize = 1024;
/// The longest request, in bytes. It has some ten numbers.
const MAX_REQUEST: u64 = 1024;
/// What is skipped at once, in bytes: what a pipe has by default.
const SKIPPED_AT_ONCE: usize = 64 * 1024;

const PICTURE: u8 = 1;
const FORMAT: u8 = 2;
const FAILURE: u8 = 3;

/// What capture wants. There is nothing secret in it, and no place on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// The session's start on the system's monotonic clock, in nanoseconds.
    base: u64,
    width: u32,
    height: u32,
    fps: u32,
    rotation: u32,
    mirror: bool,
    /// Percent from the left, right, top and bottom.
    crop: [u32; 4],
}

impl Request {
    pub(super) fn new(video: &Video, base: gst::ClockTime) -> Self {
        let Crop { left, right, top, bottom } = video.crop;
        Self {
            base: base.nseconds(),
            width: video.width,
            height: video.height,
            fps: video.fps,
            rotation: video.rotation,
            mirror: video.mirror,
            crop: [left, right, top, bottom],
        }
    }

    pub(super) fn base(&self) -> gst::ClockTime {
        gst::ClockTime::from_nseconds(self.base)
    }

    /// The camera's settings. Those of the encoder, which is not the child's, have no meaning in it.
    pub(super) fn video(&self) -> Video {
        let [left, right, top, bottom] = self.crop;
        Video {
            source: VideoSource::Libcamera,
            device: std::path::PathBuf::new(),
            width: self.width,
            height: self.height,
            fps: self.fps,
            encoder: Encoder::Auto,
            bitrate_kbps: 0,
            adaptive: false,
            min_bitrate_kbps: 0,
            keyframe_interval: core::time::Duration::from_secs(1),
            rotation: self.rotation,
            mirror: self.mirror,
            crop: Crop { left, right, top, bottom },
        }
    }

    /// Writes it as one line of JSON.
    pub(super) fn write(&self, mut to: impl Write) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line)
    }

    /// Reads one line.
    pub(super) fn read(from: impl BufRead) -> std::io::Result<Self> {
        let mut line = Vec::new();
        from.take(MAX_REQUEST).read_until(b'\n', &mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }
}

/// How the pictures are, ahead of the first of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PictureFormat {
    /// Pictures in so many seconds; `None`: the camera names no rate.
    pub(super) rate: Option<(i32, i32)>,
    /// By GStreamer's name; `None`: the usual one for the size.
    pub(super) colorimetry: Option<String>,
    /// The camera's own mode, in words.
    pub(super) mode: Option<String>,
}

impl PictureFormat {
    /// `caps` with what is credible of this.
    pub(super) fn apply_to(&self, mut caps: gst::Caps, fps: u32) -> gst::Caps {
        let colorimetry = self.colorimetry.as_ref().filter(|name| name.parse::<gst_video::VideoColorimetry>().is_ok());
        let highest = gst::Fraction::new(i32::try_from(fps).unwrap_or(i32::MAX), 1);
        let rate = self.rate.filter(|(pictures, seconds)| *pictures > 0 && *seconds > 0);
        let rate = rate.map(|(pictures, seconds)| gst::Fraction::new(pictures, seconds));
        if let Some(structure) = caps.make_mut().structure_mut(0) {
            structure.set("framerate", rate.map_or(highest, |rate| rate.min(highest)));
            if let Some(colorimetry) = colorimetry {
                structure.set("colorimetry", colorimetry);
            }
        }
        caps
    }
}

/// The bytes ahead of a picture of `length` bytes.
pub(super) fn picture_header(length: u32, running_time: gst::ClockTime) -> [u8; HEADER] {
    header(PICTURE, length, running_time.nseconds())
}

/// A record that says how the pictures are.
pub(super) fn format_record(format: &PictureFormat) -> Vec<u8> {
    text_record(FORMAT, &serde_json::to_string(format).unwrap_or_default())
}

/// A record that says why there are no more pictures.
pub(super) fn failure_record(why: &str) -> Vec<u8> {
    text_record(FAILURE, &crate::ipc::clean(why, MAX_TEXT))
}

fn text_record(kind: u8, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&header(kind, length, 0)[..], text.as_bytes()].concat()
}

fn header(kind: u8, length: u32, running_time: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = kind;
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..].copy_from_slice(&running_time.to_le_bytes());
    header
}

/// What the child said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<M> {
    /// How the pictures are; once, ahead of the first.
    Format(PictureFormat),
    /// A picture, with its running time as the child has it.
    Picture(gst::ClockTime, M),
    /// A picture that there was no memory for.
    Skipped,
    /// Why there are no more pictures.
    Failure(String),
}

/// What the child must not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("a header that is none")]
    Header,
    #[error("a picture of another size than asked for")]
    Size,
    #[error("a text that is none")]
    Text,
    #[error("pictures ahead of their format, or two formats")]
    Order,
}

/// Reads records in whichever pieces they come. `M` is the memory of a picture.
#[derive(Debug)]
pub(super) struct RecordReader<M> {
    picture_size: usize,
    has_format: bool,
    header: [u8; HEADER],
    body: Body<M>,
    /// How much there is of `header`, or of `body`.
    filled: usize,
}

#[derive(Debug)]
enum Body<M> {
    /// The header is not complete.
    Awaited,
    Picture(gst::ClockTime, M),
    Skipped(Box<[u8]>),
    Text(u8, Vec<u8>),
}

impl<M: AsMut<[u8]>> RecordReader<M> {
    /// For pictures of exactly `picture_size` bytes.
    pub(super) fn new(picture_size: usize) -> Self {
        Self { picture_size, has_format: false, header: [0; HEADER], body: Body::Awaited, filled: 0 }
    }

    /// Where the next bytes go to; never empty.
    pub(super) fn space(&mut self) -> &mut [u8] {
        let space = match &mut self.body {
            Body::Awaited => &mut self.header[self.filled..],
            Body::Picture(_, memory) => memory.as_mut().get_mut(self.filled..self.picture_size).unwrap_or_default(),
            Body::Skipped(scratch) => {
                let left = self.picture_size - self.filled;
                let now = left.min(scratch.len());
                &mut scratch[..now]
            }
            Body::Text(_, text) => &mut text[self.filled..],
        };
        debug_assert!(!space.is_empty());
        space
    }

    /// The first `read` bytes of [`Self::space`] were read. `allocate` gives the memory of a picture, of at least its
    /// size; without any, the picture is skipped.
    ///
    /// # Errors
    /// The child said what it must not say: nothing that follows means anything.
    pub(super) fn advance(
        &mut self,
        read: usize,
        allocate: impl FnOnce() -> Option<M>,
    ) -> Result<Option<Record<M>>, Violation> {
        self.filled += read;
        let wanted = match &self.body {
            Body::Awaited => HEADER,
            Body::Picture(..) | Body::Skipped(_) => self.picture_size,
            Body::Text(_, text) => text.len(),
        };
        if self.filled < wanted {
            return Ok(None);
        }
        self.filled = 0;
        match std::mem::replace(&mut self.body, Body::Awaited) {
            Body::Awaited => {
                self.body = self.begin(allocate)?;
                Ok(None)
            }
            Body::Picture(at, memory) => Ok(Some(Record::Picture(at, memory))),
            Body::Skipped(_) => Ok(Some(Record::Skipped)),
            Body::Text(FORMAT, text) => {
                self.has_format = true;
                let format = serde_json::from_slice(&text).map_err(|_| Violation::Text)?;
                Ok(Some(Record::Format(format)))
            }
            Body::Text(_, text) => {
                let why = String::from_utf8(text).map_err(|_| Violation::Text)?;
                Ok(Some(Record::Failure(crate::ipc::clean(&why, MAX_TEXT))))
            }
        }
    }

    /// The body that the header announces.
    fn begin(&self, allocate: impl FnOnce() -> Option<M>) -> Result<Body<M>, Violation> {
        let [kind, 0, 0, 0, rest @ ..] = self.header else { return Err(Violation::Header) };
        let [l0, l1, l2, l3, time @ ..] = rest;
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).map_err(|_| Violation::Header)?;
        let at = u64::from_le_bytes(time);
        match kind {
            PICTURE if !self.has_format => Err(Violation::Order),
            PICTURE if length != self.picture_size || length == 0 => Err(Violation::Size),
            PICTURE => {
                // `ClockTime` has one value that means none.
                let at = (at != u64::MAX).then(|| gst::ClockTime::from_nseconds(at)).ok_or(Violation::Header)?;
                let memory = allocate().map(|mut memory| (memory.as_mut().len() >= length, memory));
                Ok(match memory {
                    Some((true, memory)) => Body::Picture(at, memory),
                    Some((false, _)) | None => Body::Skipped(vec![0; SKIPPED_AT_ONCE].into()),
                })
            }
            FORMAT if self.has_format => Err(Violation::Order),
            FORMAT | FAILURE if (1..=MAX_TEXT).contains(&length) && at == 0 => Ok(Body::Text(kind, vec![0; length])),
            FORMAT | FAILURE => Err(Violation::Text),
            _ => Err(Violation::Header),
        }
    }
}
