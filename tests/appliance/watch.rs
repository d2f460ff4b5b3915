//! `tallybox status --watch` in a terminal, and where there is none.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;

use crate::ingest::Nginx;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, wait_until};

/// What the terminal shows: what was written since the last time the cursor went home, without the control sequences.
fn screen(typescript: &std::path::Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(typescript).unwrap_or_default()).into_owned();
    // The last picture may be half written.
    let last = text.rsplit("\x1b[H").nth(1).unwrap_or_default().to_owned();
    last.replace("\x1b[K", "").replace("\x1b[J", "").replace('\r', "")
}

#[test]
fn a_terminal_shows_plots_whatever_the_box_does_and_is_left_as_it_was() {
    let nginx = Nginx::new();
    let shop = TestBox::new(&BoxConfig { ingest: nginx.url(), ..BoxConfig::default() });
    let typescript = shop.path("typescript");
    // script gives it a terminal of its own.
    let mut script = std::process::Command::new("script");
    let watch = format!(
        "stty cols 80 rows 24; exec {} status --watch --config {}",
        crate::support::TALLYBOX,
        shop.config.display()
    );
    script.args(["--quiet", "--flush", "--return", "--command", &watch]).arg(&typescript);
    script.env("LC_ALL", "C.UTF-8").env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::null());
    let mut script = Program::start(&mut script);
    let shows = |what: &str| {
        wait_until(&format!("the terminal shows {what}"), || screen(&typescript).contains(what));
    };
    shows("no answer: no guard answers at");
    let mut guard = shop.start("guard");
    shows("idle since");
    assert!(screen(&typescript).contains("bitrate         -"), "{}", screen(&typescript));
    shop.press();
    shows("live since");
    let plotted = |name: &str| {
        let picture = screen(&typescript);
        let line = picture.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.chars().any(|sign| ('▁'..='█').contains(&sign))
    };
    wait_until("frames are plotted", || plotted("frames"));
    assert!(!plotted("round trip") || screen(&typescript).contains(" ms"));
    // One that hangs: what it said last is not shown as the present any more.
    guard.signal(Signal::STOP);
    shows("no answer: the guard runs and has said nothing");
    guard.signal(Signal::CONT);
    wait_until("the guard is heard again", || screen(&typescript).contains(" since "));
    guard.finish();
    shows("no answer: ");
    let pids = shop.processes("status");
    assert_eq!(pids.len(), 1);
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pids[0]).unwrap(), Signal::INT);
    wait_until("it ends", || !script.is_running());
    assert_eq!(script.0.wait().unwrap().code(), Some(0));
    let all = std::fs::read(&typescript).unwrap();
    let left = b"\x1b[?25h\x1b[?1049l";
    assert!(all.windows(left.len()).any(|part| part == left), "cursor and screen are given back");
}

#[test]
fn without_a_terminal_there_is_a_line_of_json_at_each_change() {
    let shop = TestBox::new(&BoxConfig::default());
    assert_eq!(shop.call(&["status", "--watch"]).status.code(), Some(69));
    let mut guard = shop.start("guard");
    let mut watch = Program::start(shop.command(&["status", "--watch"]).stdout(Stdio::piped()));
    let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let mut phase = move || {
        let line = lines.next()?.unwrap();
        Some(serde_json::from_str::<serde_json::Value>(&line).unwrap()["phase"].as_str().unwrap().to_owned())
    };
    assert_eq!(phase().as_deref(), Some("idle"));
    shop.press();
    assert_eq!(phase().as_deref(), Some("connecting"));
    guard.finish();
    while phase().is_some() {}
    wait_until("it ends", || !watch.is_running());
    assert_eq!(watch.0.wait().unwrap().code(), Some(69));
}
