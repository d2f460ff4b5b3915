//! Camera and microphone are pulled out together and put back, again and again, without any hardware:
//! `tests/support/devices.c` stands between capture and its devices. GStreamer's v4l2src and alsasrc are the real ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ingest::{Nginx, packets};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, poll, wait_until};

const ROUNDS: usize = 6;

/// The library, compiled into `dir`.
pub(crate) fn devices(dir: &Path) -> PathBuf {
    let (source, made) = (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/devices.c"), dir.join("devices.so"));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&made).arg(source).args(["-ldl", "-lpthread"]);
    let said = cc.output().unwrap();
    assert!(said.status.success(), "{said:?}");
    made
}

/// Descriptors and threads of a process.
fn held(pid: i32) -> (usize, usize) {
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    (count("fd"), count("task"))
}

/// What a camera gives decides whether its own buffers go through the whole pipeline, or end at a conversion.
#[test]
fn camera_and_microphone_lost_at_once_come_back_and_leave_nothing_behind() {
    for layout in ["YU12", "YUYV"] {
        lost_and_back(layout);
    }
}

fn lost_and_back(layout: &str) {
    let nginx = Nginx::new();
    let plan = BoxConfig { ingest: nginx.url(), audio: "source = \"alsa\"\n".to_owned(), ..BoxConfig::default() };
    let shop = TestBox::new(&plan);
    let (camera, microphone) = (shop.path("camera"), shop.path("microphone"));
    let video = format!(
        "source = \"v4l2\"\ndevice = \"{}\"\nwidth = 320\nheight = 180\nbitrate-kbps = 400\nadaptive = false\n",
        camera.display()
    );
    shop.configure(&BoxConfig { video, ..plan });
    let plug = || {
        std::os::unix::fs::symlink("/dev/null", &camera).unwrap();
        std::fs::write(&microphone, "").unwrap();
    };
    plug();
    let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
    let mut command = shop.command(&["guard"]);
    command.env("LD_PRELOAD", devices(shop.dir.path()));
    command.env("FAKE_CAMERA", &camera).env("FAKE_MICROPHONE", &microphone).env("FAKE_FORMAT", layout);
    let mut guard = Program::start(command.stdin(Stdio::null()).stderr(log));
    wait_until("the guard answers", || shop.status().is_some());
    shop.press();
    shop.wait_for_phase("live");
    let capture = shop.captures();
    let file = || nginx.recordings().remove(0);
    wait_until("pictures arrive", || !nginx.recordings().is_empty() && packets(&file(), "v").len() > 60);

    let said = |what: &str| shop.log().matches(what).count();
    let mut counts = Vec::new();
    for round in 1..=ROUNDS {
        std::fs::remove_file(&camera).unwrap();
        std::fs::remove_file(&microphone).unwrap();
        let lost = || said("WARN camera-lost: ") == round && said("WARN microphone-lost: ") == round;
        wait_until("both are missed", lost);
        let status = shop.status().unwrap();
        assert_eq!((status["phase"].as_str(), status["reason"].as_str()), (Some("live"), Some("camera-lost")));
        assert!(shop.lamp_says_capturing());
        plug();
        let back = || said("camera-lost: it is back") == round && said("microphone-lost: it is back") == round;
        wait_until("both are back", back);
        assert!(shop.status().unwrap()["reason"].is_null(), "{:?}", shop.status());
        // What closes takes a moment, and what reads the kernel's tables has one more open meanwhile.
        let limit = std::time::Duration::from_secs(20);
        let now = || held(capture[0]);
        let settled = poll(limit, || counts.first().is_none_or(|first| now() <= *first).then(now));
        counts.push(settled.unwrap_or_else(now));
    }
    println!("{layout}: descriptors and threads after each return: {counts:?}");
    assert!(counts.iter().all(|count| count.0 <= counts[0].0 && count.1 <= counts[0].1), "{counts:?}");
    assert_eq!((shop.captures(), shop.phase().as_str()), (capture, "live"), "it is the same session");
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(guard.finish(), Some(0));
    assert_eq!(nginx.recordings().len(), 1, "the connection held");
    for (track, most) in [("v", 2.0), ("a", 0.5)] {
        let all = packets(&file(), track);
        let step = all
            .windows(2)
            .map(|pair| pair[1].pts - pair[0].pts)
            .fold((f64::MAX, 0.0_f64), |found, step| (found.0.min(step), found.1.max(step)));
        // FLV counts milliseconds: sound that is made up around a return may have the time of the frame before it.
        assert!(step.0 >= 0.0 && step.1 < most, "{track}: steps of {step:?} s");
    }
}
