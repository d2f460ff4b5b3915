//! What is there: cameras, microphones, GPIO chips, from sysfs and procfs alone. Nothing is opened.

use crate::camera::{self, CameraNode};
use crate::cli::host::HostFiles;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) cameras: Vec<Device>,
    pub(super) microphones: Vec<Device>,
    /// Names of GPIO chips.
    pub(super) gpio: Vec<String>,
}

/// A camera or microphone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// What the configuration calls it.
    pub(super) name: String,
    /// What a person knows it by.
    pub(super) title: String,
}

impl Device {
    fn shown(&self) -> String {
        format!("{} ({})", self.title, self.name)
    }
}

impl Found {
    /// Looks at `machine`.
    pub(super) fn look(machine: &HostFiles) -> Self {
        Self {
            cameras: cameras(machine),
            microphones: microphones(machine),
            gpio: machine.names("/sys/bus/gpio/devices"),
        }
    }

    /// Lines that say so.
    pub(super) fn lines(&self) -> Vec<String> {
        let all = |devices: &[Device], none: &str| {
            if devices.is_empty() {
                none.to_owned()
            } else {
                devices.iter().map(Device::shown).collect::<Vec<_>>().join(", ")
            }
        };
        let gpio = if self.gpio.is_empty() {
            "none: no button and no lamp can be connected".to_owned()
        } else {
            self.gpio.join(", ")
        };
        vec![
            format!("camera      {}", all(&self.cameras, "none is seen; plug one in before the first press")),
            format!("microphone  {}", all(&self.microphones, "none is seen; the stream will have no sound")),
            format!("GPIO        {gpio}"),
        ]
    }
}

fn cameras(machine: &HostFiles) -> Vec<Device> {
    let all = camera::cameras(&machine.path("/"));
    let device = |camera: &CameraNode| Device {
        name: camera.lasting_name(&all).display().to_string(),
        title: camera.title.clone(),
    };
    all.iter().map(device).collect()
}

fn microphones(machine: &HostFiles) -> Vec<Device> {
    let devices = machine.read("/proc/asound/pcm").unwrap_or_default();
    let mut found: Vec<Device> = Vec::new();
    // `01-00: USB Audio : USB Audio : capture 1`
    for line in devices.lines().filter(|line| line.contains(" capture ")) {
        let Some((number, rest)) = line.split_once('-') else { continue };
        let Ok(card) = number.parse::<u32>() else { continue };
        let Some(id) = machine.read(&format!("/proc/asound/card{card}/id")) else { continue };
        let title = rest.split(':').nth(1).unwrap_or_default().trim().to_owned();
        let name = format!("plughw:CARD={id}");
        if !found.iter().any(|known| known.name == name) {
            found.push(Device { name, title });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn cameras_are_named_so_that_they_are_found_again() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for (node, name, index) in [
            ("video0", "HD Pro Webcam C920", "0"),
            ("video1", "HD Pro Webcam C920", "1"),
            ("video10", "bcm2835-codec-decode", "0"),
            ("video2", "unicam-image", "0"),
        ] {
            write(root, &format!("sys/class/video4linux/{node}/name"), &format!("{name}\n"));
            write(root, &format!("sys/class/video4linux/{node}/index"), index);
        }
        let by_id = root.join("dev/v4l/by-id");
        std::fs::create_dir_all(&by_id).unwrap();
        std::os::unix::fs::symlink("../../video0", by_id.join("usb-046d_C920-video-index0")).unwrap();
        write(
            root,
            "proc/asound/pcm",
            "00-00: vc4-hdmi : vc4-hdmi : playback 1\n01-00: USB Audio : USB Audio : capture 1\n",
        );
        write(root, "proc/asound/card1/id", "C920\n");
        write(root, "sys/bus/gpio/devices/gpiochip0/label", "pinctrl-bcm2711");
        let found = Found::look(&HostFiles::new(root));
        let of = |name: &str, title: &str| Device { name: name.to_owned(), title: title.to_owned() };
        assert_eq!(
            found,
            Found {
                cameras: vec![
                    of("/dev/v4l/by-id/usb-046d_C920-video-index0", "HD Pro Webcam C920"),
                    of("/dev/video2", "unicam-image"),
                ],
                microphones: vec![of("plughw:CARD=C920", "USB Audio")],
                gpio: vec!["gpiochip0".to_owned()],
            }
        );
    }

    #[test]
    fn two_cameras_of_one_model_are_named_by_their_ports() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        // Neither has a serial number: udev's name by id is that of the one which was plugged in last.
        for (node, port) in [("video0", "0:1"), ("video2", "0:2")] {
            write(root, &format!("sys/class/video4linux/{node}/name"), "HD Webcam\n");
            for (file, text) in [("idVendor", "1bcf"), ("idProduct", "2b8a")] {
                write(root, &format!("sys/class/video4linux/{node}/{file}"), &format!("{text}\n"));
            }
            for (file, text) in [("bInterfaceClass", "0e"), ("bInterfaceNumber", "00")] {
                write(root, &format!("sys/class/video4linux/{node}/device/{file}"), &format!("{text}\n"));
            }
            let by_path = root.join("dev/v4l/by-path");
            std::fs::create_dir_all(&by_path).unwrap();
            let link = format!("pci-0000:00:14.0-usb-{port}:1.0-video-index0");
            std::os::unix::fs::symlink(format!("../../{node}"), by_path.join(link)).unwrap();
        }
        let by_id = root.join("dev/v4l/by-id");
        std::fs::create_dir_all(&by_id).unwrap();
        std::os::unix::fs::symlink("../../video2", by_id.join("usb-1bcf_HD_Webcam-video-index0")).unwrap();
        let found: Vec<_> = Found::look(&HostFiles::new(root)).cameras.into_iter().map(|camera| camera.name).collect();
        let by_port = |port: &str| format!("/dev/v4l/by-path/pci-0000:00:14.0-usb-{port}:1.0-video-index0");
        assert_eq!(found, [by_port("0:1"), by_port("0:2")]);
    }

    #[test]
    fn a_machine_with_nothing_is_told_so() {
        let root = tempfile::tempdir().unwrap();
        let lines = Found::look(&HostFiles::new(root.path())).lines().join("\n");
        assert!(lines.contains("plug one in") && lines.contains("no sound") && lines.contains("no button"), "{lines}");
    }
}
