//! A machine at the other end of the cable.

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::*;
use crate::descriptors::Identity;
use crate::footage::tests::of;
use crate::model::model;

const JPEG: &[u8] = &[0xff, 0xd8, 0xaa, 0xff, 0xd9];
/// A step of a test that hangs fails.
const LONGEST: Duration = Duration::from_secs(20);

struct Machine {
    stream: TcpStream,
    webcam: Arc<Webcam>,
    served: JoinHandle<()>,
}

fn plugged_in() -> Machine {
    let identity = Identity { model: model("cheap").unwrap(), serial: "7".to_owned(), sound_rate: Some(48_000) };
    let footage = of(&[("mjpeg-1280x720", &[JPEG])], 48_000, &[1, 0, 2, 0]);
    let webcam = Arc::new(Webcam::new(Device::new(identity, footage)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    let (cable, other) = (listener.accept().unwrap().0, webcam.clone());
    let served = std::thread::spawn(move || serve(&other, cable));
    Machine { stream, webcam, served }
}

impl Machine {
    fn send(&mut self, words: &[u32], setup: [u8; 8]) {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.resize(40, 0);
        bytes.extend(setup);
        self.stream.write_all(&bytes).unwrap();
    }

    fn control(&mut self, seq: u32, setup: [u8; 8], length: u32) {
        self.send(&[1, seq, 0, 1, 0, 0, length, 0, u32::MAX, 0], setup);
    }

    /// Asks an endpoint for packets of 3072 bytes.
    fn ask(&mut self, seq: u32, endpoint: u32, packets: u32) {
        self.send(&[1, seq, 0, 1, endpoint, 0, packets * 3072, 0, packets, 1], [0; 8]);
        for number in 0..packets {
            let entry = [number * 3072, 3072, 0, 0].map(u32::to_be_bytes).concat();
            self.stream.write_all(&entry).unwrap();
        }
    }

    /// The next answer: its command, number, status, and what follows it.
    fn answer(&mut self) -> (u32, u32, u32, Vec<u8>) {
        let mut head = [0; 48];
        self.stream.read_exact(&mut head).unwrap();
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let behind = if word(0) == 3 { word(24) + word(32) * 16 } else { 0 };
        let mut data = vec![0; usize::try_from(behind).unwrap()];
        self.stream.read_exact(&mut data).unwrap();
        (word(0), word(4), word(20), data)
    }

    fn switch_camera_on(&mut self) {
        self.control(1, [0x01, 11, 1, 0, 1, 0, 0, 0], 0);
        assert_eq!(self.answer(), (3, 1, 0, vec![]));
    }
}

#[test]
fn a_machine_asks_who_it_is_and_gets_pictures() {
    let mut machine = plugged_in();
    machine.control(5, [0x80, 6, 0, 1, 0, 0, 8, 0], 8);
    assert_eq!(machine.answer(), (3, 5, 0, vec![18, 1, 0, 2, 0xef, 2, 1, 64]));
    machine.switch_camera_on();
    for seq in 10..14 {
        machine.ask(seq, 1, 32);
    }
    let asked = now();
    let answers: Vec<_> = (0..4).map(|_| machine.answer()).collect();
    assert!(now() - asked >= Duration::from_millis(15), "the bus has 8 packets in a millisecond");
    assert_eq!(
        answers.iter().map(|answer| (answer.1, answer.2)).collect::<Vec<_>>(),
        [(10, 0), (11, 0), (12, 0), (13, 0)]
    );
    assert!(answers[0].3.windows(JPEG.len()).any(|bytes| bytes == JPEG), "{:?}", answers[0].3);
}

#[test]
fn what_is_taken_back_is_not_answered() {
    let mut machine = plugged_in();
    machine.switch_camera_on();
    // On the bus for 128 ms.
    machine.ask(20, 1, 1024);
    machine.send(&[2, 21, 0, 0, 0, 20], [0; 8]);
    assert_eq!(machine.answer(), (4, 21, usbip::UNLINKED, vec![]));
    machine.send(&[2, 22, 0, 0, 0, 20], [0; 8]);
    assert_eq!(machine.answer(), (4, 22, 0, vec![]));
    machine.ask(23, 1, 1);
    assert_eq!(machine.answer().1, 23);
}

#[test]
fn an_endpoint_that_is_not_there_is_stalled() {
    let mut machine = plugged_in();
    for endpoint in [3, 15, u32::MAX] {
        machine.ask(endpoint, endpoint, 1);
        assert_eq!(machine.answer(), (3, endpoint, usbip::STALL, vec![]));
    }
    machine.control(7, [0xff; 8], 100);
    assert_eq!(machine.answer(), (3, 7, usbip::STALL, vec![]));
}

#[test]
fn the_plug_is_pulled_at_either_end() {
    let mut machine = plugged_in();
    machine.switch_camera_on();
    machine.webcam.obey(Order::Unplug);
    assert_eq!(machine.stream.read(&mut [0]).unwrap(), 0);
    machine.served.join().unwrap();
    for last_words in [&[0xff_u8; 48][..], &[0; 3]] {
        let mut machine = plugged_in();
        machine.stream.write_all(last_words).unwrap();
        machine.stream.shutdown(Shutdown::Write).unwrap();
        let end = machine.stream.read(&mut [0]);
        assert!(
            end.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |read| *read == 0),
            "{end:?}"
        );
        machine.served.join().unwrap();
    }
}
