//! A broker for one box that does as it is told: it refuses, keeps silent, hangs up, or is no broker at all.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::wait_for;

/// What it does with a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// PUBACK with this reason; 0 accepts.
    Reason(u8),
    /// Nothing.
    Silence,
    /// DISCONNECT with this reason.
    Disconnect(u8),
    /// The connection ends without a word.
    HangUp,
    /// It accepts, after this time.
    #[allow(dead_code)] // tests/load has this file too
    Late(Duration),
}

/// Judges a publish by its topic and payload.
type Judge = Box<dyn Fn(&str, &str) -> Ack + Send>;

/// How it behaves; may be changed while it runs.
pub(crate) struct Rules {
    /// What it answers to CONNECT with; a whole packet, or other bytes. Empty: it hangs up.
    pub(crate) greeting: Vec<u8>,
    /// What it says before it hears anything.
    pub(crate) banner: Vec<u8>,
    /// What it does with a publish, by what follows the box's topic, and the payload.
    pub(crate) ack: Judge,
    /// DISCONNECT with this reason once the box says that it is online.
    pub(crate) throw_out: Option<u8>,
    /// Refuses a CONNECT with a retained last will (0x9A) or with one that it would acknowledge (0x9B), if they are
    /// set.
    pub(crate) will: Option<u8>,
}

/// A packet of the box's.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// What follows `tallybox/v1/<id>/`; `CONNECT` for a connection, whose payload is the client's id.
    pub(crate) topic: String,
    pub(crate) payload: Value,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) at: Instant,
}

pub(crate) struct OddBroker {
    pub(crate) port: u16,
    rules: Arc<Mutex<Rules>>,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// The newest connection.
    writer: Arc<Mutex<Option<TcpStream>>>,
}

/// A CONNACK with a reason and properties.
pub(crate) fn connack(reason: u8, properties: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).unwrap();
    [&[0x20, 3 + length, 0, reason, length], properties].concat()
}

impl OddBroker {
    /// One that behaves.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rules = Rules {
            greeting: connack(0, &[]),
            banner: Vec::new(),
            ack: Box::new(|_, _| Ack::Reason(0)),
            throw_out: None,
            will: None,
        };
        let this = Self {
            port: listener.local_addr().unwrap().port(),
            rules: Arc::new(Mutex::new(rules)),
            heard: Arc::default(),
            writer: Arc::default(),
        };
        let (rules, heard, writer) = (this.rules.clone(), this.heard.clone(), this.writer.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (rules, heard, writer) = (rules.clone(), heard.clone(), writer.clone());
                std::thread::spawn(move || {
                    Served { stream, rules: &rules, heard: &heard, writer: &writer }.serve();
                });
            }
        });
        this
    }

    pub(crate) fn with(rule: impl FnOnce(&mut Rules)) -> Self {
        let this = Self::new();
        this.change(rule);
        this
    }

    pub(crate) fn change(&self, rule: impl FnOnce(&mut Rules)) {
        rule(&mut self.rules.lock().unwrap());
    }

    pub(crate) fn url(&self) -> String {
        format!("url = \"mqtt://127.0.0.1:{}\"", self.port)
    }

    /// All that was heard, in order.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// What was heard on one topic.
    pub(crate) fn on(&self, topic: &str) -> Vec<Heard> {
        self.heard().into_iter().filter(|heard| heard.topic == topic).collect()
    }

    /// Waits for something that fits.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, fits: impl Fn(&Heard) -> bool) -> Heard {
        wait_for(what, Duration::from_secs(60), || self.heard().into_iter().find(&fits))
    }

    #[track_caller]
    pub(crate) fn wait_for_phase(&self, phase: &str) {
        wait_for(phase, Duration::from_secs(60), || {
            self.on("state").last().is_some_and(|state| state.payload["phase"] == phase).then_some(())
        });
    }

    /// Ends the newest connection, without a word.
    #[allow(dead_code)] // tests/load has this file too
    pub(crate) fn hang_up(&self) {
        if let Some(writer) = self.writer.lock().unwrap().take() {
            let _ = writer.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Sends the box a command, without asking for an acknowledgement.
    pub(crate) fn command(&self, verb: &str, payload: &str) {
        let packet = publish_packet(&format!("tallybox/v1/test-box/cmd/{verb}"), payload);
        // Between two connections it goes to nobody, as with any broker.
        if let Some(writer) = self.writer.lock().unwrap().as_mut() {
            let _ = writer.write_all(&packet);
        }
    }

    /// Sends a command and waits for its answer.
    #[track_caller]
    pub(crate) fn ask(&self, verb: &str, id: &str) -> Value {
        self.command(verb, &crate::broker::payload(id, 0, 60).to_string());
        self.wait(verb, |heard| heard.topic == "reply" && heard.payload["id"] == id).payload
    }
}

/// A PUBLISH that nobody acknowledges (quality of service 0).
pub(crate) fn publish_packet(topic: &str, payload: &str) -> Vec<u8> {
    let mut packet = vec![0x30];
    push_length(&mut packet, 2 + topic.len() + 1 + payload.len());
    packet.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.push(0);
    packet.extend(payload.as_bytes());
    packet
}

fn push_length(packet: &mut Vec<u8>, mut length: usize) {
    while length > 127 {
        packet.push(u8::try_from(length & 127 | 128).unwrap());
        length >>= 7;
    }
    packet.push(u8::try_from(length).unwrap());
}

/// A variable byte integer (MQTT 5, section 1.5.5).
fn length(mut next: impl FnMut() -> Option<u8>) -> Option<usize> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = next()?;
        length |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            return Some(length);
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut byte = || {
        let mut one = [0];
        stream.read_exact(&mut one).ok().map(|()| one[0])
    };
    let header = byte()?;
    let length = length(byte)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((header, body))
}

/// One connection of a client, and what the broker does with it.
struct Served<'a> {
    stream: TcpStream,
    rules: &'a Mutex<Rules>,
    heard: &'a Mutex<Vec<Heard>>,
    writer: &'a Mutex<Option<TcpStream>>,
}

impl Served<'_> {
    fn note(&self, topic: &str, payload: Value, header: u8) {
        #[allow(clippy::disallowed_methods)] // a test's own clock
        let at = Instant::now();
        let (qos, retain) = (header >> 1 & 3, header & 1 == 1);
        self.heard.lock().unwrap().push(Heard { topic: topic.to_owned(), payload, qos, retain, at });
    }

    /// `None`: the connection ends.
    fn serve(&mut self) -> Option<()> {
        let banner = self.rules.lock().unwrap().banner.clone();
        self.stream.write_all(&banner).ok()?;
        while let Some((header, body)) = read(&mut self.stream) {
            match header >> 4 {
                1 => self.connect(header, &body)?,
                3 => self.publish(header, &body)?,
                8 => self.stream.write_all(&subscribed(&body)).ok()?,
                12 => self.stream.write_all(&[0xd0, 0]).ok()?,
                14 => return None,
                _ => {}
            }
        }
        None
    }

    fn connect(&mut self, header: u8, body: &[u8]) -> Option<()> {
        if !body.starts_with(b"\0\x04MQTT") {
            return None;
        }
        // Name and version of the protocol, flags, keep-alive, properties, then the client's id.
        let mut at = 10;
        let properties = length(|| {
            at += 1;
            body.get(at - 1).copied()
        })?;
        let id = at + properties;
        let end = id + 2 + usize::from(u16::from_be_bytes([body[id], body[id + 1]]));
        self.note("CONNECT", Value::from(String::from_utf8_lossy(&body[id + 2..end])), header);
        let flags = body[7];
        let (greeting, will) = {
            let rules = self.rules.lock().unwrap();
            (rules.greeting.clone(), rules.will)
        };
        let refused = match will {
            Some(0x9a) if flags & 0x20 != 0 => Some(0x9a),
            Some(0x9b) if flags & 0x18 != 0 => Some(0x9b),
            Some(_) | None => None,
        };
        if let Some(reason) = refused {
            self.stream.write_all(&connack(reason, &[])).ok()?;
            return None;
        }
        self.stream.write_all(&greeting).ok()?;
        if greeting.len() < 5 || greeting[0] != 0x20 || greeting[3] != 0 {
            return None;
        }
        *self.writer.lock().unwrap() = self.stream.try_clone().ok();
        Some(())
    }

    fn publish(&mut self, header: u8, body: &[u8]) -> Option<()> {
        let qos = header >> 1 & 3;
        let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8_lossy(&body[2..topic_end]).into_owned();
        let mut at = topic_end + if qos > 0 { 2 } else { 0 };
        let properties = length(|| {
            at += 1;
            body.get(at - 1).copied()
        })?;
        let payload = String::from_utf8_lossy(&body[at + properties..]).into_owned();
        let topic = topic.splitn(4, '/').nth(3).unwrap_or("").to_owned();
        let json = serde_json::from_str(&payload).unwrap_or_else(|_| Value::from(payload.clone()));
        let (ack, throw_out) = {
            let rules = self.rules.lock().unwrap();
            ((rules.ack)(&topic, &payload), rules.throw_out.filter(|_| payload == "online"))
        };
        self.note(&topic, json, header);
        let id = [body[topic_end], body[topic_end + 1]];
        let leaves_with = match ack {
            Ack::Reason(reason) if qos > 0 => {
                self.stream.write_all(&[0x40, 4, id[0], id[1], reason, 0]).ok()?;
                throw_out
            }
            Ack::Late(after) if qos > 0 => {
                let mut stream = self.stream.try_clone().ok()?;
                std::thread::spawn(move || {
                    std::thread::sleep(after);
                    // The connection may have ended meanwhile.
                    let _ = stream.write_all(&[0x40, 4, id[0], id[1], 0, 0]);
                });
                throw_out
            }
            Ack::Reason(_) | Ack::Silence | Ack::Late(_) => throw_out,
            // The command writer holds the connection too: dropping this end would not close it.
            Ack::HangUp => {
                self.stream.shutdown(std::net::Shutdown::Both).ok()?;
                return None;
            }
            Ack::Disconnect(reason) => Some(reason),
        };
        let Some(reason) = leaves_with else { return Some(()) };
        self.stream.write_all(&[0xe0, 2, reason, 0]).ok()?;
        None
    }
}

/// The answer to a subscription grants each topic filter. Neither packet has more than 127 bytes behind its header.
fn subscribed(subscribe: &[u8]) -> Vec<u8> {
    let (id, rest) = subscribe.split_at(2);
    let mut filters = &rest[1 + usize::from(rest[0])..];
    let mut codes = Vec::new();
    while let [high, low, filter @ ..] = filters {
        filters = &filter[usize::from(*high) * 256 + usize::from(*low) + 1..];
        codes.push(0);
    }
    let length = u8::try_from(3 + codes.len()).unwrap();
    [&[0x90, length], id, &[0], codes.as_slice()].concat()
}
