//! SRT against real srt-live-transmit: passphrase, stream id, packet size, and a latency that fits the way.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::ingest::{srt_listener, streams};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{free_port, wait_until};

/// A way that is long: every datagram takes `delay`, both ways. What was sent to the server is kept.
struct Way {
    port: u16,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Way {
    fn to(server: u16, delay: Duration) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        far.connect(("127.0.0.1", server)).unwrap();
        let port = near.local_addr().unwrap().port();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let peer = Arc::new(Mutex::new(None));
        let (known, kept) = (peer.clone(), sent.clone());
        let (from, to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        std::thread::spawn(move || {
            carry(&from, delay, |data, source| {
                *known.lock().unwrap() = Some(source);
                kept.lock().unwrap().push(data.to_vec());
                let _ = to.send(data);
            });
        });
        std::thread::spawn(move || {
            carry(&far, delay, |data, _| {
                if let Some(peer) = *peer.lock().unwrap() {
                    let _ = near.send_to(data, peer);
                }
            });
        });
        Self { port, sent }
    }

    /// The largest datagram, and what all of them hold.
    fn seen(&self) -> (usize, Vec<u8>) {
        let sent = self.sent.lock().unwrap();
        (sent.iter().map(Vec::len).max().unwrap_or(0), sent.concat())
    }
}

#[allow(clippy::disallowed_methods)] // the way's own delay is no part of the product
fn carry(socket: &UdpSocket, delay: Duration, mut deliver: impl FnMut(&[u8], SocketAddr)) {
    let mut waiting: VecDeque<(Instant, Vec<u8>, SocketAddr)> = VecDeque::new();
    let mut data = [0; 2048];
    loop {
        let left = waiting.front().map_or(Duration::from_millis(50), |(due, ..)| *due - Instant::now());
        socket.set_read_timeout(Some(left.max(Duration::from_micros(100)))).unwrap();
        if let Ok((size, source)) = socket.recv_from(&mut data) {
            waiting.push_back((Instant::now() + delay, data[..size].to_vec(), source));
        }
        while waiting.front().is_some_and(|(due, ..)| *due <= Instant::now()) {
            if let Some((_, data, source)) = waiting.pop_front() {
                deliver(&data, source);
            }
        }
    }
}

fn shop(port: u16, keys: &str) -> TestBox {
    let ingest = format!("srt://127.0.0.1:{port}\"\n{keys}\n#\"");
    TestBox::new(&BoxConfig { ingest, ..BoxConfig::default() })
}

/// In milliseconds, as both sides agreed.
fn latency(shop: &TestBox) -> u64 {
    let log = shop.log();
    log.rsplit("SRT: latency ").next().unwrap().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_passphrase_encrypts_and_a_wrong_one_is_said_to_be_wrong() {
    let port = free_port();
    let way = Way::to(port, Duration::ZERO);
    for (passphrase, right) in [("another-passphrase", false), ("right-passphrase", true)] {
        let keys = format!(
            "passphrase = \"{passphrase}\"\npbkeylen = 32\nstreamid = \"#!::m=publish,r=a-name\"\npacket-size = 1000"
        );
        let shop = shop(way.port, &keys);
        let file = shop.path("out.ts");
        let mut listener = srt_listener(port, "&passphrase=right-passphrase&pbkeylen=32", &file);
        let mut guard = shop.start("guard");
        shop.press();
        if right {
            shop.wait_for_phase("live");
            wait_until("the stream arrives", || std::fs::metadata(&file).is_ok_and(|data| data.len() > 200_000));
        } else {
            wait_until("a reason is given", || shop.status().is_some_and(|status| status["reason"].is_string()));
            let reason = shop.status().unwrap()["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains("the passphrase is not the server's") && !reason.contains("another"), "{reason}");
        }
        shop.press();
        shop.wait_for_phase("idle");
        guard.finish();
        listener.finish();
        assert!(!shop.log().contains("passphrase-") && !shop.log().contains("-passphrase"), "{}", shop.log());
        if right {
            let found = streams(&file);
            assert!(found.contains("h264,320,180") && found.contains("aac"), "{found}");
            // Five whole packets of MPEG-TS, and SRT's header.
            let (largest, all) = way.seen();
            assert_eq!(largest, 5 * 188 + 16);
            // A handshake carries it in 32-bit words, the lowest byte first.
            assert!(all.windows(8).any(|part| part == b"::!#bup=".as_slice() || part == b"::!#up=m"), "no stream id");
            // 188 bytes apart: plain MPEG-TS would show its sync bytes in nearly all packets.
            let sent = way.sent.lock().unwrap();
            let plain = sent.iter().filter(|data| data.len() == largest && data[16] == 0x47 && data[16 + 188] == 0x47);
            assert!(plain.count() < sent.len() / 100);
        }
    }
}

#[test]
fn latency_is_four_times_the_round_trip_that_the_handshake_took() {
    let port = free_port();
    for delay in [0, 60] {
        let way = Way::to(port, Duration::from_millis(delay));
        let shop = shop(way.port, "");
        let file = shop.path("out.ts");
        let mut listener = srt_listener(port, "", &file);
        let mut guard = shop.start("guard");
        shop.press();
        shop.wait_for_phase("live");
        wait_until("the stream arrives", || std::fs::metadata(&file).is_ok_and(|data| data.len() > 200_000));
        let latency = latency(&shop);
        println!("{delay} ms each way: latency {latency} ms");
        // More where the machine was too busy to answer at once; how much more is for a unit test to say.
        assert!(latency >= (8 * delay).max(120) && latency <= 8000, "{latency}");
        assert!(delay > 0 || latency < 1000, "{latency}");
        assert_eq!(shop.kinds().iter().filter(|kind| *kind == "off-air").count(), 0, "it was never off air for it");
        shop.press();
        shop.wait_for_phase("idle");
        guard.finish();
        listener.finish();
    }
}
