//! A server whose name has addresses of both families, and that answers on one of them.

use crate::ingest::{Nginx, srt_listener, streams};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, free_port, wait_until};

/// A guard for which `both.test` is `::1` first and then `127.0.0.1`, where the servers are.
fn start(shop: &TestBox) -> Program {
    let hosts = shop.path("hosts");
    std::fs::write(&hosts, "::1 both.test\n127.0.0.1 both.test localhost\n").unwrap();
    shop.start_guard_with(&format!("mount --bind {} /etc/hosts", hosts.display()))
}

fn shop(ingest: String) -> TestBox {
    TestBox::new(&BoxConfig { ingest, ..BoxConfig::default() })
}

#[test]
fn srt_goes_to_the_address_that_answers() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let file = dir.path().join("received.ts");
    let shop = shop(format!("srt://both.test:{port}"));
    let _listener = srt_listener(port, "", &file);
    let mut guard = start(&shop);
    shop.press();
    shop.wait_for_phase("live");
    let arrived = || std::fs::metadata(&file).is_ok_and(|data| data.len() > 150_000);
    wait_until("the stream arrives", arrived);
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(guard.finish(), Some(0));
    assert!(streams(&file).lines().any(|line| line.starts_with("h264,320,180")), "{}", streams(&file));
}

#[test]
fn rtmp_goes_to_the_address_that_answers() {
    let nginx = Nginx::new();
    let shop = shop(nginx.url().replace("127.0.0.1", "both.test"));
    let mut guard = start(&shop);
    shop.press();
    shop.wait_for_phase("live");
    let arrived = || nginx.recordings().first().is_some_and(|file| streams(file).contains("h264,320,180"));
    wait_until("the stream arrives", arrived);
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(guard.finish(), Some(0));
}
