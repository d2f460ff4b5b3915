//! Descriptors of webcams for tests: those of real models, which the webcam of the virtual machine has as well, and odd
//! ones, built to the UVC 1.1 specification.

use usb_webcam::{Identity, model, sysfs_descriptors};

const FPS_30: u32 = 333_333;
const FPS_15: u32 = 666_666;

/// The intervals of a frame.
#[derive(Clone, Copy)]
pub(crate) enum Intervals<'a> {
    These(&'a [u32]),
    /// Shortest, longest and step.
    Continuous([u32; 3]),
}

/// A camera that is being described.
pub(crate) struct Webcam(Vec<u8>);

impl Webcam {
    /// One whose control interface has the number `control`, and its stream the next one.
    pub(crate) fn new(control: u8) -> Self {
        let mut this = Self(Vec::new());
        // Device, configuration, interface association.
        this.add(0x01, &[0, 2, 0xef, 2, 1, 64, 0x6d, 0x04, 0x2d, 0x08, 0x11, 0, 0, 2, 1, 1]);
        this.add(0x02, &[0, 2, 2, 1, 0, 0x80, 250]);
        this.function(control)
    }

    /// A camera function: its control interface with a header, then its stream's first setting.
    pub(crate) fn function(mut self, control: u8) -> Self {
        self.add(0x0b, &[control, 2, 0x0e, 3, 0, 0]);
        self.add(0x04, &[control, 0, 1, 0x0e, 1, 0, 0]);
        self.add(0x24, &[0x01, 0x10, 1, 13, 0, 0, 0x6c, 0xdc, 2, 1, control + 1]);
        self.add(0x04, &[control + 1, 0, 0, 0x0e, 2, 0, 0]);
        self
    }

    fn add(&mut self, kind: u8, body: &[u8]) {
        self.0.push(u8::try_from(body.len() + 2).unwrap());
        self.0.push(kind);
        self.0.extend(body);
    }

    /// A format with a GUID that begins with `letters`: uncompressed, or frame based.
    pub(crate) fn format(mut self, letters: [u8; 4], is_frame_based: bool) -> Self {
        let mut body = vec![if is_frame_based { 0x10 } else { 0x04 }, 1, 1];
        body.extend(letters);
        body.extend([0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
        body.extend([16, 1, 0, 0, 0, 0]);
        body.extend(is_frame_based.then_some(1));
        self.add(0x24, &body);
        self
    }

    pub(crate) fn mjpeg(mut self) -> Self {
        self.add(0x24, &[0x06, 1, 1, 1, 1, 0, 0, 0, 0]);
        self
    }

    /// A frame of the format before it, by the frame's subtype.
    pub(crate) fn frame(mut self, subtype: u8, (width, height): (u16, u16), intervals: Intervals<'_>) -> Self {
        let (count, all) = match &intervals {
            Intervals::These(all) => (u8::try_from(all.len()).unwrap(), *all),
            Intervals::Continuous(all) => (0, all.as_slice()),
        };
        let mut body = vec![subtype, 1, 0];
        body.extend(width.to_le_bytes());
        body.extend(height.to_le_bytes());
        // Bit rates, and in two orders: buffer size or bytes in a line, default interval, number of intervals.
        body.extend([0; 8]);
        let is_frame_based = subtype == 0x11;
        body.extend([0; 4].iter().filter(|_| !is_frame_based));
        body.extend(all[0].to_le_bytes());
        body.push(count);
        body.extend([0; 4].iter().filter(|_| is_frame_based));
        body.extend(all.iter().flat_map(|interval| interval.to_le_bytes()));
        self.add(0x24, &body);
        self
    }

    fn frames(self, subtype: u8, all: &[((u16, u16), &[u32])]) -> Self {
        all.iter().fold(self, |this, (size, intervals)| this.frame(subtype, *size, Intervals::These(intervals)))
    }

    /// Ends it with what follows a stream's formats: colour matching, and a setting with an endpoint.
    pub(crate) fn bytes(mut self) -> Vec<u8> {
        self.add(0x24, &[0x0d, 1, 1, 4]);
        self.add(0x04, &[1, 1, 1, 0x0e, 2, 0, 0]);
        self.add(0x05, &[0x81, 0x05, 0, 0x0c, 1]);
        self.0
    }
}

/// The descriptors of one of the models that the webcam of the virtual machine has.
fn descriptors(name: &str) -> Vec<u8> {
    let identity = Identity { model: model(name).unwrap(), serial: String::new(), sound_rate: Some(48_000) };
    sysfs_descriptors(&identity)
}

/// Logitech C920: raw slowly above VGA; JPEG and H.264 at 30, 24, 20, 15 ... and never 25.
pub(crate) fn c920() -> Vec<u8> {
    descriptors("c920")
}

/// Logitech C270: from 1280x720 on, raw at 7.5 and JPEG at 30.
pub(crate) fn c270() -> Vec<u8> {
    descriptors("c270")
}

/// A cheap one: JPEG at 15 alone.
pub(crate) fn cheap() -> Vec<u8> {
    descriptors("cheap")
}

/// One that gives H.264 alone.
pub(crate) fn only_h264() -> Vec<u8> {
    descriptors("h264")
}

/// A notebook's: a function that gives colours, and one for infrared.
pub(crate) fn with_infrared() -> Vec<u8> {
    let colours = Webcam::new(0).mjpeg().frames(0x07, &[((1280, 720), &[FPS_30])]);
    colours.function(2).format(*b"Y800", false).frames(0x05, &[((640, 360), &[FPS_15])]).bytes()
}
