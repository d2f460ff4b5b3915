//! libcamera crashes, hangs and loses its camera while a stream is on air: `libcamera.c` is a plugin in its place. The
//! camera's process is real, and so is the box around it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::ingest::{Nginx, packets};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, poll, timed, wait_until};

/// The camera is back after this, from the death of its process on.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// A touch ends everything within this.
const STOPPED_WITHIN: Duration = Duration::from_millis(500);

/// A box whose camera is libcamera's.
struct Scene {
    nginx: Nginx,
    shop: TestBox,
    guard: Program,
    watch: Watch,
}

/// Compiles `libcamera.c`, which says what it does, into `dir`.
fn make_plugin(dir: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/appliance/libcamera.c");
    let (plugins, folder) = ("-DPLUGINS=\\\"$(pkg-config --variable=pluginsdir gstreamer-1.0)\\\"", dir.display());
    let compile = format!(
        "cc -shared -fPIC {plugins} -DFOLDER=\\\"{folder}\\\" -o {folder}/libgstlibcamera.so {source} \
         $(pkg-config --cflags --libs gstreamer-1.0)"
    );
    let made = Command::new("sh").args(["-c", &compile]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// The processes of cameras of the capture process `capture`.
fn cameras(capture: i32) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        // A process that is gone but not yet reaped has no command line, and no open files.
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        let is_camera = words.get(1..4)? == [&b"camera"[..], b"--parent", capture.to_string().as_bytes()];
        is_camera.then_some(pid)
    })
    .collect()
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Counts the camera's processes all the time.
struct Watch {
    most: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(config: &Path) -> Self {
        let (most, is_over): (Arc<AtomicUsize>, Arc<AtomicBool>) = Default::default();
        let (seen, ended, config) = (most.clone(), is_over.clone(), config.to_owned());
        let count = move || {
            let shop = TestBox { dir: tempfile::tempdir().unwrap(), config };
            while !ended.load(Ordering::Relaxed) {
                let now = shop.captures().into_iter().flat_map(cameras).count();
                seen.fetch_max(now, Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(5));
            }
        };
        Self { most, is_over, thread: Some(std::thread::spawn(count)) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Scene {
    fn new() -> Self {
        let nginx = Nginx::new();
        let plan = BoxConfig {
            ingest: nginx.url(),
            audio: "source = \"none\"\n".to_owned(),
            video: "source = \"libcamera\"\nwidth = 320\nheight = 180\nbitrate-kbps = 400\nadaptive = false\n"
                .to_owned(),
            ..BoxConfig::default()
        };
        let shop = TestBox::new(&plan);
        make_plugin(shop.dir.path());
        let watch = Watch::start(&shop.config);
        let guard = shop.start_with("guard", "GST_PLUGIN_PATH", shop.dir.path().to_str().unwrap());
        Self { nginx, shop, guard, watch }
    }

    /// A press; returns capture and the camera's process once the stream is live, and pictures have arrived.
    fn go_live(&self) -> (i32, i32) {
        self.shop.press();
        self.shop.wait_for_phase("live");
        let recorded = || self.nginx.recordings().last().is_some_and(|file| packets(file, "v").len() > 30);
        wait_until("pictures arrive", recorded);
        let capture = self.shop.captures()[0];
        (capture, self.camera(capture))
    }

    fn camera(&self, capture: i32) -> i32 {
        let all = cameras(capture);
        assert_eq!(all.len(), 1, "{all:?}\n{}", self.shop.log());
        all[0]
    }

    /// The library crashes with its next picture.
    fn crash(&self) {
        std::fs::write(self.shop.path("crash"), "").unwrap();
    }

    fn said(&self, what: &str) -> usize {
        self.shop.log().matches(what).count()
    }

    /// Waits until the camera was missed and came back for the time `round`; within `limit`.
    #[track_caller]
    fn wait_until_back(&self, round: usize, limit: Duration) {
        let is_back = || self.said("WARN camera-lost: ") == round && self.said("camera-lost: it is back") == round;
        let back = poll(limit, || is_back().then_some(()));
        assert!(back.is_some(), "the camera did not come back within {limit:?}\n{}", self.shop.log());
    }

    /// What must hold at the end of each test.
    fn finish(mut self) {
        assert_eq!(self.guard.finish(), Some(0));
        assert_eq!(self.watch.most.load(Ordering::Relaxed), 1, "processes of the camera at once");
        assert!(!self.shop.path("twice").exists(), "the camera was opened while it was open");
    }
}

/// Descriptors, threads and KiB of anonymous memory of a process.
fn held(pid: i32) -> (usize, usize, u64) {
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    (count("fd"), count("task"), memory.trim().trim_end_matches(" kB").parse().unwrap())
}

#[test]
fn crashes_of_libcamera_end_no_session_and_leave_nothing_behind() {
    const ROUNDS: usize = 20;
    let shop = Scene::new();
    let (capture, mut camera) = shop.go_live();
    let mode = shop.shop.status().unwrap()["camera"].clone();
    assert!(mode.as_str().is_some_and(|mode| mode == "NV12 320x180 at 30/s"), "{mode}");
    let mut counts = Vec::new();
    for round in 1..=ROUNDS {
        let ((), took) = timed(|| {
            shop.crash();
            shop.wait_until_back(round, BACK_WITHIN);
        });
        println!("round {round}: back after {took:?}");
        assert_eq!(shop.shop.captures(), [capture], "it is the same session");
        let next = shop.camera(capture);
        assert_ne!(next, camera);
        camera = next;
        // The reader of the ended process, and what reads the kernel's tables, are gone in a moment.
        let (limit, now) = (Duration::from_secs(20), || held(capture));
        let is_settled = |(files, threads, _): (usize, usize, u64)| {
            counts.first().is_none_or(|first: &(usize, usize, u64)| files <= first.0 && threads <= first.1)
        };
        counts.push(poll(limit, || Some(now()).filter(|held| is_settled(*held))).unwrap_or_else(now));
    }
    println!("descriptors, threads and KiB after each return: {counts:?}");
    assert!(counts.iter().all(|count| count.0 <= counts[0].0 && count.1 <= counts[0].1), "{counts:?}");
    // A picture has 86 KiB; what a process of the camera takes in capture, several of them.
    assert!(counts[ROUNDS - 1].2 < counts[1].2 + 2048, "{counts:?}");
    assert!(shop.said("SIGSEGV") >= ROUNDS, "the log says how it ended");
    assert_eq!((shop.shop.phase().as_str(), shop.nginx.recordings().len()), ("live", 1), "the connection held");
    assert!(shop.shop.lamp_says_capturing());
    let before = packets(&shop.nginx.recordings()[0], "v").len();
    wait_until("pictures go on", || packets(&shop.nginx.recordings()[0], "v").len() > before + 30);
    shop.shop.press();
    shop.shop.wait_for_phase("idle");
    let all = packets(&shop.nginx.recordings()[0], "v");
    let longest = all.windows(2).map(|pair| pair[1].pts - pair[0].pts).fold(0.0, f64::max);
    assert!(longest < 2.0, "a gap of {longest} s: the slate fills what is missing");
    let kinds = shop.shop.kinds();
    for kind in ["session-start", "on-air", "session-end"] {
        assert!(kinds.iter().filter(|known| *known == kind).count() <= 1, "{kinds:?}");
    }
    shop.finish();
}

#[test]
fn a_camera_process_that_hangs_is_replaced() {
    let shop = Scene::new();
    let (capture, mut camera) = shop.go_live();
    for round in 1..=3 {
        signal(camera, Signal::STOP);
        // A second without a picture, until it counts as hung, is ahead of the two.
        shop.wait_until_back(round, BACK_WITHIN + Duration::from_millis(1300));
        let next = shop.camera(capture);
        assert_ne!(next, camera);
        camera = next;
    }
    assert_eq!(shop.shop.captures(), [capture]);
    shop.shop.press();
    shop.shop.wait_for_phase("idle");
    shop.finish();
}

#[test]
fn a_touch_ends_capture_and_the_cameras_process() {
    let shop = Scene::new();
    let mut took = Duration::MAX;
    // Other work on the machine only adds to it.
    for _ in 0..3 {
        let (capture, camera) = shop.go_live();
        let is_there = |pid: i32| Path::new(&format!("/proc/{pid}")).exists();
        let ((), now) = timed(|| {
            let mut finger = shop.shop.command(&["press", "--hold", "0.15"]).stdin(Stdio::null()).spawn().unwrap();
            wait_until("both are gone", || !is_there(camera) && !is_there(capture));
            assert!(finger.wait().unwrap().success());
        });
        shop.shop.wait_for_phase("idle");
        assert_eq!(cameras(capture), [0; 0]);
        println!("a touch took {now:?}");
        took = took.min(now);
        if took <= STOPPED_WITHIN {
            break;
        }
    }
    assert!(took <= STOPPED_WITHIN, "{took:?}");
    shop.finish();
}

#[test]
fn the_cameras_process_ends_with_a_capture_that_is_killed() {
    let shop = Scene::new();
    let (capture, camera) = shop.go_live();
    // Not even one that is stopped is left.
    signal(camera, Signal::STOP);
    signal(capture, Signal::KILL);
    shop.shop.wait_for_phase("idle");
    assert_eq!(cameras(capture), [0; 0], "the lamp is dark, and the camera's process is there");
    assert!(!shop.shop.lamp_says_capturing());
    shop.finish();
}

#[test]
fn crashes_before_the_first_picture_end_no_session() {
    let shop = Scene::new();
    std::fs::write(shop.shop.path("crashes"), "..").unwrap();
    let (capture, _) = shop.go_live();
    assert_eq!(shop.said("it is started again"), 2, "{}", shop.shop.log());
    assert_eq!(shop.shop.captures(), [capture]);
    assert!(!shop.shop.log().contains("camera-lost"), "{}", shop.shop.log());
    shop.shop.press();
    shop.shop.wait_for_phase("idle");
    shop.finish();
}

#[test]
fn a_camera_that_is_unplugged_is_told_and_comes_back() {
    let shop = Scene::new();
    let unplugged = shop.shop.path("unplugged");
    std::fs::write(&unplugged, "").unwrap();
    shop.shop.press();
    let told = || shop.shop.status().is_some_and(|status| status["phase"] == "idle" && status["message"].is_string());
    wait_until("a missing camera is told", told);
    let message = shop.shop.status().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("the camera on the CSI connector (libcamera) is not there"), "{message}");
    std::fs::remove_file(&unplugged).unwrap();

    let (capture, _) = shop.go_live();
    std::fs::write(&unplugged, "").unwrap();
    shop.crash();
    wait_until("it is missed", || shop.said("WARN camera-lost: ") == 1);
    let status = shop.shop.status().unwrap();
    assert_eq!((status["phase"].as_str(), status["reason"].as_str()), (Some("live"), Some("camera-lost")));
    std::fs::remove_file(&unplugged).unwrap();
    shop.wait_until_back(1, BACK_WITHIN);
    assert!(shop.shop.status().unwrap()["reason"].is_null());
    assert_eq!(shop.shop.captures(), [capture]);
    shop.shop.press();
    shop.shop.wait_for_phase("idle");
    shop.finish();
}

/// Its standard input stays open, and nobody else kills it.
#[test]
fn the_kernel_ends_the_cameras_process_with_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    assert!(Command::new("mkfifo").arg(&input).status().unwrap().success());
    let held = std::fs::OpenOptions::new().read(true).write(true).open(&input).unwrap();
    let script = format!("\"$0\" camera --parent $$ <{0} >/dev/null 2>{0}.log & echo $!; wait", input.display());
    let mut parent = Command::new("sh");
    let mut parent = parent.args(["-c", &script, crate::support::TALLYBOX]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(parent.stdout.take().unwrap()), &mut line).unwrap();
    let camera = format!("/proc/{}", line.trim());
    // What it does for its end comes ahead of this.
    let file = |number: u32| std::fs::read_link(format!("{camera}/fd/{number}")).ok();
    wait_until("standard output is the log", || file(1).is_some() && file(1) == file(2));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let is_gone = || std::fs::read(format!("{camera}/cmdline")).map_or(true, |words| words.is_empty());
    wait_until("it is gone", is_gone);
    drop(held);
}

/// By hand, or from another program: it is nothing without capture.
#[test]
fn the_cameras_role_is_only_for_capture() {
    let alone = Command::new(crate::support::TALLYBOX).args(["camera", "--parent", "1"]).stdin(Stdio::null()).output();
    let alone = alone.unwrap();
    assert_eq!(alone.status.code(), Some(64), "{alone:?}");
    assert!(String::from_utf8_lossy(&alone.stderr).contains("press the button"), "{alone:?}");
}
