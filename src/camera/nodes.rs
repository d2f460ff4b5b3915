//! Video nodes in sysfs: which of them are cameras, and by which names they are found again.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::uvc::{self, Offer};
use crate::ipc::clean;

const CLASS: &str = "sys/class/video4linux";
const BY_PATH: &str = "dev/v4l/by-path";
const BY_ID: &str = "dev/v4l/by-id";

/// Parts of names of video nodes that are no cameras: encoders, decoders and image processors of boards. A USB camera
/// names itself, and is judged by its class.
const NO_CAMERAS: [&str; 14] = [
    "codec", "isp", "hevc", "pispbe", "rp1-cfe", "-enc", "-dec", "encoder", "decoder", "vpu", "venc", "vdec", "rga",
    "jpeg",
];
/// How the receivers of a ribbon cable are called: the kernel names those of the Pi so. Their pictures are for
/// libcamera.
const CSI_RECEIVERS: [&str; 2] = ["unicam", "rp1-cfe"];
/// Longest title of a node, in bytes: the kernel's `v4l2_device` keeps 64.
const LONGEST_TITLE: usize = 64;
/// Most symbolic links from a configured name to its node.
const MOST_LINKS: usize = 8;

/// A video node that is a camera, as far as sysfs tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CameraNode {
    /// The node's name below `/dev`, such as `video0`.
    pub(crate) node: String,
    /// What the driver calls it; for a USB camera, what it calls itself.
    pub(crate) title: String,
    /// Its name in `/dev/v4l/by-path`: the same for whatever is plugged into that port.
    by_path: Option<PathBuf>,
    /// Its name in `/dev/v4l/by-id`: the same in every port, but also the same for all cameras of a model that has no
    /// serial numbers.
    by_id: Option<PathBuf>,
    usb: Option<UsbCamera>,
}

/// A camera of the USB Video Class.
#[derive(Clone, Debug, PartialEq, Eq)]
struct UsbCamera {
    /// What udev makes the name in `by-id` of: vendor, product, serial number.
    identity: [Option<String>; 3],
    /// The number of its control interface.
    control: u8,
}

fn read(root: &Path, path: &str) -> Option<String> {
    let mut text = Vec::new();
    // A file of sysfs has at most a page.
    std::fs::File::open(root.join(path)).ok()?.take(4096).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).trim_end_matches(['\0', '\n']).to_owned())
}

fn names(root: &Path, dir: &str) -> Vec<String> {
    let found = std::fs::read_dir(root.join(dir)).into_iter().flatten().flatten();
    let mut names: Vec<String> = found.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The number in `video12`; `None` for other names.
fn number(node: &str) -> Option<u32> {
    node.strip_prefix("video")?.parse().ok()
}

impl CameraNode {
    /// The camera behind `node`, a name in `/sys/class/video4linux`; `None` for what is no camera there.
    fn look(root: &Path, node: &str) -> Option<Self> {
        let title = clean(&read(root, &format!("{CLASS}/{node}/name"))?, LONGEST_TITLE);
        // A camera has a second node for what is no picture.
        let is_first = read(root, &format!("{CLASS}/{node}/index")).is_none_or(|index| index == "0");
        if number(node).is_none() || !is_first {
            return None;
        }
        let interface = |file: &str| {
            let text = read(root, &format!("{CLASS}/{node}/device/{file}"))?;
            u8::from_str_radix(&text, 16).ok()
        };
        let class = interface("bInterfaceClass");
        if class.is_none() && NO_CAMERAS.iter().any(|part| title.contains(part)) {
            return None;
        }
        let device = |file: &str| read(root, &format!("{CLASS}/{node}/device/../{file}"));
        let usb = class.filter(|class| *class == uvc::VIDEO).and_then(|_| {
            let identity = ["idVendor", "idProduct", "serial"].map(device);
            Some(UsbCamera { identity, control: interface("bInterfaceNumber")? })
        });
        let link = |dir: &str| {
            let leads_here = |link: &String| {
                let target = std::fs::read_link(root.join(dir).join(link)).unwrap_or_default();
                target.file_name() == Some(OsStr::new(node))
            };
            names(root, dir).into_iter().find(leads_here).map(|link| Path::new("/").join(dir).join(link))
        };
        Some(Self { node: node.to_owned(), title, by_path: link(BY_PATH), by_id: link(BY_ID), usb })
    }

    /// Whether its class says that it is a camera. Of others only an open node tells.
    pub(crate) const fn is_certain(&self) -> bool {
        self.usb.is_some()
    }

    /// Its name by the port that it is plugged into, which two cameras never share. Its number where udev has none.
    pub(crate) fn port_name(&self) -> PathBuf {
        self.by_path.clone().unwrap_or_else(|| Path::new("/dev").join(&self.node))
    }

    /// Whether udev's name by id may mean this camera or one of `others`.
    pub(crate) fn shares_id(&self, others: &[Self]) -> bool {
        let identity = self.usb.as_ref().map(|usb| &usb.identity);
        let same = |other: &&Self| other.usb.as_ref().map(|usb| &usb.identity) == identity;
        identity.is_some() && others.iter().filter(|other| other.node != self.node).any(|other| same(&other))
    }

    /// The name to write into the configuration, where `all` are plugged in: by id, which holds in every port, unless
    /// two cameras share it.
    pub(crate) fn lasting_name(&self, all: &[Self]) -> PathBuf {
        self.by_id.clone().filter(|_| !self.shares_id(all)).unwrap_or_else(|| self.port_name())
    }

    /// What it offers, as its descriptors say. Empty for what is no camera of the USB Video Class.
    pub(crate) fn offers(&self, root: &Path) -> Vec<Offer> {
        let Some(usb) = &self.usb else { return Vec::new() };
        let mut descriptors = Vec::new();
        let file = std::fs::File::open(root.join(format!("{CLASS}/{}/device/../descriptors", self.node)));
        let read = file.and_then(|file| file.take(uvc::LONGEST).read_to_end(&mut descriptors));
        if read.is_err() {
            return Vec::new();
        }
        uvc::offers(&descriptors, usb.control)
    }

    fn is_csi_receiver(&self) -> bool {
        CSI_RECEIVERS.iter().any(|receiver| self.title.starts_with(receiver))
    }
}

/// The cameras of the machine whose files are below `root`, by their nodes' numbers.
pub(crate) fn cameras(root: &Path) -> Vec<CameraNode> {
    let mut nodes = names(root, CLASS);
    nodes.sort_by_key(|node| number(node));
    nodes.iter().filter_map(|node| CameraNode::look(root, node)).collect()
}

/// The cameras that `[video] device = "auto"` may mean, the first one first. Those of USB come before others, of which
/// it is not certain that they are cameras; among each, the order is that of their names by port, and does not depend
/// on when each was plugged in.
pub(crate) fn auto_candidates(root: &Path) -> Vec<CameraNode> {
    let mut all: Vec<_> = cameras(root).into_iter().filter(|camera| !camera.is_csi_receiver()).collect();
    // The sort is stable: those without a name by port stay in the order of their numbers.
    all.sort_by_key(|camera| (!camera.is_certain(), camera.by_path.is_none(), camera.by_path.clone()));
    all
}

/// Whether a camera is on the CSI connector.
pub(crate) fn has_csi_receiver(root: &Path) -> bool {
    let titles = names(root, CLASS).into_iter().filter_map(|node| read(root, &format!("{CLASS}/{node}/name")));
    titles.into_iter().any(|title| CSI_RECEIVERS.iter().any(|receiver| title.starts_with(receiver)))
}

/// The video node that `device` leads to, such as `video0`; `None` where it leads to none of the kernel's.
pub(crate) fn node_of(root: &Path, device: &Path) -> Option<String> {
    let mut path = root.join(device.strip_prefix("/").unwrap_or(device));
    for _ in 0..=MOST_LINKS {
        let name = path.file_name()?.to_str()?;
        if number(name).is_some() && root.join(CLASS).join(name).exists() {
            return Some(name.to_owned());
        }
        let target = std::fs::read_link(&path).ok()?;
        // A target that begins with `/` is taken whole.
        path = path.parent()?.join(target);
    }
    None
}
