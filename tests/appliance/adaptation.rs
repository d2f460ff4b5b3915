//! The link becomes slower and faster again while the box is on air: it asks its encoder for less, and for more, and
//! stays.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::ingest::{Nginx, packets, srt_listener};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{free_port, wait_until};

/// What the box may ask for, and the sound beside it; what the slow link takes, and the fast one. In kbit/s.
const CAP: u64 = 1500;
const SOUND: u64 = 128;
const SLOW: u32 = 500;
const FAST: u32 = 8000;
/// What queues in front of the slow link, at most: a second of it. Bytes.
const QUEUE: usize = 64 * 1024;

/// Lets so many kbit/s pass.
#[derive(Clone)]
struct Rate(Arc<AtomicU32>);

impl Rate {
    fn new() -> Self {
        Self(Arc::new(AtomicU32::new(FAST)))
    }

    fn set(&self, kbps: u32) {
        self.0.store(kbps, Ordering::Relaxed);
    }

    /// How long so many bytes take.
    fn time_for(&self, bytes: usize) -> Duration {
        let bytes = u32::try_from(bytes).unwrap();
        Duration::from_secs(1) * bytes / (125 * self.0.load(Ordering::Relaxed))
    }
}

#[allow(clippy::disallowed_methods)] // the link's own time is no part of the product
fn now() -> Instant {
    Instant::now()
}

/// A TCP relay to `server` whose socket takes little more than the link: its port.
fn tcp(server: u16, rate: Rate) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, QUEUE / 4).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(("127.0.0.1", server)).unwrap();
            let (mut from, mut to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let rate = rate.clone();
            std::thread::spawn(move || trickle(near, far, &rate));
        }
    });
    port
}

fn trickle(mut near: TcpStream, mut far: TcpStream, rate: &Rate) {
    let mut data = [0; 1400];
    let mut due = now();
    while let Ok(size) = near.read(&mut data) {
        if size == 0 || far.write_all(&data[..size]).is_err() {
            return;
        }
        // What was not used of the link is gone.
        due = due.max(now()) + rate.time_for(size);
        while due > now() {
            std::thread::park_timeout(due - now());
        }
    }
}

/// A UDP relay to `server` that drops what does not fit into its queue: its port.
fn udp(server: u16, rate: Rate) -> u16 {
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    far.connect(("127.0.0.1", server)).unwrap();
    let port = near.local_addr().unwrap().port();
    let (from, to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let peer = Arc::new(std::sync::OnceLock::new());
    let known = peer.clone();
    std::thread::spawn(move || {
        let (mut waiting, mut inside, mut free_at): (VecDeque<Vec<u8>>, _, _) = (VecDeque::new(), 0, now());
        let mut data = [0; 2048];
        loop {
            let patience =
                if waiting.is_empty() { Duration::from_millis(50) } else { free_at.saturating_duration_since(now()) };
            from.set_read_timeout(Some(patience.max(Duration::from_micros(100)))).unwrap();
            if let Ok((size, source)) = from.recv_from(&mut data) {
                known.get_or_init(|| source);
                if inside + size <= QUEUE {
                    // What was not used of the link is gone; but what waits goes on as if nobody had looked late.
                    free_at = if waiting.is_empty() { free_at.max(now()) } else { free_at };
                    inside += size;
                    waiting.push_back(data[..size].to_vec());
                }
            }
            while free_at <= now()
                && let Some(first) = waiting.pop_front()
            {
                inside -= first.len();
                let _ = to.send(&first);
                free_at += rate.time_for(first.len());
            }
        }
    });
    std::thread::spawn(move || {
        let mut data = [0; 2048];
        loop {
            if let (Ok(size), Some(peer)) = (far.recv(&mut data), peer.get()) {
                let _ = near.send_to(&data[..size], peer);
            }
        }
    });
    port
}

fn shop(ingest: String) -> TestBox {
    let plan = BoxConfig { ingest, ..BoxConfig::default() };
    let video = plan.video.replace("width = 320", "width = 640").replace("height = 180", "height = 360");
    let video = video.replace("bitrate-kbps = 400", &format!("bitrate-kbps = {CAP}\nmin-bitrate-kbps = 150"));
    TestBox::new(&BoxConfig { video: video.replace("adaptive = false", "adaptive = true"), ..plan })
}

/// Fast, slow, fast; the session, the process and the connection are the same all the time.
fn goes_along(shop: &TestBox, rate: &Rate) {
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("live");
    let stream = |name: &str| shop.status().and_then(|status| status["stream"][name].as_u64());
    let capture = shop.captures();
    wait_until("it asks for all", || stream("target-kbps").is_some_and(|kbps| kbps >= CAP * 9 / 10));
    rate.set(SLOW);
    let most = u64::from(SLOW) - SOUND;
    wait_until("it asks for less than passes", || stream("target-kbps").is_some_and(|kbps| kbps > 0 && kbps <= most));
    wait_until("nothing waits", || stream("queue-ms").is_some_and(|ms| ms < 200));
    rate.set(FAST);
    wait_until("it asks for all again", || stream("target-kbps").is_some_and(|kbps| kbps >= CAP * 9 / 10));
    assert_eq!(shop.captures(), capture, "capture went on");
    assert_eq!(stream("reconnects"), Some(0), "{}", shop.log());
    shop.press();
    shop.wait_for_phase("idle");
    guard.finish();
    assert_eq!(shop.kinds().iter().filter(|kind| *kind == "off-air").count(), 0, "{:?}", shop.kinds());
}

#[test]
fn over_rtmp_it_goes_along_with_the_link() {
    let nginx = Nginx::new();
    let rate = Rate::new();
    let port = tcp(nginx.port, rate.clone());
    goes_along(&shop(format!("rtmp://127.0.0.1:{port}/live/key-of-the-stream")), &rate);
    let recordings = nginx.recordings();
    assert_eq!(recordings.len(), 1, "one connection, one recording");
    let times: Vec<f64> = packets(&recordings[0], "v").iter().map(|packet| packet.pts).collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    println!("{} pictures, {longest:.3} s at most from one to the next", times.len());
    // The half rate of a busy machine, and what its encoder was kept from.
    assert!(times.len() > 100 && longest < 1.0, "{longest}");
}

#[test]
fn over_srt_it_goes_along_with_the_link() {
    let server = free_port();
    let rate = Rate::new();
    let port = udp(server, rate.clone());
    let shop = shop(format!("srt://127.0.0.1:{port}\"\nmin-latency = \"2s\"\n#\""));
    let file = shop.path("out.ts");
    let mut listener = srt_listener(server, "", &file);
    goes_along(&shop, &rate);
    listener.finish();
    assert!(packets(&file, "v").len() > 100);
}
