//! An encoder that breaks while the stream is on air: a plugin in its place, and the whole box around it.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::broker::{Broker, Operator};
use crate::ingest::{Nginx, packets};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};

/// Compiles `broken_encoder.c`, which says what it does, into `dir`.
fn broken_encoder(dir: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/appliance/broken_encoder.c");
    let compile = format!(
        "cc -shared -fPIC -DPLUGINS=\\\"$(pkg-config --variable=pluginsdir gstreamer-1.0)\\\" -o {}/libgstvideo4linux2.so {source} $(pkg-config --cflags --libs gstreamer-1.0)",
        dir.display()
    );
    let made = Command::new("sh").args(["-c", &compile]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// The whole box, with the plugin.
fn run(shop: &TestBox, plugins: &Path, how: &str) -> Program {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(shop.path("log")).unwrap();
    let mut command = shop.command(&["run"]);
    command.env("GST_PLUGIN_PATH", plugins).env("GST_REGISTRY", plugins.join("registry"));
    let program = Program::start(command.env("BROKEN_ENCODER", how).stdin(Stdio::null()).stderr(log));
    wait_until("the guard answers", || shop.status().is_some());
    program
}

/// Decodes all of a recording; what the decoder complains about.
fn complaints(file: &Path) -> String {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-hide_banner", "-loglevel", "error", "-i"]).arg(file).args(["-map", "0:v", "-f", "null", "-"]);
    String::from_utf8(ffmpeg.stdin(Stdio::null()).output().unwrap().stderr).unwrap()
}

#[test]
fn software_takes_the_place_of_an_encoder_that_breaks_and_everybody_hears_of_it() {
    let plugins = tempfile::tempdir().unwrap();
    broken_encoder(plugins.path());
    for (how, said) in
        [("dumb", "no frame"), ("hangs", "no frame"), ("fails", "The device gave up"), ("same", "keyframe")]
    {
        let (nginx, broker) = (Nginx::new(), Broker::new(""));
        let mut operator = Operator::connect(broker.port);
        let plan = BoxConfig { ingest: nginx.url(), mqtt: broker.url(), ..BoxConfig::default() };
        let shop = TestBox::new(&plan);
        let mut run = run(&shop, plugins.path(), how);
        operator.wait_for_phase("idle");
        shop.press();
        shop.wait_for_phase("live");
        let encoder = || shop.status().unwrap()["encoder"].as_str().unwrap_or_default().to_owned();
        assert_eq!(encoder(), "v4l2h264enc: the hardware encoder passed its trial");
        let capture = shop.captures();

        wait_until("software goes on", || encoder().starts_with("x264enc"));
        let status = shop.status().unwrap();
        assert_eq!((status["phase"].as_str(), status["reason"].as_str()), (Some("live"), Some("encoder-fallback")));
        let why = status["message"].as_str().unwrap();
        assert!(why.starts_with("x264enc: in place of v4l2h264enc: ") && why.contains(said), "{how}: {why}");
        assert!(shop.lamp_says_capturing());
        let is_it = |fact: &Value| {
            fact["kind"] == "encoder-fallback"
                && (&fact["from"], &fact["to"]) == (&"v4l2h264enc".into(), &"x264enc".into())
                && fact["why"].as_str().is_some_and(|why| why.contains(said))
        };
        operator.wait_for_each(&[
            ("the state", &|message| message["topic"] == "state" && message["payload"]["reason"] == "encoder-fallback"),
            ("the event", &|message| message["topic"] == "event" && is_it(&message["payload"]["fact"])),
        ]);
        let frames = |message: &Value| message["payload"]["fps"].as_f64().is_some_and(|fps| fps > 20.0);
        operator.wait("frames go on", |message| message["topic"] == "telemetry" && frames(message));

        let file = nginx.recordings().remove(0);
        let begin = packets(&file, "v").len();
        wait_until("pictures go on", || packets(&file, "v").len() > begin + 120);
        assert_eq!((shop.captures(), shop.phase().as_str()), (capture, "live"), "it is the same session");
        shop.press();
        shop.wait_for_phase("idle");
        assert_eq!(run.finish(), Some(0));
        assert!(!plugins.path().join("registry").exists(), "a press waits for no list of plugins");
        shop.verify();
        assert_eq!(shop.ledger().iter().filter(|fact| is_it(fact)).count(), 1);
        assert_eq!(shop.kinds().iter().filter(|kind| *kind == "on-air").count(), 1, "the connection held");

        // One recording: the connection was the same. Where the pictures go on there is a keyframe.
        assert_eq!(nginx.recordings().len(), 1);
        let pictures = packets(&file, "v");
        assert!(pictures.windows(2).all(|pair| pair[1].pts > pair[0].pts), "time jumps back");
        let (step, next) = pictures
            .windows(2)
            .map(|pair| (pair[1].pts - pair[0].pts, pair[1]))
            .fold((0.0, pictures[0]), |longest, step| if step.0 > longest.0 { step } else { longest });
        println!("{how}: {why}; {step:.2} s without a picture");
        let limit = if how == "dumb" || how == "hangs" { 6.0 } else { 1.5 };
        assert!(step < limit, "{how}: {step} s without a picture");
        assert!(next.key || how == "same", "{how}: it goes on without a keyframe");
        if how != "same" {
            assert_eq!(complaints(&file), "");
        }
    }
}
