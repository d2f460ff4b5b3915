//! The webcam itself: what it answers, and what is in each packet, by the time at which the bus carries it.

use std::sync::Arc;
use std::time::Duration;

use crate::descriptors::{ENDPOINTS, Identity, STREAMS};
use crate::footage::{Footage, Pictures};
use crate::negotiation::{LENGTH, Mode};
use crate::order::Order;
use crate::spoil::Spoil;

/// A webcam.
#[derive(Debug)]
pub struct Device {
    identity: Identity,
    configuration: Vec<u8>,
    footage: Footage,
    mode: Mode,
    camera: Option<CameraStream>,
    sound: Option<SoundStream>,
    /// What is wrong with it.
    is_frozen: bool,
    is_mute: bool,
    slowness: u32,
    spoil: Option<(Spoil, u64)>,
    events: Vec<String>,
}

/// Pictures under way.
#[derive(Debug)]
struct CameraStream {
    pictures: Pictures,
    /// When the next picture is there; `None` before the first packet.
    next_at: Option<Duration>,
    number: u64,
    /// The picture that is being sent, and how much of it was.
    current: Option<(Arc<[u8]>, usize)>,
    /// It changes with each picture.
    frame_id: u8,
    sent: u64,
    skipped: u64,
}

#[derive(Debug)]
struct SoundStream {
    samples: Arc<[u8]>,
    begun: Option<Duration>,
}

/// A request on the control endpoint (USB 2.0, 9.3).
#[derive(Clone, Copy)]
struct Setup {
    kind: u8,
    request: u8,
    value: u16,
    index: u16,
}

impl Setup {
    const fn new([kind, request, v0, v1, i0, i1, _, _]: [u8; 8]) -> Self {
        Self { kind, request, value: u16::from_le_bytes([v0, v1]), index: u16::from_le_bytes([i0, i1]) }
    }
}

impl Device {
    /// One that is not plugged in.
    pub fn new(identity: Identity, footage: Footage) -> Self {
        Self {
            configuration: identity.configuration(),
            mode: Mode::default_of(identity.model),
            identity,
            footage,
            camera: None,
            sound: None,
            is_frozen: false,
            is_mute: false,
            slowness: 1,
            spoil: None,
            events: Vec::new(),
        }
    }

    /// What happened since the last call, in words.
    pub(crate) fn take_events(&mut self) -> Vec<String> {
        core::mem::take(&mut self.events)
    }

    /// It was reset, or has lost its power: nothing streams. What is wrong with it stays.
    pub(crate) fn reset(&mut self) {
        self.stop_camera();
        self.sound = None;
    }

    pub(crate) fn obey(&mut self, order: Order) {
        match order {
            Order::Freeze(is_frozen) => self.is_frozen = is_frozen,
            Order::Mute(is_mute) => self.is_mute = is_mute,
            Order::Dark(slowness) => self.slowness = slowness,
            Order::Spoil(spoil, every) => self.spoil = Some((spoil, every)),
            Order::Whole => self.spoil = None,
            // Its cable is not its own.
            Order::Unplug => {}
        }
    }

    /// Answers a request on the control endpoint; `None` is a stall. `data` came with it.
    pub(crate) fn control(&mut self, setup: [u8; 8], data: &[u8]) -> Option<Vec<u8>> {
        let setup = Setup::new(setup);
        match setup.kind & 0x60 {
            0x00 => self.standard(setup),
            0x20 => self.class(setup, data),
            _ => None,
        }
    }

    /// USB 2.0, 9.4.
    fn standard(&mut self, Setup { kind, request, value, index }: Setup) -> Option<Vec<u8>> {
        let [number, descriptor] = value.to_le_bytes();
        match (kind, request, descriptor) {
            (0x80, 6, 1) => Some(self.identity.device()),
            (0x80, 6, 2) => Some(self.configuration.clone()),
            (0x80, 6, 3) => Some(self.identity.string(number)),
            // Status, and a halt that is cleared.
            (0x80..=0x82, 0, _) => Some(vec![0, 0]),
            (0x02, 1, _) => Some(Vec::new()),
            (0x00, 9, _) => {
                // All interfaces are as they were at first (USB 2.0, 9.1.1.5), also where a machine finds it anew.
                self.reset();
                Some(Vec::new())
            }
            (0x01, 11, _) => {
                self.set_interface(index, value != 0);
                Some(Vec::new())
            }
            _ => None,
        }
    }

    fn set_interface(&mut self, interface: u16, is_on: bool) {
        if interface == u16::from(STREAMS[0]) {
            self.stop_camera();
            if is_on {
                self.start_camera();
            }
        } else if interface == u16::from(STREAMS[1]) {
            self.sound = None;
            if is_on {
                self.start_sound();
            }
        }
    }

    fn stop_camera(&mut self) {
        if let Some(stream) = self.camera.take() {
            self.events.push(format!("camera off, pictures {} skipped {}", stream.sent, stream.skipped));
        }
    }

    fn start_camera(&mut self) {
        let model = self.identity.model;
        let (Some(format), Some(frame)) = (self.mode.format(model), self.mode.frame(model)) else { return };
        match self.footage.pictures(format, frame) {
            Ok(pictures) => {
                self.events.push(format!("camera {}", self.mode.name(model)));
                let (number, frame_id, sent, skipped) = (0, 0, 0, 0);
                let stream = CameraStream { pictures, next_at: None, number, current: None, frame_id, sent, skipped };
                self.camera = Some(stream);
            }
            Err(error) => self.events.push(error),
        }
    }

    fn start_sound(&mut self) {
        let Some(rate) = self.identity.sound_rate else { return };
        match self.footage.sound(rate) {
            Ok(samples) => {
                self.events.push(format!("microphone {rate}"));
                self.sound = Some(SoundStream { samples, begun: None });
            }
            Err(error) => self.events.push(error),
        }
    }

    /// Of the stream's probe and commit, and of the microphone's rate (UVC 1.0, A.8; UAC 1.0, A.9).
    fn class(&mut self, setup: Setup, data: &[u8]) -> Option<Vec<u8>> {
        let (model, stream) = (self.identity.model, u16::from(STREAMS[0]));
        let microphone = u16::from(0x80 | ENDPOINTS[1]);
        match (setup.kind, setup.request) {
            (0x21, 0x01) if setup.index == stream => {
                self.mode = Mode::asked(model, data);
                Some(Vec::new())
            }
            (0xa1, 0x81..=0x84 | 0x87) if setup.index == stream => Some(self.mode.probe(model).to_vec()),
            (0xa1, 0x85) if setup.index == stream => Some(u16::try_from(LENGTH).ok()?.to_le_bytes().to_vec()),
            (0xa1, 0x86) if setup.index == stream => Some(vec![3]),
            (0x22, 0x01) if setup.index == microphone => Some(Vec::new()),
            (0xa2, 0x81..=0x84) if setup.index == microphone => {
                Some(self.identity.sound_rate?.to_le_bytes()[..3].to_vec())
            }
            _ => None,
        }
    }

    /// Appends the packet that the camera sends at `slot`, of at most `room` bytes: a payload header, and a part of the
    /// picture that is there (UVC 1.0, 2.4.3.3).
    pub(crate) fn picture_packet(&mut self, slot: Duration, room: usize, out: &mut Vec<u8>) {
        const HEADER: u8 = 2;
        const END_OF_HEADER: u8 = 0x80;
        const END_OF_FRAME: u8 = 0x02;
        let Some(stream) = &mut self.camera else { return };
        let Some(space) = room.checked_sub(usize::from(HEADER)).filter(|space| *space > 0) else { return };
        let interval = Duration::from_nanos(u64::from(self.mode.interval) * 100) * self.slowness;
        stream.next_picture(slot, interval, self.is_frozen, self.spoil);
        let Some((picture, at)) = stream.current.take() else {
            return out.extend([HEADER, END_OF_HEADER | stream.frame_id]);
        };
        let end = picture.len().min(at + space);
        let is_last = end == picture.len();
        out.extend([HEADER, END_OF_HEADER | stream.frame_id | if is_last { END_OF_FRAME } else { 0 }]);
        out.extend(&picture[at..end]);
        stream.sent += u64::from(is_last);
        stream.current = (!is_last).then_some((picture, end));
    }

    /// Appends the packet that the microphone sends at `slot`: the samples of the `step` that follows.
    pub(crate) fn sound_packet(&mut self, slot: Duration, step: Duration, room: usize, out: &mut Vec<u8>) {
        let (Some(stream), Some(rate)) = (&mut self.sound, self.identity.sound_rate) else { return };
        if self.is_mute {
            return;
        }
        let since = slot.saturating_sub(*stream.begun.get_or_insert(slot));
        let sample =
            |at: Duration| usize::try_from(at.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or_default();
        let (first, behind) = (sample(since), sample(since + step).min(sample(since) + room / 2));
        let whole = stream.samples.len() / 2;
        for number in first..behind {
            let at = number % whole * 2;
            out.extend(&stream.samples[at..at + 2]);
        }
    }
}

impl CameraStream {
    /// Begins the picture that is there at `slot`, if there is a new one. A camera has one at a time: those that were
    /// not fetched in time are skipped.
    fn next_picture(&mut self, slot: Duration, interval: Duration, is_frozen: bool, spoil: Option<(Spoil, u64)>) {
        let due = *self.next_at.get_or_insert(slot);
        if self.current.is_some() || slot < due {
            return;
        }
        let late = slot.saturating_sub(due);
        let skipped = u64::try_from(late.as_nanos() / interval.as_nanos().max(1)).unwrap_or_default();
        self.next_at = Some(due + interval * u32::try_from(skipped + 1).unwrap_or(u32::MAX));
        if is_frozen {
            return;
        }
        self.skipped += skipped;
        self.number += 1 + skipped;
        self.frame_id ^= 1;
        let count = u64::try_from(self.pictures.len()).unwrap_or(1).max(1);
        let which = usize::try_from(self.number % count).unwrap_or_default();
        let Some(picture) = self.pictures.get(which) else { return };
        let picture = match spoil {
            Some((spoil, every)) if self.sent.is_multiple_of(every.max(1)) => spoil.apply(picture).into(),
            Some(_) | None => picture.clone(),
        };
        self.current = Some((picture, 0));
    }
}

#[cfg(test)]
mod tests;
