//! docs/code-structure.md, held against a live box: each thread of its processes is on the page.

use std::collections::BTreeSet;

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{free_port, wait_until};

/// Names of a process's threads, as `ps -T` shows them.
fn threads(pid: i32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    // A thread may end meanwhile.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

#[test]
fn each_thread_of_a_session_is_in_the_code_structure() {
    let page = include_str!("../../docs/code-structure.md");
    let spans: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let is_known = |thread: &str| {
        spans.iter().any(|span| span.strip_suffix('…').map_or(*span == thread, |start| thread.starts_with(start)))
    };
    let shop = TestBox::new(&BoxConfig {
        mqtt: format!("url = \"mqtt://127.0.0.1:{}\"", free_port()),
        video: "source = \"test\"\nwidth = 320\nheight = 180\n".to_owned(),
        audio: "source = \"test\"\n".to_owned(),
        more: "[overlay]\nclock = true\n".to_owned(),
        ..BoxConfig::default()
    });
    let mut run = shop.start("run");
    shop.press();
    shop.wait_for_phase("connecting");
    let seen = || -> BTreeSet<String> {
        let pids = ["run", "guard", "agent", "capture"].into_iter().flat_map(|role| shop.processes(role));
        pids.flat_map(threads).collect()
    };
    let expected = ["tallybox", "ledger", "tokio-rt-worker", "coder-in:src", "audio-in:src", "overlay"];
    wait_until("the box is busy", || expected.iter().all(|name| seen().contains(*name)));
    let unknown: Vec<String> = seen().into_iter().filter(|thread| !is_known(thread)).collect();
    assert!(unknown.is_empty(), "not in docs/code-structure.md: {unknown:?}");
    run.finish();
}
