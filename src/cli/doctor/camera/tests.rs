//! Machines with cameras, and what is said of them.

use super::super::CheckStatus;
use super::*;
use crate::camera::webcams;

/// The files of a machine.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn link(&self, name: &str, to: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, path).unwrap();
    }

    /// A video node, its `index` among those of its device.
    fn node(&self, number: u32, title: &str, index: u32) {
        self.write(&format!("sys/class/video4linux/video{number}/name"), format!("{title}\n"));
        self.write(&format!("sys/class/video4linux/video{number}/index"), format!("{index}\n"));
        self.write(&format!("dev/video{number}"), "");
    }

    /// A USB camera in a port: its node, and the one for metadata behind it.
    fn webcam(&self, number: u32, title: &str, port: &str, descriptors: &[u8]) {
        let usb = format!("sys/devices/pci0/usb1/1-{port}");
        self.write(&format!("{usb}/descriptors"), descriptors);
        self.write(&format!("{usb}/idVendor"), "046d\n");
        self.write(&format!("{usb}/idProduct"), "0825\n");
        self.write(&format!("{usb}/1-{port}:1.0/bInterfaceClass"), "0e\n");
        self.write(&format!("{usb}/1-{port}:1.0/bInterfaceNumber"), "00\n");
        for (number, index) in [(number, 0), (number + 1, 1)] {
            self.node(number, title, index);
            let device = format!("sys/class/video4linux/video{number}/device");
            self.link(&device, &format!("../../../devices/pci0/usb1/1-{port}/1-{port}:1.0"));
            let link = format!("dev/v4l/by-path/pci-0-usb-0:{port}:1.0-video-index{index}");
            self.link(&link, &format!("../../video{number}"));
        }
    }

    fn rows(&self, video: &str) -> Vec<CheckResult> {
        let path = self.0.path().join("tallybox.toml");
        std::fs::write(&path, format!("[ingest]\nurl = \"rtmps://a.cn/live/k\"\n[video]\n{video}\n")).unwrap();
        rows(&HostFiles::new(self.0.path()), &Config::load(&path).unwrap())
    }
}

fn says(row: &CheckResult, verdict: CheckStatus, found: &str, advice: &str) {
    assert_eq!((row.verdict, row.found.as_str()), (verdict, found));
    assert!(row.advice.contains(advice) && row.advice.is_empty() == advice.is_empty(), "{}", row.advice);
}

#[test]
fn modes_and_the_one_that_is_taken_are_listed() {
    let machine = Machine::new();
    machine.webcam(0, "HD Pro Webcam C920", "2", &webcams::c920());
    let rows = machine.rows("source = \"v4l2\"\ndevice = \"/dev/video0\"");
    says(
        &rows[0],
        CheckStatus::Ok,
        "HD Pro Webcam C920 (/dev/video0): JPEG 1280x720 at 30/s will be taken: exact size and rate; JPEG, because raw \
         is at most 10/s at this size",
        "",
    );
    let modes: Vec<_> = rows[1..].iter().map(|row| (row.check, row.found.as_str())).collect();
    assert_eq!(modes.len(), 3);
    assert_eq!(modes[2], ("camera-modes", "JPEG up to 30/s: 1920x1080, 1280x720, 640x480, 640x360, 160x90"));
    // Turned by a quarter, the camera's picture has the height as its width.
    let turned = machine.rows("source = \"v4l2\"\ndevice = \"/dev/video0\"\nrotation = 90\nwidth = 720\nheight = 1280");
    assert!(turned[0].found.contains("JPEG 1280x720 at 30/s will be taken: exact size"), "{}", turned[0].found);
}

#[test]
fn auto_takes_the_first_camera_by_its_port() {
    let machine = Machine::new();
    machine.node(3, "bcm2835-codec-encode", 0);
    machine.link("dev/v4l/by-path/platform-bcm2835-codec-video-index0", "../../video3");
    let auto = "source = \"v4l2\"\ndevice = \"auto\"";
    let none = machine.rows(auto);
    says(&none[0], CheckStatus::Fail, "none; video3 (bcm2835-codec-encode)", "plug the camera in");
    // The later number is in the earlier port.
    machine.webcam(4, "Front", "2", &webcams::cheap());
    machine.webcam(6, "Counter", "1", &webcams::cheap());
    let rows = machine.rows(auto);
    says(
        &rows[0],
        CheckStatus::Ok,
        "\"auto\" takes Counter (/dev/v4l/by-path/pci-0-usb-0:1:1.0-video-index0) and not Front \
         (/dev/v4l/by-path/pci-0-usb-0:2:1.0-video-index0): JPEG 1280x720 at 15/s will be taken: exact size, and no \
         rate as high as 30/s; JPEG, because there is no raw 1280x720",
        "",
    );
    // A ribbon camera comes before all of them, and is libcamera's.
    machine.node(0, "unicam-image", 0);
    let rows = machine.rows("device = \"auto\"");
    assert!(rows[0].found.starts_with("libcamera; video0 (unicam-image)"), "{}", rows[0].found);
}

#[test]
fn what_cannot_be_used_is_told_with_what_to_do() {
    let machine = Machine::new();
    machine.webcam(0, "Encoder Cam", "1", &webcams::only_h264());
    let rows = machine.rows("source = \"v4l2\"\ndevice = \"auto\"");
    assert!(rows[0].found.contains("gives only H.264, and tallybox takes raw pictures or JPEG"), "{}", rows[0].found);
    assert_eq!((rows[0].verdict, rows[0].advice.is_empty()), (CheckStatus::Fail, false));
    let second = machine.rows("source = \"v4l2\"\ndevice = \"/dev/video1\"");
    assert!(second[0].found.starts_with("/dev/video1 is video1, which is no camera"), "{}", second[0].found);
    let gone = machine.rows("source = \"v4l2\"\ndevice = \"/dev/video7\"");
    assert!(gone[0].found.starts_with("no /dev/video7; video0"), "{}", gone[0].found);
    assert_eq!((second[0].verdict, gone[0].verdict), (CheckStatus::Warn, CheckStatus::Fail));
    machine.node(4, "vivid-000-vid-cap", 0);
    let other = machine.rows("source = \"v4l2\"\ndevice = \"/dev/video4\"");
    says(
        &other[0],
        CheckStatus::Ok,
        "vivid-000-vid-cap (/dev/video4); tallybox doctor --probe tries it, and the guard's log has its mode",
        "",
    );
    assert_eq!(other.len(), 1);
}

#[test]
fn a_name_that_two_cameras_share_is_told() {
    let machine = Machine::new();
    machine.webcam(0, "C270", "1", &webcams::c270());
    machine.link("dev/v4l/by-id/usb-046d_0825-video-index0", "../../video0");
    let by_id = "source = \"v4l2\"\ndevice = \"/dev/v4l/by-id/usb-046d_0825-video-index0\"";
    assert_eq!(machine.rows(by_id)[0].verdict, CheckStatus::Ok);
    machine.webcam(2, "C270", "2", &webcams::c270());
    let row = machine.rows(by_id).remove(0);
    assert_eq!((row.verdict, row.found.contains("may mean either")), (CheckStatus::Warn, true), "{}", row.found);
    assert_eq!(row.advice, "set [video] device = \"/dev/v4l/by-path/pci-0-usb-0:1:1.0-video-index0\"");
    // A serial number makes them two.
    machine.write("sys/devices/pci0/usb1/1-2/serial", "A1B2\n");
    assert_eq!(machine.rows(by_id)[0].verdict, CheckStatus::Ok);
}
