//! Which camera `[video] device = "auto"` opens, and that a session stays with it: GStreamer's v4l2src, and devices of
//! `tests/support/devices.c`.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;

use crate::ingest::{Nginx, packets};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};
use crate::unplug::devices;

/// Capabilities of nodes (linux/videodev2.h): encoders of two kinds, and what is no picture.
const M2M: &str = "8000";
const CAPTURE_AND_OUTPUT: &str = "3";
const META_CAPTURE: &str = "800000";

/// A folder with what `/dev` and `/sys` say of cameras.
struct Tree(PathBuf);

/// A device in it.
struct Node<'a> {
    /// Of `/dev/video…`.
    number: u32,
    title: &'a str,
    index: u32,
    /// Its name in `/dev/v4l/by-path`.
    by_path: &'a str,
    is_usb: bool,
}

impl<'a> Node<'a> {
    /// A webcam; all are of one model.
    const fn webcam(number: u32, by_path: &'a str) -> Self {
        Self { number, title: "HD Webcam", index: 0, by_path, is_usb: true }
    }

    /// A device of the board.
    const fn of_board(number: u32, title: &'a str, by_path: &'a str) -> Self {
        Self { number, title, index: 0, by_path, is_usb: false }
    }
}

impl Tree {
    fn new(shop: &TestBox) -> Self {
        Self(shop.path("devices"))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn plug(&self, node: &Node<'_>) {
        let name = format!("video{}", node.number);
        let class = format!("sys/class/video4linux/{name}");
        self.write(&format!("{class}/name"), node.title);
        self.write(&format!("{class}/index"), &node.index.to_string());
        if node.is_usb {
            self.write(&format!("{class}/device/bInterfaceClass"), "0e");
            self.write(&format!("{class}/device/bInterfaceNumber"), "00");
        }
        std::fs::create_dir_all(self.0.join("dev/v4l/by-path")).unwrap();
        symlink("/dev/null", self.0.join("dev").join(&name)).unwrap();
        symlink(format!("../../{name}"), self.0.join("dev/v4l/by-path").join(node.by_path)).unwrap();
    }

    fn unplug(&self, node: &Node<'_>) {
        std::fs::remove_file(self.0.join("dev/v4l/by-path").join(node.by_path)).unwrap();
        std::fs::remove_file(self.0.join(format!("dev/video{}", node.number))).unwrap();
        std::fs::remove_dir_all(self.0.join(format!("sys/class/video4linux/video{}", node.number))).unwrap();
    }

    /// The nodes that gave pictures, each time that one began to.
    fn streamed(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.join("streamed")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// A guard of a box with this `plan`, whose capture finds the devices of `tree`.
fn start(shop: &TestBox, plan: &BoxConfig, tree: &Tree, device: &str) -> Program {
    let video = format!(
        "source = \"v4l2\"\ndevice = \"{device}\"\nwidth = 320\nheight = 180\nbitrate-kbps = 400\nadaptive = false\n"
    );
    shop.configure(&BoxConfig { video, ..plan.clone() });
    let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
    let mut command = shop.command(&["guard"]);
    command.env("LD_PRELOAD", devices(shop.dir.path())).env("FAKE_DEVICES", &tree.0);
    command.env("FAKE_MODES", "YUYV:320x180:30");
    let guard = Program::start(command.stdin(Stdio::null()).stderr(log));
    wait_until("the guard answers", || shop.status().is_some());
    guard
}

/// What `status` says of the camera once capture has told it.
fn camera(shop: &TestBox) -> String {
    let told = || shop.status().is_some_and(|status| status["camera"].is_string());
    wait_until("the camera is told", told);
    shop.status().unwrap()["camera"].as_str().unwrap().to_owned()
}

/// What `camera` says of one with this name in `/dev/v4l/by-path`.
fn taken(by_path: &str) -> String {
    format!("YUY2 320x180 at 30/s from /dev/v4l/by-path/{by_path}")
}

/// A press starts a session and another one ends it; in between, what `status` says of its camera.
fn camera_of_a_session(shop: &TestBox) -> String {
    shop.press();
    let camera = camera(shop);
    shop.press();
    shop.wait_for_phase("idle");
    camera
}

#[test]
fn auto_passes_over_encoders_and_what_gives_no_pictures() {
    let plan = BoxConfig { audio: "source = \"none\"\n".to_owned(), ..BoxConfig::default() };
    let shop = TestBox::new(&plan);
    let tree = Tree::new(&shop);
    // By their names the first three could be cameras: only the open node tells.
    tree.plug(&Node::of_board(0, "acme0", "platform-a-video-index0"));
    tree.plug(&Node::of_board(1, "acme1", "platform-b-video-index0"));
    tree.plug(&Node::of_board(2, "acme2", "platform-c-video-index0"));
    tree.plug(&Node::of_board(3, "bcm2835-codec-encode", "platform-d-video-index0"));
    for (node, capabilities) in [("video0", M2M), ("video1", CAPTURE_AND_OUTPUT), ("video2", META_CAPTURE)] {
        tree.write(&format!("caps/{node}"), capabilities);
    }
    let mut guard = start(&shop, &plan, &tree, "auto");
    shop.press();
    let said = || shop.status().is_some_and(|status| status["phase"] == "idle" && status["message"].is_string());
    wait_until("it is told that there is none", said);
    let message = shop.status().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("there is no camera ([video] device = \"auto\"): plug one in"), "{message}");

    tree.plug(&Node::of_board(4, "acme4", "platform-e-video-index0"));
    assert_eq!(camera_of_a_session(&shop), taken("platform-e-video-index0"));
    // A webcam is a camera for certain. Its node for metadata comes first by number and by name.
    tree.plug(&Node { index: 1, ..Node::webcam(5, "pci-0-usb-0:1:1.0-video-index1") });
    tree.plug(&Node::webcam(6, "pci-0-usb-0:2:1.0-video-index0"));
    assert_eq!(camera_of_a_session(&shop), taken("pci-0-usb-0:2:1.0-video-index0"));
    assert_eq!(tree.streamed(), ["video4", "video6"]);
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn two_cameras_of_one_model_are_told_apart_by_their_ports() {
    let plan = BoxConfig { audio: "source = \"none\"\n".to_owned(), ..BoxConfig::default() };
    let shop = TestBox::new(&plan);
    let tree = Tree::new(&shop);
    let [first, second] = ["pci-0-usb-0:1:1.0-video-index0", "pci-0-usb-0:2:1.0-video-index0"];
    tree.plug(&Node::webcam(0, second));
    tree.plug(&Node::webcam(2, first));
    let mut guard = start(&shop, &plan, &tree, "auto");
    assert_eq!(camera_of_a_session(&shop), taken(first), "by its port, not by its number");
    assert_eq!(guard.finish(), Some(0));
    let mut guard = start(&shop, &plan, &tree, &format!("/dev/v4l/by-path/{second}"));
    assert_eq!(camera_of_a_session(&shop), "YUY2 320x180 at 30/s");
    assert_eq!(tree.streamed(), ["video2", "video0"]);
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn a_session_stays_with_the_camera_that_auto_found() {
    let nginx = Nginx::new();
    let plan = BoxConfig { ingest: nginx.url(), audio: "source = \"none\"\n".to_owned(), ..BoxConfig::default() };
    let shop = TestBox::new(&plan);
    let tree = Tree::new(&shop);
    let [earlier, own] = ["pci-0-usb-0:1:1.0-video-index0", "pci-0-usb-0:2:1.0-video-index0"];
    tree.plug(&Node::webcam(0, own));
    let mut guard = start(&shop, &plan, &tree, "auto");
    shop.press();
    shop.wait_for_phase("live");
    assert_eq!(camera(&shop), taken(own));
    let arrived = || nginx.recordings().first().map_or(0, |file| packets(file, "v").len());
    wait_until("pictures arrive", || arrived() > 30);

    let said = |what: &str| shop.log().matches(what).count();
    tree.unplug(&Node::webcam(0, own));
    // Another one of the same model has its number and an earlier port.
    tree.plug(&Node::webcam(0, earlier));
    wait_until("it is missed", || said("WARN camera-lost: ") == 1);
    // At 30 a second, for several attempts to open it again.
    let before = arrived();
    wait_until("the slate is sent", || arrived() > before + 60);
    assert_eq!((said("camera-lost: it is back"), tree.streamed()), (0, vec!["video0".to_owned()]));
    tree.plug(&Node::webcam(2, own));
    wait_until("it is back", || said("camera-lost: it is back") == 1);
    assert_eq!((camera(&shop), tree.streamed()), (taken(own), vec!["video0".to_owned(), "video2".to_owned()]));
    assert!(shop.log().contains(&format!("the camera /dev/v4l/by-path/{own}")), "{}", shop.log());
    shop.press();
    shop.wait_for_phase("idle");
    // The next session takes what is first then.
    assert_eq!(camera_of_a_session(&shop), taken(earlier));
    assert_eq!(guard.finish(), Some(0));
}
