//! The modes of a USB camera, from the descriptors that the kernel keeps in sysfs (USB Video Class 1.1 and 1.5).
//!
//! A camera is a device from outside, and says in its descriptors what it likes: each length is checked, what does not
//! fit is left out, and the list is bounded.

use super::mode::{CameraFormat, CameraRequest, Mode, rate_name};

/// What is read of a device's descriptors, in bytes: a configuration has at most 64 KiB (USB 2.0, 9.6.3).
pub(super) const LONGEST: u64 = 64 * 1024;
/// Most offers of a camera that are listed; the largest known ones have some 60.
pub(super) const MOST_OFFERS: usize = 256;
/// Most streams of a camera that are looked at.
const MOST_STREAMS: usize = 8;

/// `bDescriptorType` (USB 2.0, table 9-5; UVC, A.4).
mod kind {
    pub(super) const CONFIGURATION: u8 = 0x02;
    pub(super) const INTERFACE: u8 = 0x04;
    pub(super) const CLASS_INTERFACE: u8 = 0x24;
}

/// `bDescriptorSubtype` (UVC, A.5 and A.6). Of other formats Linux makes no pictures.
mod subtype {
    /// Of a control interface.
    pub(super) const HEADER: u8 = 0x01;
    pub(super) const FORMAT_UNCOMPRESSED: u8 = 0x04;
    pub(super) const FRAME_UNCOMPRESSED: u8 = 0x05;
    pub(super) const FORMAT_MJPEG: u8 = 0x06;
    pub(super) const FRAME_MJPEG: u8 = 0x07;
    pub(super) const FORMAT_FRAME_BASED: u8 = 0x10;
    pub(super) const FRAME_FRAME_BASED: u8 = 0x11;
}

/// `bInterfaceClass` of video, and its subclasses (UVC, A.1 and A.2).
pub(super) const VIDEO: u8 = 0x0e;
const CONTROL: u8 = 0x01;
const STREAMING: u8 = 0x02;

/// What a format is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OfferedFormat {
    Usable(CameraFormat),
    /// By its common name.
    Other(String),
}

/// Pictures, and in how many seconds.
type Rate = (u32, u32);
/// Width and height in pixels.
type Size = (u32, u32);

/// The rates of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rates {
    These(Vec<Rate>),
    /// Any from the lowest to the highest.
    Range {
        lowest: Rate,
        highest: Rate,
    },
}

/// One format in one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) format: OfferedFormat,
    /// Pixels, not 0.
    pub(crate) width: u32,
    /// Pixels, not 0.
    pub(crate) height: u32,
    pub(crate) rates: Rates,
}

/// Whether the rate `a` is lower than `b`, or equal.
fn is_at_most(a: Rate, b: Rate) -> bool {
    u64::from(a.0) * u64::from(b.1) <= u64::from(b.0) * u64::from(a.1)
}

impl Offer {
    /// Its modes that could be meant: of a range of rates the nearest to the requested one. Empty for a format that
    /// cannot be used.
    pub(crate) fn modes(&self, request: CameraRequest) -> Vec<Mode> {
        let OfferedFormat::Usable(format) = &self.format else { return Vec::new() };
        let wanted = (request.fps, 1);
        let rates = match &self.rates {
            Rates::These(rates) => rates.clone(),
            Rates::Range { lowest, .. } if is_at_most(wanted, *lowest) => vec![*lowest],
            Rates::Range { highest, .. } if is_at_most(*highest, wanted) => vec![*highest],
            Rates::Range { .. } => vec![wanted],
        };
        let mode = |rate| Mode { format: format.clone(), width: self.width, height: self.height, rate: Some(rate) };
        rates.into_iter().map(mode).collect()
    }

    /// The common name of its format.
    pub(crate) fn format_name(&self) -> String {
        match &self.format {
            OfferedFormat::Usable(format) => format.to_string(),
            OfferedFormat::Other(name) => name.clone(),
        }
    }

    /// Its highest rate.
    pub(crate) fn highest_rate(&self) -> Option<Rate> {
        match &self.rates {
            Rates::These(rates) => rates.iter().copied().reduce(|a, b| if is_at_most(a, b) { b } else { a }),
            Rates::Range { highest, .. } => Some(*highest),
        }
    }
}

/// `offers` in a line for each format: its sizes, largest first, behind the rate that they reach.
pub(crate) fn listed(offers: &[Offer]) -> Vec<String> {
    let mut formats: Vec<String> = Vec::new();
    for offer in offers.iter().map(Offer::format_name) {
        if !formats.contains(&offer) {
            formats.push(offer);
        }
    }
    formats.iter().map(|format| listed_format(format, offers)).collect()
}

fn listed_format(format: &str, offers: &[Offer]) -> String {
    let mut groups: Vec<(Rate, Vec<Size>)> = Vec::new();
    for offer in offers.iter().filter(|offer| offer.format_name() == format) {
        let Some(rate) = offer.highest_rate() else { continue };
        match groups.iter_mut().find(|(known, _)| *known == rate) {
            Some((_, sizes)) => sizes.push((offer.width, offer.height)),
            None => groups.push((rate, vec![(offer.width, offer.height)])),
        }
    }
    groups.sort_by(|(a, _), (b, _)| (u64::from(b.0) * u64::from(a.1)).cmp(&(u64::from(a.0) * u64::from(b.1))));
    let groups = groups.into_iter().map(|(rate, mut sizes)| {
        sizes.sort_by_key(|(width, height)| u64::from(*width) * u64::from(*height));
        let sizes: Vec<_> = sizes.iter().rev().map(|(width, height)| format!("{width}x{height}")).collect();
        format!("up to {}: {}", rate_name(rate), sizes.join(", "))
    });
    let is_other = offers.iter().any(|offer| offer.format == OfferedFormat::Other(format.to_owned()));
    let format = if is_other { format!("{format} (not used)") } else { format.to_owned() };
    format!("{format} {}", groups.collect::<Vec<_>>().join("; "))
}

/// What the first stream of the camera whose control interface has the number `control` offers. Empty where
/// `descriptors` say nothing of such a camera.
pub(super) fn offers(descriptors: &[u8], control: u8) -> Vec<Offer> {
    let offered = streams(descriptors, control).map(|stream| offers_of_stream(descriptors, stream));
    offered.into_iter().find(|offers| !offers.is_empty()).unwrap_or_default()
}

/// The descriptors in `bytes`, until one has no length or more of it than there is, of the device's first
/// configuration, which is the one that Linux chooses.
fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut configurations) = (bytes, 0);
    std::iter::from_fn(move || {
        let length = usize::from(*rest.first()?);
        let (descriptor, behind) = rest.split_at_checked(length).filter(|_| length >= 2)?;
        rest = behind;
        configurations += u32::from(descriptor[1] == kind::CONFIGURATION);
        (configurations <= 1).then_some(descriptor)
    })
}

/// The class descriptors of video interfaces, each behind the interface's number and subclass.
fn of_video(bytes: &[u8]) -> impl Iterator<Item = ((u8, u8), &[u8])> {
    let mut interface = None;
    split(bytes).filter_map(move |descriptor| match descriptor {
        [_, kind::INTERFACE, number, _, _, class, subclass, ..] => {
            interface = (*class == VIDEO).then_some((*number, *subclass));
            None
        }
        [_, kind::CLASS_INTERFACE, _, ..] => interface.map(|interface| (interface, descriptor)),
        _ => None,
    })
}

/// The numbers of the streaming interfaces that belong to the control interface `control`.
fn streams(bytes: &[u8], control: u8) -> impl Iterator<Item = u8> {
    let headers = of_video(bytes)
        .filter(move |(interface, descriptor)| *interface == (control, CONTROL) && descriptor[2] == subtype::HEADER);
    let numbers = headers.filter_map(|(_, header)| header.get(12..)?.get(..usize::from(header[11])));
    numbers.flatten().copied().take(MOST_STREAMS)
}

fn offers_of_stream(bytes: &[u8], stream: u8) -> Vec<Offer> {
    let mut current = None;
    let own = of_video(bytes).filter(move |(interface, _)| *interface == (stream, STREAMING));
    let offers = own.filter_map(|(_, descriptor)| {
        let (format, frames) = match descriptor[2] {
            subtype::FORMAT_UNCOMPRESSED => (format_of(descriptor), subtype::FRAME_UNCOMPRESSED),
            subtype::FORMAT_FRAME_BASED => (format_of(descriptor), subtype::FRAME_FRAME_BASED),
            subtype::FORMAT_MJPEG => (Some(OfferedFormat::Usable(CameraFormat::Jpeg)), subtype::FRAME_MJPEG),
            other => {
                let (format, _) = current.as_ref().filter(|(_, frames)| *frames == other)?;
                return offer(descriptor, format);
            }
        };
        current = format.map(|format| (format, frames));
        None
    });
    offers.take(MOST_OFFERS).collect()
}

/// The format that a format descriptor names by its GUID (UVC's payload documents; uvcvideo's `uvc_fmts`).
fn format_of(descriptor: &[u8]) -> Option<OfferedFormat> {
    /// What follows the four letters of a format.
    const REST: [u8; 12] = [0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];
    /// The only format in use that has a GUID of its own: `DirectShow`'s RGB24.
    const BGR: [u8; 16] = [0x7d, 0xeb, 0x36, 0xe4, 0x4f, 0x52, 0xce, 0x11, 0x9f, 0x53, 0, 0x20, 0xaf, 0x0b, 0xa7, 0x70];
    let guid = descriptor.get(5..21)?;
    let (letters, rest) = guid.split_first_chunk::<4>()?;
    let raw = |name: &str| OfferedFormat::Usable(CameraFormat::Raw(name.to_owned()));
    let other = |name: &str| OfferedFormat::Other(name.to_owned());
    if guid == BGR {
        return Some(raw("BGR"));
    }
    if rest != REST {
        return Some(other("an unknown format"));
    }
    Some(match letters {
        b"YUY2" | b"UYVY" | b"NV12" | b"NV21" | b"I420" | b"YV12" => raw(core::str::from_utf8(letters).ok()?),
        b"Y800" | b"Y8  " | b"GREY" => raw("GRAY8"),
        b"Y16 " => raw("GRAY16_LE"),
        b"RGBP" => raw("RGB16"),
        b"MJPG" => OfferedFormat::Usable(CameraFormat::Jpeg),
        b"H264" => other("H.264"),
        b"H265" | b"HEVC" => other("H.265"),
        b"BA81" => other("Bayer patterns"),
        letters if letters.iter().all(u8::is_ascii_alphanumeric) => other(core::str::from_utf8(letters).ok()?),
        _ => other("an unknown format"),
    })
}

/// What a frame descriptor offers; `None` for one that is too short, or that has no size or no rate.
fn offer(descriptor: &[u8], format: &OfferedFormat) -> Option<Offer> {
    /// Where intervals begin, in all frame descriptors.
    const INTERVALS: usize = 26;
    let pixels = |at: usize| Some(u32::from(u16::from_le_bytes(*descriptor.get(at..)?.first_chunk()?)));
    let interval = |number: usize| Some(u32::from_le_bytes(*descriptor.get(INTERVALS + 4 * number..)?.first_chunk()?));
    let count_at = if descriptor[2] == subtype::FRAME_FRAME_BASED { 21 } else { 25 };
    let count = usize::from(*descriptor.get(count_at)?);
    let rates = if count == 0 {
        let (a, b) = (rate(interval(0)?)?, rate(interval(1)?)?);
        let (lowest, highest) = if is_at_most(a, b) { (a, b) } else { (b, a) };
        Rates::Range { lowest, highest }
    } else {
        let intervals = (0..count).map(interval).collect::<Option<Vec<_>>>()?;
        Rates::These(intervals.into_iter().filter_map(rate).collect())
    };
    let (width, height) = (pixels(5)?, pixels(7)?);
    let has_rates = rates != Rates::These(Vec::new());
    (width > 0 && height > 0 && has_rates).then(|| Offer { format: format.clone(), width, height, rates })
}

/// The rate of an interval in units of 100 ns, as uvcvideo tells it: 333333 are 1/30 s. It expands the continued
/// fraction to eight terms, and stops at one that is 333 or more (the kernel's `uvc_simplify_fraction`).
fn rate(interval: u32) -> Option<Rate> {
    const UNITS: u64 = 10_000_000;
    const MOST_TERMS: usize = 8;
    const THRESHOLD: u64 = 333;
    let (mut terms, mut x, mut y) = (Vec::new(), u64::from(interval), UNITS);
    while terms.len() < MOST_TERMS && y != 0 {
        let term = x / y;
        if term >= THRESHOLD {
            if terms.len() < 2 {
                terms.push(term);
            }
            break;
        }
        terms.push(term);
        (x, y) = (y, x % y);
    }
    let (seconds, pictures) = terms.iter().rev().fold((1, 0), |(y, x), term| (term * y + x, y));
    let (pictures, seconds) = (u32::try_from(pictures).ok()?, u32::try_from(seconds).ok()?);
    (pictures > 0 && seconds > 0).then_some((pictures, seconds))
}

#[cfg(test)]
mod tests;
