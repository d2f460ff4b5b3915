//! Descriptors of webcams for tests. The bytes are built to the UVC 1.1 specification; formats, sizes and intervals of
//! the Logitech cameras are those that public listings of `lsusb -v` show, in their order, but for sizes that are left
//! out.

/// Intervals in units of 100 ns, as cameras name them.
const FPS_30: u32 = 333_333;
const FPS_25: u32 = 400_000;
const FPS_24: u32 = 416_666;
const FPS_20: u32 = 500_000;
const FPS_15: u32 = 666_666;
const FPS_10: u32 = 1_000_000;
const FPS_7_5: u32 = 1_333_333;
const FPS_5: u32 = 2_000_000;
const FPS_2: u32 = 5_000_000;

const C920_FAST: &[u32] = &[FPS_30, FPS_24, FPS_20, FPS_15, FPS_10, FPS_7_5, FPS_5];
const C270_FAST: &[u32] = &[FPS_30, FPS_25, FPS_20, FPS_15, FPS_10, FPS_5];
const C270_SLOW: &[u32] = &[FPS_7_5, FPS_5];

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

/// Logitech C920: raw slowly above VGA; JPEG and H.264 at 30, 24, 20, 15 ... and never 25.
pub(crate) fn c920() -> Vec<u8> {
    let coded: &[((u16, u16), &[u32])] = &[
        ((640, 480), C920_FAST),
        ((160, 90), C920_FAST),
        ((640, 360), C920_FAST),
        ((1280, 720), C920_FAST),
        ((1920, 1080), C920_FAST),
    ];
    let raw: &[((u16, u16), &[u32])] = &[
        ((640, 480), C920_FAST),
        ((160, 90), C920_FAST),
        ((640, 360), C920_FAST),
        ((1280, 720), &[FPS_10, FPS_7_5, FPS_5]),
        ((1920, 1080), &[FPS_5]),
        ((2304, 1536), &[FPS_2]),
    ];
    let camera = Webcam::new(0).format(*b"YUY2", false).frames(0x05, raw);
    camera.format(*b"H264", true).frames(0x11, coded).mjpeg().frames(0x07, coded).bytes()
}

/// Logitech C270: from 1280x720 on, raw at 7.5 and JPEG at 30.
pub(crate) fn c270() -> Vec<u8> {
    let raw: &[((u16, u16), &[u32])] =
        &[((640, 480), C270_FAST), ((320, 240), C270_FAST), ((1280, 720), C270_SLOW), ((1280, 960), C270_SLOW)];
    let coded: &[((u16, u16), &[u32])] =
        &[((640, 480), C270_FAST), ((320, 240), C270_FAST), ((1280, 720), C270_FAST), ((1280, 960), C270_FAST)];
    Webcam::new(0).format(*b"YUY2", false).frames(0x05, raw).mjpeg().frames(0x07, coded).bytes()
}

/// A cheap one: JPEG at 15 alone.
pub(crate) fn cheap() -> Vec<u8> {
    Webcam::new(0).mjpeg().frames(0x07, &[((1280, 720), &[FPS_15]), ((640, 480), &[FPS_15])]).bytes()
}

/// One that gives H.264 alone.
pub(crate) fn only_h264() -> Vec<u8> {
    Webcam::new(0).format(*b"H264", true).frames(0x11, &[((1920, 1080), &[FPS_30]), ((1280, 720), &[FPS_30])]).bytes()
}

/// A notebook's: a function that gives colours, and one for infrared.
pub(crate) fn with_infrared() -> Vec<u8> {
    let colours = Webcam::new(0).mjpeg().frames(0x07, &[((1280, 720), &[FPS_30])]);
    colours.function(2).format(*b"Y800", false).frames(0x05, &[((640, 360), &[FPS_15])]).bytes()
}
