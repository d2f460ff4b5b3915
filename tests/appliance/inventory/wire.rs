//! What goes over the line from box to broker, packet by packet: MQTT 5, as far as a box speaks it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::names::{flatten, of_text};

/// A relay that keeps all that the box sends; it lasts as long as the test program.
pub(super) struct Recorder {
    pub(super) port: u16,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    /// In front of `target` of this machine.
    pub(super) fn new(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let shared = sent.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let number = {
                    let mut all = shared.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                let (mut back, mut forth) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut back, &mut forth);
                    let _ = forth.shutdown(Shutdown::Both);
                });
                let shared = shared.clone();
                std::thread::spawn(move || keep(near, far, &shared, number));
            }
        });
        Self { port, sent }
    }

    /// What each connection sent.
    pub(super) fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.lock().unwrap().clone()
    }
}

fn keep(mut near: TcpStream, mut far: TcpStream, all: &Mutex<Vec<Vec<u8>>>, number: usize) {
    let mut data = [0; 16 * 1024];
    while let Ok(size @ 1..) = near.read(&mut data) {
        all.lock().unwrap()[number].extend_from_slice(&data[..size]);
        if far.write_all(&data[..size]).is_err() {
            break;
        }
    }
    let _ = far.shutdown(Shutdown::Both);
}

/// Reads a packet's body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn short(&mut self) -> usize {
        let bytes = self.take(2);
        usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn binary(&mut self) -> &'a [u8] {
        let length = self.short();
        self.take(length)
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.binary().to_vec()).unwrap()
    }

    /// A length of one to four bytes; `None`: it is not whole.
    fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for place in 0..4 {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            length |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(length);
            }
        }
        None
    }

    fn properties(&mut self) -> &'a [u8] {
        let length = self.length().unwrap();
        self.take(length)
    }
}

/// The names of everything in what one connection sent. A topic is known by what follows on prefix and id.
pub(super) fn names(sent: &[u8], found: &mut BTreeSet<String>) {
    let mut rest = Body(sent);
    while let Some((first, behind)) = rest.0.split_first() {
        rest.0 = behind;
        // What was cut off on its way was not heard by anybody either.
        let Some(length) = rest.length().filter(|length| *length <= rest.0.len()) else { return };
        let mut body = Body(rest.take(length));
        match first >> 4 {
            1 => connect(&mut body, found),
            3 => publish(&mut body, first & 6 != 0, found),
            8 | 10 => {
                found.insert("connect.subscriptions".to_owned());
            }
            // Acknowledgements, pings and the end: a number and a code.
            4..=7 | 12 | 14 => {}
            other => panic!("a packet of type {other}"),
        }
    }
}

fn connect(body: &mut Body<'_>, found: &mut BTreeSet<String>) {
    let mut add = |name: &str| found.insert(format!("connect.{name}"));
    assert_eq!((body.text().as_str(), body.byte()), ("MQTT", 5));
    let flags = body.byte();
    body.short();
    for id in property_ids(body.properties()) {
        // Session expiry, receive maximum, maximum packet size, topic alias maximum, request problem information.
        assert!([0x11, 0x21, 0x27, 0x22, 0x17].contains(&id), "CONNECT has the property {id:#x}");
    }
    add("protocol");
    body.text();
    add("client-id");
    if flags & 4 != 0 {
        for id in property_ids(body.properties()) {
            assert_eq!(id, 0x18, "the will has the property {id:#x}");
        }
        body.text();
        body.binary();
        add("will.topic");
        add("will.payload");
    }
    if flags & 0x80 != 0 {
        body.text();
        add("user-name");
    }
    if flags & 0x40 != 0 {
        body.binary();
        add("password");
    }
    assert!(body.0.is_empty(), "CONNECT has more behind it");
}

/// The identifiers of properties, of those kinds that a box uses.
fn property_ids(properties: &[u8]) -> Vec<u8> {
    let (mut body, mut ids) = (Body(properties), Vec::new());
    while !body.0.is_empty() {
        let id = body.byte();
        match id {
            0x01 | 0x17 | 0x19 => drop(body.byte()),
            0x21..=0x23 => drop(body.short()),
            0x02 | 0x11 | 0x18 | 0x27 => drop(body.take(4)),
            0x09 => drop(body.binary()),
            0x03 | 0x08 => drop(body.text()),
            0x26 => panic!("a user property: {} {}", body.text(), body.text()),
            other => panic!("the property {other:#x}"),
        }
        ids.push(id);
    }
    ids
}

fn publish(body: &mut Body<'_>, has_number: bool, found: &mut BTreeSet<String>) {
    let topic = body.text();
    if has_number {
        body.short();
    }
    for id in property_ids(body.properties()) {
        assert_eq!(id, 0x09, "{topic} has the property {id:#x}");
        found.insert("connect.response".to_owned());
    }
    found.insert("connect.topics".to_owned());
    // Where an answer goes the asker chooses: it is an answer all the same.
    let own = topic.starts_with("tallybox/v1/test-box/") || topic.starts_with("homeassistant/");
    let last = if own { topic.rsplit('/').next().unwrap() } else { "reply" };
    match std::str::from_utf8(body.0).unwrap() {
        // Nothing: it withdraws what was retained.
        "" => {}
        text if text.starts_with('{') => flatten(last, &serde_json::from_str(text).unwrap(), found),
        text => of_text(last, text, found),
    }
}
