//! Models of webcams: what each says of itself. Formats, sizes and intervals of the Logitech cameras are those that
//! public listings of `lsusb -v` show, in their order, but for sizes that are left out.

/// What a camera sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Raw pictures, two bytes for each pixel.
    Yuyv,
    /// A JPEG for each picture.
    Mjpeg,
    /// H.264, which UVC calls frame based.
    H264,
}

impl Format {
    /// Its name in files of footage, and in what the webcam tells.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yuyv => "yuyv",
            Self::Mjpeg => "mjpeg",
            Self::H264 => "h264",
        }
    }
}

/// One size of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// From one picture to the next, in units of 100 ns, as cameras name them. The first one is the default.
    pub intervals: &'static [u32],
}

/// A model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// By which tests choose it.
    pub name: &'static str,
    /// `idVendor` and `idProduct`. Drivers have workarounds for some.
    pub ids: (u16, u16),
    /// `iManufacturer`; empty: it has none.
    pub manufacturer: &'static str,
    /// `iProduct`.
    pub product: &'static str,
    /// Its formats, each with its sizes. The first one of each is the default.
    pub formats: &'static [(Format, &'static [Frame])],
}

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

const fn frame(width: u16, height: u16, intervals: &'static [u32]) -> Frame {
    Frame { width, height, intervals }
}

const C920_CODED: &[Frame] = &[
    frame(640, 480, C920_FAST),
    frame(160, 90, C920_FAST),
    frame(640, 360, C920_FAST),
    frame(1280, 720, C920_FAST),
    frame(1920, 1080, C920_FAST),
];
const C920_RAW: &[Frame] = &[
    frame(640, 480, C920_FAST),
    frame(160, 90, C920_FAST),
    frame(640, 360, C920_FAST),
    frame(1280, 720, &[FPS_10, FPS_7_5, FPS_5]),
    frame(1920, 1080, &[FPS_5]),
    frame(2304, 1536, &[FPS_2]),
];
const C270_CODED: &[Frame] =
    &[frame(640, 480, C270_FAST), frame(320, 240, C270_FAST), frame(1280, 720, C270_FAST), frame(1280, 960, C270_FAST)];
const C270_RAW: &[Frame] =
    &[frame(640, 480, C270_FAST), frame(320, 240, C270_FAST), frame(1280, 720, C270_SLOW), frame(1280, 960, C270_SLOW)];

/// All models.
pub const MODELS: [Model; 4] = [
    // Raw slowly above VGA; JPEG and H.264 at 30, 24, 20, 15 ... and never 25.
    Model {
        name: "c920",
        ids: (0x046d, 0x082d),
        manufacturer: "",
        product: "HD Pro Webcam C920",
        formats: &[(Format::Yuyv, C920_RAW), (Format::H264, C920_CODED), (Format::Mjpeg, C920_CODED)],
    },
    // From 1280x720 on, raw at 7.5 and JPEG at 30.
    Model {
        name: "c270",
        ids: (0x046d, 0x0825),
        manufacturer: "",
        product: "C270 HD WEBCAM",
        formats: &[(Format::Yuyv, C270_RAW), (Format::Mjpeg, C270_CODED)],
    },
    // A cheap one: JPEG at 15 alone.
    Model {
        name: "cheap",
        ids: (0x1d6b, 0x0104),
        manufacturer: "tallybox",
        product: "Cheap Webcam",
        formats: &[(Format::Mjpeg, &[frame(1280, 720, &[FPS_15]), frame(640, 480, &[FPS_15])])],
    },
    // One that sends what it encoded itself, and nothing else.
    Model {
        name: "h264",
        ids: (0x1d6b, 0x0104),
        manufacturer: "tallybox",
        product: "Encoder Webcam",
        formats: &[(Format::H264, &[frame(1920, 1080, &[FPS_30]), frame(1280, 720, &[FPS_30])])],
    },
];

/// The model of this name.
pub fn model(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}
