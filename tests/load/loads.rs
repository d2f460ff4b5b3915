//! What loads a box: floods of commands, garbage and connections, and work for the machine.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::broker::payload;
use crate::finger::now;
use crate::odd_broker::publish_packet;
use crate::played::{frame, hear};
use crate::support::test_box::TestBox;
use crate::support::{Program, wait_until};

/// Load, until it is dropped.
#[derive(Default)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    programs: Vec<Program>,
    counts: Vec<(&'static str, Arc<AtomicU64>)>,
    ends: Vec<Box<dyn FnOnce()>>,
    notes: Vec<String>,
    begun: Option<std::time::Instant>,
}

/// How one thread of a load knows when to end, and tells what it did.
#[derive(Clone)]
pub(crate) struct Worker {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
}

impl Worker {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn add(&self, amount: u64) {
        self.count.fetch_add(amount, Ordering::SeqCst);
    }

    /// Pauses where `rate` for each second is reached.
    fn pace(&self, begun: std::time::Instant, rate: u64) {
        while self.goes_on() && self.count.load(Ordering::SeqCst) > rate * millis(now() - begun) / 1000 {
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

impl Load {
    /// Runs `work` in so many threads; what they count has a name in the table.
    pub(crate) fn spawn(
        &mut self,
        what: &'static str,
        threads: usize,
        work: impl Fn(&Worker) + Clone + Send + 'static,
    ) {
        self.begun.get_or_insert_with(now);
        let worker = Worker { stop: self.stop.clone(), count: Arc::default() };
        self.counts.push((what, worker.count.clone()));
        for _ in 0..threads {
            let (worker, work) = (worker.clone(), work.clone());
            self.threads.push(std::thread::spawn(move || work(&worker)));
        }
    }

    /// What is done at the end.
    pub(crate) fn at_end(&mut self, end: impl FnOnce() + 'static) {
        self.ends.push(Box::new(end));
    }

    pub(crate) fn count(&self, what: &str) -> u64 {
        self.counts.iter().find(|(name, _)| *name == what).unwrap().1.load(Ordering::SeqCst)
    }

    /// Waits until so much was done.
    #[track_caller]
    pub(crate) fn reach(&self, what: &str, amount: u64) {
        wait_until(what, || self.count(what) >= amount);
    }

    /// For the table.
    pub(crate) fn amount(&self) -> String {
        let seconds = self.begun.map_or(1.0, |begun| (now() - begun).as_secs_f64());
        let count = |(what, count): &(&str, Arc<AtomicU64>)| {
            let count = count.load(Ordering::SeqCst);
            format!("{count} {what} ({:.0}/s)", count as f64 / seconds)
        };
        self.counts.iter().map(count).chain(self.notes.iter().cloned()).collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.programs.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        for end in self.ends.drain(..) {
            end();
        }
    }
}

/// Lets the load go on for so long: its length is what a row is about, and nothing else is waited for.
pub(crate) fn last(time: Duration) {
    std::thread::sleep(time);
}

/// Commands of each kind but `stop`: good ones, ones that nobody may give, unknown ones, and what is none.
fn commands(first: u64) -> impl Iterator<Item = Vec<u8>> {
    let verbs = ["identify", "mute", "unmute", "request-start", "diagnose", "set-video", "erase", "start"];
    let good = payload("ID", 0, 60).to_string();
    (first..first + 64).map(move |number| {
        let verb = verbs[usize::try_from(number).unwrap() % verbs.len()];
        let text = match number % 5 {
            0 => "{".repeat(200),
            _ => good.replace("ID", &format!("load-{number}")),
        };
        publish_packet(&format!("tallybox/v1/test-box/cmd/{verb}"), &text)
    })
}

/// `rate` commands a second through a broker on this port.
pub(crate) fn mqtt_commands(load: &mut Load, port: u16, rate: u64) {
    load.spawn("commands over MQTT", 1, move |worker| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(b"\x10\x12\0\x04MQTT\x05\x02\0\0\0\0\x05flood").unwrap();
        let (begun, mut number) = (now(), 0);
        while worker.goes_on() {
            let packets: Vec<u8> = commands(number).flatten().collect();
            if stream.write_all(&packets).is_err() {
                return;
            }
            number += 64;
            worker.add(64);
            worker.pace(begun, rate);
        }
    });
}

/// As many commands as the control socket takes, from four peers that each wait for eight answers at a time.
pub(crate) fn socket_commands(load: &mut Load, shop: &TestBox) {
    let socket = shop.path("run/guard.sock");
    load.spawn("commands at the control socket", 4, move |worker| {
        let asks = ["mute", "unmute", "identify", "request-start", "status", "mute", "unmute", "status"];
        let order: Vec<u8> =
            asks.iter().flat_map(|ask| frame(&format!(r#"{{"call":1,"request":{{"ask":"{ask}"}}}}"#))).collect();
        while worker.goes_on() {
            let Ok(mut stream) = UnixStream::connect(&socket) else { continue };
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            while worker.goes_on() && stream.write_all(&order).is_ok() {
                let mut left = asks.len();
                while left > 0 {
                    let Ok(said) = hear(&mut stream) else { break };
                    left -= usize::from(said["tell"] == "answer");
                }
                if left > 0 {
                    break;
                }
                worker.add(asks.len() as u64);
            }
        }
    });
}

/// Bytes that are no message: noise, a length that is too much, a frame that never ends, and one with something else
/// in it.
fn garbage(seed: &mut u64) -> Vec<u8> {
    let mut random = || {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    };
    let noise: Vec<u8> = (0..2048).flat_map(|_| random().to_be_bytes()).collect();
    match random() % 4 {
        0 => noise,
        1 => [&u32::MAX.to_be_bytes()[..], &noise].concat(),
        2 => [&100_000u32.to_be_bytes()[..], &noise].concat(),
        _ => frame(&"[".repeat(16_000)),
    }
}

/// `rate` bytes of garbage a second into a socket, in a new connection whenever the last one was closed.
pub(crate) fn garbage_into(load: &mut Load, what: &'static str, socket: PathBuf, rate: u64) {
    load.spawn(what, 1, move |worker| {
        let (begun, mut seed) = (now(), 0x2545_f491_4f6c_dd1du64);
        while worker.goes_on() {
            let Ok(mut stream) = UnixStream::connect(&socket) else { continue };
            stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
            while worker.goes_on() {
                let bytes = garbage(&mut seed);
                if stream.write_all(&bytes).is_err() {
                    break;
                }
                worker.add(bytes.len() as u64);
                worker.pace(begun, rate);
            }
        }
    });
}

/// Peers that come and go at the control socket: one asks, one says nothing, one leaves in the middle of a word.
pub(crate) fn connections(load: &mut Load, shop: &TestBox) {
    let socket = shop.path("run/guard.sock");
    load.spawn("connections", 2, move |worker| {
        let ask = frame(r#"{"call":1,"request":{"ask":"status"}}"#);
        for number in 0.. {
            if !worker.goes_on() {
                return;
            }
            let Ok(mut stream) = UnixStream::connect(&socket) else { continue };
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            match number % 3 {
                0 => drop(stream.write_all(&ask).and_then(|()| hear(&mut stream).map(drop))),
                1 => drop(stream.write_all(&ask[..7])),
                _ => drop(stream.shutdown(Shutdown::Both)),
            }
            worker.add(1);
        }
    });
}

/// Peers that hold as many connections as they get, and say nothing. A new one takes the place of an older one of the
/// same user, so that one that comes without a pause would leave the simulated button no time to be heard.
pub(crate) fn held_connections(load: &mut Load, shop: &TestBox) {
    let socket = shop.path("run/guard.sock");
    load.spawn("connections that are held", 1, move |worker| {
        let (mut held, begun) = (std::collections::VecDeque::new(), now());
        while worker.goes_on() {
            if let Ok(stream) = UnixStream::connect(&socket) {
                held.push_back(stream);
                worker.add(1);
                worker.pace(begun, 500);
            }
            // This process has its limit too.
            if held.len() > 500 {
                held.pop_front();
            }
        }
    });
}

/// So many processes that do nothing but run.
pub(crate) fn busy(load: &mut Load, processes: usize) {
    for _ in 0..processes {
        let mut command = Command::new("sh");
        load.programs.push(Program::start(command.args(["-c", "while :; do :; done"]).stdin(Stdio::null())));
    }
    load.notes.push(format!("{processes} processes"));
}
