//! A machine that asks and listens, without a bus.

use super::*;
use crate::footage::tests::of;
use crate::model::model;

const SET_INTERFACE: u8 = 11;
const JPEG_A: &[u8] = &[0xff, 0xd8, 0xaa, 0xff, 0xd9];
const JPEG_B: &[u8] = &[0xff, 0xd8, 0xbb, 0xff, 0xd9];

/// A cheap webcam that gives 640x480 at 15, from two pictures, and 44.1 kHz.
fn webcam() -> Device {
    let sound: Vec<u8> = (0..441_u16).flat_map(u16::to_le_bytes).collect();
    let footage = of(&[("mjpeg-640x480", &[JPEG_A, JPEG_B])], 44_100, &sound);
    let identity = Identity { model: model("cheap").unwrap(), serial: "7".to_owned(), sound_rate: Some(44_100) };
    let mut device = Device::new(identity, footage);
    let mut probe = [0; LENGTH];
    (probe[2], probe[3]) = (1, 2);
    assert_eq!(device.control([0x21, 1, 0, 2, 1, 0, 26, 0], &probe), Some(vec![]));
    switch(&mut device, STREAMS[0], true);
    switch(&mut device, STREAMS[1], true);
    assert_eq!(device.take_events(), ["camera mjpeg:640x480@15", "microphone 44100"]);
    device
}

fn switch(device: &mut Device, stream: u8, is_on: bool) {
    assert_eq!(device.control([0x01, SET_INTERFACE, u8::from(is_on), 0, stream, 0, 0, 0], &[]), Some(vec![]));
}

/// The pictures of the milliseconds `from..to`, in packets of `room` bytes.
fn pictures(device: &mut Device, millis: core::ops::Range<u64>, room: usize) -> Vec<Vec<u8>> {
    let (mut all, mut current) = (Vec::new(), Vec::new());
    for slot in millis.start * 8..millis.end * 8 {
        let mut packet = Vec::new();
        device.picture_packet(Duration::from_micros(slot * 125), room, &mut packet);
        assert!((2..=room).contains(&packet.len()));
        current.extend(&packet[2..]);
        if packet[1] & 2 != 0 {
            all.push(core::mem::take(&mut current));
        }
    }
    all
}

#[test]
fn pictures_come_whole_and_at_their_rate() {
    let mut device = webcam();
    let seen = pictures(&mut device, 0..1000, 4);
    assert!((15..=16).contains(&seen.len()), "{}", seen.len());
    assert!(seen.iter().all(|picture| picture == JPEG_A || picture == JPEG_B));
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "one after the other");
    switch(&mut device, STREAMS[0], false);
    assert!(device.take_events()[0].starts_with("camera off, pictures 1"));
    let mut nothing = Vec::new();
    device.picture_packet(Duration::from_secs(2), 3072, &mut nothing);
    assert!(nothing.is_empty());
}

#[test]
fn a_camera_freezes_without_a_word_and_thaws() {
    let mut device = webcam();
    pictures(&mut device, 0..100, 3072);
    device.obey(Order::Freeze(true));
    assert!(pictures(&mut device, 100..2000, 3072).is_empty());
    device.obey(Order::Freeze(false));
    assert!((14..=16).contains(&pictures(&mut device, 2000..3000, 3072).len()));
    switch(&mut device, STREAMS[0], false);
    assert!(device.take_events()[0].ends_with("skipped 0"));
}

#[test]
fn in_the_dark_pictures_come_slower() {
    let mut device = webcam();
    device.obey(Order::Dark(3));
    assert!((5..=6).contains(&pictures(&mut device, 0..1000, 3072).len()));
    device.obey(Order::Dark(1));
    assert!((14..=16).contains(&pictures(&mut device, 1000..2000, 3072).len()));
}

#[test]
fn each_nth_picture_is_broken() {
    let mut device = webcam();
    device.obey(Order::Spoil(Spoil::NoEnd, 3));
    let seen = pictures(&mut device, 0..2000, 3072);
    let broken = seen.iter().filter(|picture| !picture.ends_with(&[0xff, 0xd9])).count();
    assert!(seen.len() >= 30 && (9..=11).contains(&broken), "{broken} of {}", seen.len());
    device.obey(Order::Whole);
    assert!(pictures(&mut device, 2000..3000, 3072).iter().all(|picture| picture.ends_with(&[0xff, 0xd9])));
}

#[test]
fn each_sample_comes_once_and_in_order() {
    let mut device = webcam();
    let (step, mut sound) = (Duration::from_millis(1), Vec::new());
    for slot in 0..20 {
        let before = sound.len();
        device.sound_packet(step * slot, step, 90, &mut sound);
        assert!(sound.len() - before <= 90);
    }
    let numbers: Vec<_> = sound.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    assert_eq!(numbers, (0..441).chain(0..441).collect::<Vec<_>>());
    device.obey(Order::Mute(true));
    device.sound_packet(step * 20, step, 90, &mut sound);
    assert_eq!(sound.len(), 882 * 2);
}

#[test]
fn what_it_does_not_know_is_stalled() {
    let mut device = webcam();
    assert_eq!(device.control([0x80, 6, 0, 1, 0, 0, 18, 0], &[]).unwrap().len(), 18);
    let mut answered = 0;
    for kind in 0..=255 {
        for request in 0..=255 {
            for index in [0, 1, 2, 3, 0x82, 255] {
                answered += u32::from(device.control([kind, request, 255, 255, index, 0, 0, 0], &[1, 2, 3]).is_some());
            }
        }
    }
    assert!((10..60).contains(&answered), "{answered}");
}

#[test]
fn a_mode_without_footage_gives_nothing_and_says_so() {
    let mut device = webcam();
    assert_eq!(device.control([0x21, 1, 0, 2, 1, 0, 26, 0], &[0; LENGTH]), Some(vec![]));
    switch(&mut device, STREAMS[0], true);
    let events = device.take_events();
    assert!(events.last().unwrap().starts_with("no footage /nowhere/mjpeg-1280x720"), "{events:?}");
    let mut nothing = Vec::new();
    device.picture_packet(Duration::ZERO, 3072, &mut nothing);
    assert!(nothing.is_empty());
}

#[test]
fn a_configuration_that_is_set_ends_its_streams() {
    let mut device = webcam();
    assert_eq!(device.control([0x00, 9, 1, 0, 0, 0, 0, 0], &[]), Some(vec![]));
    assert!(device.take_events()[0].starts_with("camera off"));
    let mut nothing = Vec::new();
    device.picture_packet(Duration::ZERO, 3072, &mut nothing);
    device.sound_packet(Duration::ZERO, Duration::from_millis(1), 90, &mut nothing);
    assert!(nothing.is_empty());
}
