//! Which of a camera's modes is opened, and how many pictures a second leave the box: with GStreamer's v4l2src and a
//! camera of `tests/support/devices.c`.

use std::process::{Command, Stdio};

use crate::ingest::{Nginx, packets};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};
use crate::unplug::devices;

/// A guard whose capture finds a camera with `modes`, and that is asked for `fps` pictures of 320x180.
fn start(shop: &TestBox, plan: &BoxConfig, modes: &str, fps: u32) -> Program {
    start_with(shop, plan, modes, fps, &[])
}

/// The same, with more of the environment.
fn start_with(shop: &TestBox, plan: &BoxConfig, modes: &str, fps: u32, more: &[(&str, &str)]) -> Program {
    let (camera, picture) = (shop.path("camera"), shop.path("picture.jpg"));
    let video = format!(
        "source = \"v4l2\"\ndevice = \"{}\"\nwidth = 320\nheight = 180\nfps = {fps}\nbitrate-kbps = 400\nadaptive = false\n",
        camera.display()
    );
    shop.configure(&BoxConfig { video, ..plan.clone() });
    let mut draw = Command::new("ffmpeg");
    draw.args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x180", "-frames:v", "1", "-pix_fmt", "yuvj420p"]);
    assert!(draw.arg("-y").arg(&picture).status().unwrap().success());
    plug(shop);
    let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
    let mut command = shop.command(&["guard"]);
    command.env("LD_PRELOAD", devices(shop.dir.path())).env("FAKE_CAMERA", &camera);
    command.env("FAKE_MODES", modes).env("FAKE_PICTURE", &picture).envs(more.iter().copied());
    let guard = Program::start(command.stdin(Stdio::null()).stderr(log));
    wait_until("the guard answers", || shop.status().is_some());
    guard
}

fn plug(shop: &TestBox) {
    std::os::unix::fs::symlink("/dev/null", shop.path("camera")).unwrap();
}

/// A camera as a C920 is, but for its size: raw pictures slowly, JPEG quickly, and no 25 or 20 a second.
const C920: &str = "YUYV:320x180:10 YUYV:320x180:5 MJPG:320x180:30 MJPG:320x180:24 MJPG:640x360:30 H264:320x180:30";

#[test]
fn a_camera_without_the_rate_gives_the_next_and_no_more_than_the_configured_one_leaves_also_after_a_replug() {
    let nginx = Nginx::new();
    let plan = BoxConfig { ingest: nginx.url(), audio: "source = \"none\"\n".to_owned(), ..BoxConfig::default() };
    let shop = TestBox::new(&plan);
    let mut guard = start(&shop, &plan, C920, 20);
    shop.press();
    shop.wait_for_phase("live");
    assert_eq!(shop.status().unwrap()["camera"], "JPEG 320x180 at 24/s");
    let arrived = || nginx.recordings().first().map_or_else(Vec::new, |file| packets(file, "v"));
    // What a counter that begins with the session would make up for.
    wait_until("pictures arrive for 6 s", || arrived().len() > 120);
    let said = |what: &str| shop.log().matches(what).count();
    std::fs::remove_file(shop.path("camera")).unwrap();
    wait_until("it is missed", || said("WARN camera-lost: ") == 1);
    plug(&shop);
    wait_until("it is back", || said("camera-lost: it is back") == 1);
    let back = arrived().len();
    wait_until("more pictures arrive", || arrived().len() > back + 100);
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(guard.finish(), Some(0));
    let pictures = arrived();
    let end = pictures.last().unwrap().pts;
    for from in pictures.iter().map(|picture| picture.pts).filter(|from| *from < end - 1.0) {
        let within = pictures.iter().filter(|picture| (from..from + 0.999).contains(&picture.pts)).count();
        // Slate and camera overlap by a picture at the change.
        assert!(within <= 22, "{within} pictures in the second from {from}");
    }
    let last = pictures.iter().filter(|picture| (end - 3.0..end - 1.0).contains(&picture.pts)).count();
    assert!((38..=42).contains(&last), "{last} pictures in two seconds");
}

#[test]
fn the_mode_moves_and_is_told() {
    let plan = BoxConfig { audio: "source = \"none\"\n".to_owned(), ..BoxConfig::default() };
    for (modes, fps, mode) in [
        (C920, 25, "JPEG 320x180 at 30/s"),
        (C920, 10, "YUYV 320x180 at 10/s"),
        ("MJPG:640x360:30 YUYV:160x90:30", 25, "JPEG 640x360 at 30/s"),
    ] {
        let shop = TestBox::new(&plan);
        let mut guard = start(&shop, &plan, modes, fps);
        shop.press();
        let told = || shop.status().is_some_and(|status| status["camera"].is_string());
        wait_until("the mode is told", told);
        assert_eq!(shop.status().unwrap()["camera"], mode.replace("YUYV", "YUY2"), "{modes} at {fps}");
        shop.press();
        shop.wait_for_phase("idle");
        guard.finish();
    }
}

#[test]
fn pictures_that_are_none_at_first_are_left_out() {
    let nginx = Nginx::new();
    let plan = BoxConfig { ingest: nginx.url(), audio: "source = \"none\"\n".to_owned(), ..BoxConfig::default() };
    let shop = TestBox::new(&plan);
    let mut guard = start_with(&shop, &plan, "MJPG:320x180:30", 30, &[("FAKE_BROKEN", "25")]);
    shop.press();
    shop.wait_for_phase("live");
    wait_until("pictures arrive", || nginx.recordings().first().is_some_and(|file| packets(file, "v").len() > 30));
    assert!(!shop.log().contains("camera-lost"), "{}", shop.log());
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn a_camera_that_gives_only_h264_is_told_by_its_name() {
    let plan = BoxConfig { audio: "source = \"none\"\n".to_owned(), ..BoxConfig::default() };
    let shop = TestBox::new(&plan);
    let mut guard = start(&shop, &plan, "H264:320x180:30 H264:640x360:30", 25);
    shop.press();
    let said = || shop.status().is_some_and(|status| status["phase"] == "idle" && status["message"].is_string());
    wait_until("it is told", said);
    let message = shop.status().unwrap()["message"].as_str().unwrap().to_owned();
    let camera = shop.path("camera").display().to_string();
    assert!(message.contains(&format!("the camera {camera} gives only H.264")), "{message}");
    guard.finish();
}
