//! What an RTMP server can have against a stream, in words: each against real nginx.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ingest::{Nginx, streams};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::test_ca::Authority;
use crate::support::wait_until;

fn shop(ingest: &str) -> TestBox {
    TestBox::new(&BoxConfig { ingest: ingest.to_owned(), ..BoxConfig::default() })
}

/// What the box says once it has a reason.
fn reason(shop: &TestBox) -> String {
    wait_until("a reason is given", || shop.status().is_some_and(|status| status["reason"].is_string()));
    shop.status().unwrap()["reason"].as_str().unwrap().to_owned()
}

#[test]
fn rtmps_is_taken_from_a_server_that_proves_who_it_is() {
    let authority = Authority::new();
    let (port, nginx) = Nginx::with_tls(&authority);
    let trusted = format!("mount --bind {} /etc/ssl/certs/ca-certificates.crt", authority.file("ca.pem"));
    for (host, mounts, wrong) in [
        ("127.0.0.1", trusted.as_str(), Some("is for another name")),
        ("localhost", "true", Some("from an authority that is not trusted")),
        ("localhost", &trusted, None),
    ] {
        let shop = shop(&format!("rtmps://{host}:{port}/live/key-of-the-stream"));
        let mut guard = shop.start_guard_with(mounts);
        shop.press();
        if let Some(wrong) = wrong {
            let reason = reason(&shop);
            assert!(reason.starts_with(&format!("{host}:{port}: ")) && reason.contains(wrong), "{reason}");
            assert!(nginx.recordings().is_empty(), "{host} {mounts}");
        } else {
            shop.wait_for_phase("live");
            let arrived = |file: &std::path::PathBuf| std::fs::metadata(file).is_ok_and(|data| data.len() > 150_000);
            wait_until("the stream arrives", || nginx.recordings().first().is_some_and(arrived));
        }
        shop.press();
        shop.wait_for_phase("idle");
        assert_eq!(guard.finish(), Some(0));
    }
    assert_eq!(streams(&nginx.recordings()[0]).lines().collect::<Vec<_>>(), ["h264,320,180", "aac"]);
}

#[test]
fn a_stream_key_that_is_refused_is_said_to_be_and_not_tried_again_and_again() {
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    let nginx = Nginx::with_gate(gate.local_addr().unwrap().port());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for mut question in gate.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = question.read(&mut [0; 2048]);
            let _ = question.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let shop = shop(&nginx.url());
    let _guard = shop.start("guard");
    shop.press();
    let reason = reason(&shop);
    assert!(reason.contains("refuses the stream: see the stream key") && !reason.contains("key-of"), "{reason}");
    // The second attempt comes after 2.5 s at the earliest, the third after another 5.
    wait_until("it tries again", || asked.load(Ordering::Relaxed) == 2);
    assert!(!shop.kinds().contains(&"on-air".to_owned()), "a refused stream was never live");
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[test]
fn a_stream_in_use_is_said_to_be_and_taken_once_it_is_free() {
    let nginx = Nginx::new();
    let first = shop(&nginx.url());
    let second = shop(&nginx.url());
    let mut guards = [&first, &second].map(|shop| shop.start("guard"));
    first.press();
    first.wait_for_phase("live");
    second.press();
    let reason = reason(&second);
    assert!(reason.contains("the stream is in use") && !reason.contains("key-of"), "{reason}");
    assert_eq!(first.phase(), "live", "who was there first goes on");
    first.press();
    second.wait_for_phase("live");
    second.press();
    second.wait_for_phase("idle");
    for guard in &mut guards {
        assert_eq!(guard.finish(), Some(0));
    }
}

#[test]
fn an_application_that_is_not_there_is_said_not_to_be() {
    let nginx = Nginx::new();
    let shop = shop(&format!("rtmp://127.0.0.1:{}/dead/key-of-the-stream", nginx.port));
    let _guard = shop.start("guard");
    shop.press();
    let reason = reason(&shop);
    assert!(reason.contains("no such application") && !reason.contains("key-of"), "{reason}");
}
