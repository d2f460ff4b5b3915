//! A webcam's descriptors: interfaces 0 and 1 are the camera's control and pictures, 2 and 3 the microphone's control
//! and sound.

use crate::model::{Format, Frame, Model};
use crate::negotiation::{MAX_PACKET, picture_bytes};

/// The endpoint of pictures, and that of sound.
pub(crate) const ENDPOINTS: [u8; 2] = [1, 2];
/// The interfaces of pictures and of sound.
pub(crate) const STREAMS: [u8; 2] = [1, 3];

const DEVICE: u8 = 1;
const CONFIGURATION: u8 = 2;
const STRING: u8 = 3;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;
const ASSOCIATION: u8 = 11;
const CLASS_INTERFACE: u8 = 0x24;
const CLASS_ENDPOINT: u8 = 0x25;
const VIDEO: u8 = 0x0e;
const AUDIO: u8 = 1;
/// What follows the four letters in a format's GUID.
const GUID_REST: [u8; 12] = [0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

/// One webcam.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is.
    pub model: &'static Model,
    /// Its serial number, which two may have in common; empty: it has none.
    pub serial: String,
    /// The one rate of its microphone, in Hz; `None`: it has no microphone.
    pub sound_rate: Option<u32>,
}

/// One descriptor. Those here are short.
fn one(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![u8::try_from(body.len() + 2).unwrap_or(u8::MAX), kind];
    out.extend(body);
    out
}

fn interface(number: u8, alternate: u8, endpoints: u8, class: u8, subclass: u8) -> Vec<u8> {
    one(INTERFACE, &[&[number, alternate, endpoints, class, subclass, 0, 0]])
}

/// A length with what goes before.
fn length(before: usize, rest: &[u8]) -> [u8; 2] {
    u16::try_from(before + rest.len()).unwrap_or(u16::MAX).to_le_bytes()
}

fn count(items: usize) -> u8 {
    u8::try_from(items).unwrap_or(u8::MAX)
}

impl Identity {
    /// The device descriptor.
    pub(crate) fn device(&self) -> Vec<u8> {
        let (vendor, product) = (self.model.ids.0.to_le_bytes(), self.model.ids.1.to_le_bytes());
        let named = |index: u8| if self.text(index).is_empty() { 0 } else { index };
        one(DEVICE, &[&[0, 2, 0xef, 2, 1, 64], &vendor, &product, &[0x11, 0, named(1), named(2), named(3), 1]])
    }

    fn text(&self, index: u8) -> &str {
        match index {
            1 => self.model.manufacturer,
            2 => self.model.product,
            3 => &self.serial,
            _ => "",
        }
    }

    /// The string descriptor with this index.
    pub(crate) fn string(&self, index: u8) -> Vec<u8> {
        /// English (United States), the only language.
        const LANGUAGES: [u8; 2] = [0x09, 0x04];
        match index {
            0 => one(STRING, &[&LANGUAGES]),
            _ => one(STRING, &[&self.text(index).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()]),
        }
    }

    /// The configuration with all that belongs to it.
    pub(crate) fn configuration(&self) -> Vec<u8> {
        let sound = self.sound_rate.map(microphone);
        let all = [camera(self.model), sound.clone().unwrap_or_default()].concat();
        let interfaces = if sound.is_some() { 4 } else { 2 };
        // 500 mA.
        [one(CONFIGURATION, &[&length(9, &all), &[interfaces, 1, 0, 0x80, 250]]), all].concat()
    }
}

/// What the kernel shows as a device's `descriptors` in sysfs.
pub fn sysfs_descriptors(identity: &Identity) -> Vec<u8> {
    [identity.device(), identity.configuration()].concat()
}

fn camera(model: &Model) -> Vec<u8> {
    // A lens, and what goes to USB.
    let lens = one(CLASS_INTERFACE, &[&[2, 1, 0x01, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]]);
    let units = [lens, one(CLASS_INTERFACE, &[&[3, 2, 0x01, 0x01, 0, 1, 0]])].concat();
    let clock = 48_000_000_u32.to_le_bytes();
    let header = one(CLASS_INTERFACE, &[&[1, 0x00, 0x01], &length(13, &units), &clock, &[1, STREAMS[0]]]);
    let formats = model.formats.iter().enumerate();
    let formats =
        formats.flat_map(|(index, (form, frames))| format(count(index + 1), *form, frames)).collect::<Vec<_>>();
    let number = count(model.formats.len());
    let controls = vec![0; usize::from(number)];
    let head = 13 + controls.len();
    let input =
        [&[1, number][..], &length(head, &formats), &[0x80 | ENDPOINTS[0], 0, 2, 0, 0, 0, 1], &controls].concat();
    // 3072 bytes in every microframe, as two more transactions of 1024.
    let packet = (1024_u16 | 2 << 11).to_le_bytes();
    debug_assert_eq!(MAX_PACKET, 3 * 1024);
    [
        one(ASSOCIATION, &[&[0, 2, VIDEO, 3, 0, 2]]),
        interface(0, 0, 0, VIDEO, 1),
        header,
        units,
        interface(STREAMS[0], 0, 0, VIDEO, 2),
        one(CLASS_INTERFACE, &[&input]),
        formats,
        interface(STREAMS[0], 1, 1, VIDEO, 2),
        one(ENDPOINT, &[&[0x80 | ENDPOINTS[0], 0x05], &packet, &[1]]),
    ]
    .concat()
}

/// A format with its sizes and its colours.
fn format(index: u8, format: Format, frames: &[Frame]) -> Vec<u8> {
    let sizes = count(frames.len());
    let head = match format {
        Format::Yuyv => one(CLASS_INTERFACE, &[&[4, index, sizes], b"YUY2", &GUID_REST, &[16, 1, 0, 0, 0, 0]]),
        Format::Mjpeg => one(CLASS_INTERFACE, &[&[6, index, sizes, 1, 1, 0, 0, 0, 0]]),
        Format::H264 => one(CLASS_INTERFACE, &[&[0x10, index, sizes], b"H264", &GUID_REST, &[16, 1, 0, 0, 0, 0, 1]]),
    };
    let frames = frames.iter().enumerate().flat_map(|(number, each)| frame(count(number + 1), format, each));
    let colours = one(CLASS_INTERFACE, &[&[0x0d, 1, 1, 4]]);
    [head, frames.collect(), colours].concat()
}

fn frame(index: u8, format: Format, frame: &Frame) -> Vec<u8> {
    let bytes = picture_bytes(frame);
    let shortest = frame.intervals.iter().copied().min().unwrap_or(333_333).max(1);
    let bits = u32::try_from(u64::from(bytes) * 80_000_000 / u64::from(shortest)).unwrap_or(u32::MAX).to_le_bytes();
    let first = frame.intervals.first().copied().unwrap_or(333_333).to_le_bytes();
    let (width, height) = (frame.width.to_le_bytes(), frame.height.to_le_bytes());
    let number = [count(frame.intervals.len())];
    let intervals: Vec<u8> = frame.intervals.iter().flat_map(|interval| interval.to_le_bytes()).collect();
    let subtype = match format {
        Format::Yuyv => 0x05,
        Format::Mjpeg => 0x07,
        Format::H264 => 0x11,
    };
    let (size, line) = (bytes.to_le_bytes(), 0_u32.to_le_bytes());
    let rates: [&[u8]; 3] = match format {
        Format::Yuyv | Format::Mjpeg => [&size, &first, &number],
        Format::H264 => [&first, &number, &line],
    };
    one(CLASS_INTERFACE, &[&[subtype, index, 0], &width, &height, &bits, &bits, &rates.concat(), &intervals])
}

fn microphone(rate: u32) -> Vec<u8> {
    // A millisecond of samples, and one more where the rate is no multiple of 1000.
    let samples = u16::try_from(rate.div_ceil(1000)).unwrap_or(u16::MAX / 2);
    let packet = (samples.saturating_mul(2)).to_le_bytes();
    let [a, b, c, _] = rate.to_le_bytes();
    [
        one(ASSOCIATION, &[&[2, 2, AUDIO, 0, 0, 0]]),
        interface(2, 0, 0, AUDIO, 1),
        one(CLASS_INTERFACE, &[&[1, 0x00, 0x01, 30, 0, 1, STREAMS[1]]]),
        // A microphone of one channel, and what goes to USB.
        one(CLASS_INTERFACE, &[&[2, 1, 0x01, 0x02, 0, 1, 0, 0, 0, 0]]),
        one(CLASS_INTERFACE, &[&[3, 2, 0x01, 0x01, 0, 1, 0]]),
        interface(STREAMS[1], 0, 0, AUDIO, 2),
        interface(STREAMS[1], 1, 1, AUDIO, 2),
        one(CLASS_INTERFACE, &[&[1, 2, 1, 1, 0]]),
        one(CLASS_INTERFACE, &[&[2, 1, 1, 2, 16, 1, a, b, c]]),
        // Every eighth microframe.
        one(ENDPOINT, &[&[0x80 | ENDPOINTS[1], 0x05], &packet, &[4, 0, 0]]),
        one(CLASS_ENDPOINT, &[&[1, 1, 0, 0, 0]]),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MODELS;

    #[test]
    fn lengths_add_up() {
        for model in &MODELS {
            for sound_rate in [None, Some(44_100), Some(48_000)] {
                let identity = Identity { model, serial: "1".to_owned(), sound_rate };
                let bytes = sysfs_descriptors(&identity);
                let (mut rest, mut interfaces) = (&bytes[..], std::collections::BTreeSet::new());
                while let [length, kind, ..] = *rest {
                    assert!(length >= 2 && usize::from(length) <= rest.len(), "{} {rest:?}", model.name);
                    if kind == INTERFACE {
                        interfaces.insert(rest[2]);
                    }
                    rest = &rest[usize::from(length)..];
                }
                let total = usize::from(u16::from_le_bytes([bytes[20], bytes[21]]));
                assert_eq!(total, bytes.len() - 18, "{}", model.name);
                assert_eq!(usize::from(bytes[22]), interfaces.len());
            }
        }
    }

    #[test]
    fn who_has_no_name_names_none() {
        let identity = Identity { model: crate::model("c920").unwrap(), serial: String::new(), sound_rate: None };
        assert_eq!(identity.device()[14..17], [0, 2, 0]);
        assert_eq!(identity.string(2)[2..6], [b'H', 0, b'D', 0]);
        assert_eq!(identity.string(77), [2, STRING]);
    }
}
