//! The checked configuration's types. Defaults and ranges stand in `sections`.

use core::time::Duration;
use std::path::PathBuf;

use super::choice::choice;
use rollout::Window;

use super::{AddressRange, AgeRecipient, Destination, Host, HostPattern, Login, SecretTemplate};

choice!(
    /// What button and lamp are connected to.
    PanelBackend {
        /// rppal on a Raspberry Pi, else cdev. Never sim: a box without a real button must say so.
        Auto = "auto",
        /// The Raspberry Pi's registers.
        Rppal = "rppal",
        /// Any Linux GPIO character device.
        Cdev = "cdev",
        /// Driven by `tallybox press`.
        Sim = "sim",
    }
);
choice!(
    /// What becomes of a connection to an address outside of the allowed ranges.
    Outside {
        /// There is none, and the ledger says so.
        Refuse = "refuse",
        /// It is made, and the ledger says so: to learn which addresses servers have.
        Report = "report",
    }
);
choice!(
    /// Where the picture comes from.
    VideoSource {
        /// libcamera where it finds a camera, else V4L2.
        Auto = "auto",
        /// A camera on the CSI connector.
        Libcamera = "libcamera",
        /// A USB camera.
        V4l2 = "v4l2",
        /// A media file in place of a camera.
        File = "file",
        /// A test picture.
        Test = "test",
    }
);
choice!(
    /// Which element encodes H.264.
    Encoder {
        /// The best that works here.
        Auto = "auto",
        /// In hardware.
        V4l2h264enc = "v4l2h264enc",
        /// In software.
        X264enc = "x264enc",
        /// In software, Cisco's.
        Openh264enc = "openh264enc",
    }
);
choice!(
    /// Where sound comes from.
    AudioSource {
        /// ALSA where there is a microphone, else none.
        Auto = "auto",
        /// A microphone.
        Alsa = "alsa",
        /// A media file in place of a microphone.
        File = "file",
        /// A test tone.
        Test = "test",
        /// No sound at all.
        None = "none",
    }
);
choice!(
    /// Where frames wait while the server is out of reach.
    OutageBuffer {
        /// In memory.
        Memory = "memory",
        /// On disk, sealed with a key that only capture's memory has.
        Disk = "disk",
    }
);
choice!(
    /// Whether the stream may take a link that is metered.
    MeteredLinks {
        /// It takes what the routes say.
        Use = "use",
        /// It waits for another link.
        Refuse = "refuse",
    }
);

/// `[device]`
#[derive(Clone, Debug)]
pub struct Device {
    /// The box's name in topics; never a MAC or serial number. `None`: neither the configuration nor a machine-id gives
    /// one, and it is derived from the box's own key, which the guard knows ([`crate::ipc::BoxIdentity::device_id`]).
    pub id: Option<String>,
    /// Ledger and outbox.
    pub data_dir: PathBuf,
    /// Sockets.
    pub runtime_dir: PathBuf,
}

/// `[panel]`; pins are BCM numbers on a Pi, line offsets of the first chip elsewhere.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What button and lamp are connected to.
    pub backend: PanelBackend,
    /// The record button.
    pub button_pin: u32,
    /// The lamp.
    pub lamp_pin: u32,
    /// Reads the lamp back.
    pub lamp_sense_pin: Option<u32>,
    /// The mute button.
    pub mute_pin: Option<u32>,
    /// The switch that is closed while the case is; `None`: there is none.
    pub case_pin: Option<u32>,
    /// Buttons pull to ground.
    pub active_low: bool,
    /// How long a level must hold to be believed.
    pub debounce: Duration,
}

impl Panel {
    /// How long a simulated finger keeps a button down, or up, at least: as long as the quickest real one, and long
    /// enough for a guard that is somewhat late to feel it.
    pub fn shortest_press(&self) -> Duration {
        (self.debounce * 2).max(Duration::from_millis(60))
    }
}

/// `[video]`
#[derive(Clone, Debug)]
pub struct Video {
    /// Where the picture comes from.
    pub source: VideoSource,
    /// Camera node, or the media file; [`Video::AUTO_DEVICE`]: the first camera.
    pub device: PathBuf,
    /// Pixels, even.
    pub width: u32,
    /// Pixels, even.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// Which element encodes.
    pub encoder: Encoder,
    /// Target in kbit/s.
    pub bitrate_kbps: u32,
    /// Whether bitrate, frame rate and size follow what the way to the server takes.
    pub adaptive: bool,
    /// Floor for adaptation in kbit/s.
    pub min_bitrate_kbps: u32,
    /// From one keyframe to the next.
    pub keyframe_interval: Duration,
    /// By how many degrees the camera's picture is turned, clockwise: 0, 90, 180 or 270.
    pub rotation: u32,
    /// Whether left and right change places, once it is turned.
    pub mirror: bool,
    /// What is cut off at its edges then.
    pub crop: Crop,
}

impl Video {
    /// What `device` is where the box finds the camera.
    pub const AUTO_DEVICE: &str = "auto";

    /// Whether the box finds the camera: the first one that there is.
    pub fn has_auto_device(&self) -> bool {
        self.device.as_os_str() == Self::AUTO_DEVICE
    }

    /// The picture at its best: as it is configured.
    pub fn rendition(&self) -> bitrate::Rendition {
        let &Self { bitrate_kbps, fps, width, height, .. } = self;
        bitrate::Rendition { bitrate_kbps, fps, width, height }
    }
}

/// `[video] crop`: percent of the camera's picture, turned and mirrored, that are cut off at each edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crop {
    /// Of the width.
    pub left: u32,
    /// Of the width.
    pub right: u32,
    /// Of the height.
    pub top: u32,
    /// Of the height.
    pub bottom: u32,
}

/// `[overlay]`: words on the picture.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// The shop's name.
    pub text: Option<String>,
    /// Whether the time of day is shown.
    pub clock: bool,
}

/// `[[privacy-mask]]`: a rectangle that is black in every frame, in pixels of the picture of `[video] width` and
/// `height` (turned, mirrored, cropped and scaled), counted from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Pixels from the left edge.
    pub x: u32,
    /// Pixels from the upper edge.
    pub y: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// `[audio]`
#[derive(Clone, Debug)]
pub struct Audio {
    /// Where sound comes from.
    pub source: AudioSource,
    /// ALSA device, or the media file.
    pub device: String,
    /// Target in kbit/s.
    pub bitrate_kbps: u32,
    /// Whether steady noise is made quieter than voices.
    pub noise_suppression: bool,
    /// Whether what is deeper than voices is left out: hum and rumble.
    pub high_pass: bool,
}

/// `[capture]`
#[derive(Clone, Debug)]
pub struct Capture {
    /// How long a session goes on without its camera or its microphone.
    pub device_lost_limit: Duration,
}

/// `[ingest]`
#[derive(Clone, Debug)]
pub struct Ingest {
    /// Where the stream goes; the session lives with it.
    pub first: Destination,
    /// Where it goes as well.
    pub second: Option<Destination>,
    /// How long a session may be without the first.
    pub reconnect_window: Duration,
    /// What waits meanwhile.
    pub outage: Outage,
    /// Whether it may go over metered links: mobile ones, and `metered_interfaces`.
    pub metered_links: MeteredLinks,
    /// Interfaces whose links are metered although the kernel does not say so: the cable to a mobile router.
    pub metered_interfaces: Vec<String>,
}

impl Ingest {
    /// All of them.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        std::iter::once(&self.first).chain(&self.second)
    }

    /// Where they are, for people, without keys.
    pub fn places(&self) -> Vec<String> {
        self.destinations().map(Destination::place).collect()
    }

    /// Their hosts, for people.
    pub fn hosts(&self) -> String {
        self.destinations().map(|destination| destination.host.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// What becomes of frames while the server is out of reach.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Where they wait.
    pub buffer: OutageBuffer,
    /// At most this many MiB of them; then the oldest are dropped.
    pub size_mib: u32,
    /// After an outage no longer than this everything that waits is sent; after a longer one the stream goes on live.
    pub catch_up: Duration,
}

/// `[mqtt]`
#[derive(Clone, Debug)]
pub struct Mqtt {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The broker's host.
    pub host: Host,
    /// The broker's port.
    pub port: u16,
    /// User name and password, if it wants them.
    pub login: Option<Login>,
    /// Certificates that are trusted; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Certificates of brokers that are not trusted any more (X.509 CRLs, in PEM form); `None`: none is looked up.
    pub crl_file: Option<PathBuf>,
    /// Whether a connection without TLS may leave this machine.
    pub allow_plain: bool,
    /// After a lost connection the box comes back within this, at a random time; `None`: as the fleet's release index
    /// says, and at once without it.
    pub reconnect_spread: Option<Duration>,
    /// This box's certificate.
    pub client_cert: Option<PathBuf>,
    /// Its key: PEM text, or the path of a file with it.
    pub client_key: Option<SecretTemplate>,
    /// What all topics begin with, before the id.
    pub topic_prefix: String,
    /// How often telemetry is sent.
    pub telemetry_interval: Duration,
    /// The discovery prefix of Home Assistant; `None`: the box does not announce itself there.
    pub home_assistant: Option<String>,
}

impl Mqtt {
    /// The longest time over which a fleet's reconnects are spread, the same as in a release index.
    pub const MAX_RECONNECT_SPREAD: Duration = Duration::from_secs(rollout::MAX_RECONNECT_SPREAD_S as u64);

    /// The broker, for people: nothing that could be secret.
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", if self.tls { "mqtts" } else { "mqtt" }, self.host.in_url(), self.port)
    }
}

/// `[consent]`
#[derive(Clone, Debug)]
pub struct Consent {
    /// The policy in force.
    pub policy_version: String,
    /// Longest session.
    pub max_session: Duration,
    /// How long the lamp asks after a remote request, or for a guardian.
    pub request_timeout: Duration,
    /// Minors' mode, for schools and children's shops: each start needs a guardian's hold after the press, sessions are
    /// short, no footage is stored, and the platform cannot ask for a start.
    pub minors_mode: bool,
}

/// `[[recipients]]`: a third party that is given data by those to whom the box sends them, as the operator declares it
/// in the privacy policy's list.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ThirdParty {
    /// What it is called.
    pub name: String,
    /// When it is given data.
    pub scene: String,
    /// Which kinds of data.
    pub data: String,
    /// The company behind it.
    pub company: String,
    /// Where its privacy policy is: an https address.
    pub link: String,
}

/// `[privacy]`
#[derive(Clone, Debug)]
pub struct Privacy {
    /// Hosts that a stream may go to.
    pub allowed_ingest_hosts: Vec<HostPattern>,
    /// How long ledger entries are kept.
    pub ledger_retention: Duration,
    /// Longest life of unsent footage; zero: never written.
    pub footage_retention: Duration,
    /// Whom undelivered footage is encrypted to; `None`: none is kept.
    pub footage_recipient: Option<AgeRecipient>,
}

/// `[residency]`: where the servers that the box connects to may stand, beside which names they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residency {
    /// Networks that addresses have to lie in; none: names alone decide.
    pub allowed_addresses: Vec<AddressRange>,
    /// What becomes of a connection elsewhere.
    pub outside: Outside,
}

/// `[update]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The channel whose releases this box takes.
    pub channel: String,
    /// Whether it takes them by itself, and not only when somebody asks it to.
    pub automatic: bool,
    /// When it installs them, in its own time zone; `None`: at any time of the day.
    pub window: Option<Window>,
    /// Hosts that packages may come from; `None`: the one that the signed release names, and no other.
    pub allowed_hosts: Option<Vec<HostPattern>>,
    /// How long an update is announced before it is installed.
    pub notice: Duration,
}
