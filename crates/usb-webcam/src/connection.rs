//! The cable: carries each isochronous packet when its time has come, paced as a high-speed bus.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::descriptors::{ENDPOINTS, STREAMS};
use crate::device::Device;
use crate::order::Order;
use crate::usbip::{self, Command, Submit};

const MICROFRAME: Duration = Duration::from_micros(125);
/// So late may a machine ask for what the bus carried. An emulated processor is late where the controller of a real one
/// is not, and that is to be no loss.
const LATE: Duration = Duration::from_millis(500);
/// The longest interval between packets, in microframes (USB 2.0, 9.6.6).
const LONGEST_INTERVAL: u32 = 1 << 15;

/// A webcam, and the cable that it is plugged in by, if it is.
#[derive(Debug)]
pub struct Webcam {
    bus: Mutex<Bus>,
    changed: Condvar,
    begun: Instant,
}

#[derive(Debug)]
struct Bus {
    device: Device,
    /// One for pictures, and one for sound.
    pipes: [Pipe; 2],
    cable: Option<TcpStream>,
}

/// The requests for isochronous packets of an endpoint.
#[derive(Debug, Default)]
struct Pipe {
    waiting: VecDeque<Request>,
    /// When the bus is free for the next request, since the webcam was made.
    free: Option<Duration>,
}

/// One that waits for its time on the bus.
#[derive(Debug)]
struct Request {
    seq: u32,
    packets: Vec<u32>,
    begin: Duration,
    step: Duration,
    due: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "the only place here that reads a clock")]
fn now() -> Instant {
    Instant::now()
}

impl Webcam {
    /// One that is not plugged in.
    pub fn new(device: Device) -> Self {
        let bus = Bus { device, pipes: Default::default(), cable: None };
        Self { bus: Mutex::new(bus), changed: Condvar::new(), begun: now() }
    }

    /// Does what a test wants.
    pub fn obey(&self, order: Order) {
        let mut bus = lock(&self.bus);
        if let (Order::Unplug, Some(cable)) = (order, &bus.cable) {
            let _ = cable.shutdown(Shutdown::Both);
        }
        bus.device.obey(order);
    }

    fn clock(&self) -> Duration {
        now() - self.begun
    }

    /// Tells whoever reads standard output, with milliseconds.
    fn tell(&self, what: &str) {
        let line = format!("{} {what}\n", self.clock().as_millis());
        // Nobody listens any more: the test is over.
        let _ = io::stdout().write_all(line.as_bytes());
    }

    fn tell_events(&self, device: &mut Device) {
        for event in device.take_events() {
            self.tell(&event);
        }
    }
}

/// Plugs the webcam in at the machine at the other end, until either pulls the plug.
pub fn serve(webcam: &Webcam, stream: TcpStream) {
    let Ok(mut reader) = stream.try_clone() else { return };
    let _ = stream.set_nodelay(true);
    {
        let mut bus = lock(&webcam.bus);
        bus.device.reset();
        bus.pipes = Default::default();
        bus.cable = stream.try_clone().ok();
    }
    webcam.tell("plug in");
    let wire = Mutex::new(stream);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| webcam.carry(&wire));
        let ended = webcam.answer_requests(&mut reader, &wire);
        lock(&webcam.bus).cable = None;
        webcam.changed.notify_all();
        ended
    });
    match ended {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => webcam.tell(&format!("plug out: {error}")),
        Ok(()) | Err(_) => webcam.tell("plug out"),
    }
}

impl Webcam {
    fn answer_requests(&self, reader: &mut TcpStream, wire: &Mutex<TcpStream>) -> io::Result<()> {
        loop {
            match usbip::read(reader)? {
                Command::Unlink { seq, target } => {
                    // In this order, as `carry` does: an answer is on the wire before the word that there was one.
                    let mut wire = lock(wire);
                    let was_waiting = lock(&self.bus).take_back(target);
                    wire.write_all(&usbip::unlinked(seq, was_waiting))?;
                }
                Command::Submit(submit) if submit.endpoint == 0 => {
                    let answer = self.control(&submit);
                    lock(wire).write_all(&answer)?;
                }
                Command::Submit(submit) => {
                    if let Some(refused) = self.enqueue(submit) {
                        lock(wire).write_all(&refused)?;
                    }
                }
            }
        }
    }

    fn control(&self, submit: &Submit) -> Vec<u8> {
        let mut bus = lock(&self.bus);
        let answered = bus.device.control(submit.setup, &submit.data);
        if let [0x01, 11, _, _, interface, 0, ..] = submit.setup
            && let Some(which) = STREAMS.iter().position(|stream| *stream == interface)
        {
            bus.pipes[which] = Pipe::default();
        }
        self.tell_events(&mut bus.device);
        let Some(mut data) = answered else { return usbip::answer(submit.seq, usbip::STALL, 0, &[]) };
        data.truncate(usize::try_from(submit.length).unwrap_or(usize::MAX));
        let went = if submit.is_inward { data.len() } else { submit.data.len() };
        usbip::answer(submit.seq, 0, went, if submit.is_inward { &data } else { &[] })
    }

    /// Gives a request its place on the bus. The answer, where there is no such endpoint.
    fn enqueue(&self, submit: Submit) -> Option<Vec<u8>> {
        let endpoint = ENDPOINTS.iter().position(|endpoint| u32::from(*endpoint) == submit.endpoint);
        let which = endpoint.filter(|_| submit.is_inward && !submit.packets.is_empty());
        let Some(which) = which else { return Some(usbip::answer(submit.seq, usbip::STALL, 0, &[])) };
        let step = MICROFRAME * submit.interval.clamp(1, LONGEST_INTERVAL);
        let now = self.clock();
        let mut bus = lock(&self.bus);
        let pipe = &mut bus.pipes[which];
        // A bus does not wait: what was not asked for in time is not carried.
        let begin = pipe.free.map_or(now, |free| free.max(now.saturating_sub(LATE)));
        let due = begin + step * u32::try_from(submit.packets.len()).unwrap_or(u32::MAX);
        pipe.free = Some(due);
        pipe.waiting.push_back(Request { seq: submit.seq, packets: submit.packets, begin, step, due });
        self.changed.notify_all();
        None
    }

    /// Carries isochronous packets, until the plug is pulled.
    fn carry(&self, wire: &Mutex<TcpStream>) {
        while self.wait_until_due() {
            let mut wire = lock(wire);
            let answer = {
                let mut bus = lock(&self.bus);
                let Some((which, request)) = bus.take_due(self.clock()) else { continue };
                bus.packets(which, &request)
            };
            if wire.write_all(&answer).is_err() {
                return;
            }
        }
    }

    /// Waits until a request is due. False: the plug was pulled.
    fn wait_until_due(&self) -> bool {
        let mut bus = lock(&self.bus);
        loop {
            if bus.cable.is_none() {
                return false;
            }
            let first = bus.pipes.iter().filter_map(|pipe| pipe.waiting.front().map(|request| request.due)).min();
            let pause = first.map(|due| due.saturating_sub(self.clock()));
            bus = match pause {
                Some(Duration::ZERO) => return true,
                Some(pause) => self.changed.wait_timeout(bus, pause).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(bus).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Bus {
    /// Whether the request was still waiting.
    fn take_back(&mut self, target: u32) -> bool {
        let waiting = |pipes: &[Pipe; 2]| pipes.iter().map(|pipe| pipe.waiting.len()).sum::<usize>();
        let before = waiting(&self.pipes);
        for pipe in &mut self.pipes {
            pipe.waiting.retain(|request| request.seq != target);
        }
        waiting(&self.pipes) < before
    }

    /// A request whose time has come, and its pipe.
    fn take_due(&mut self, now: Duration) -> Option<(usize, Request)> {
        let is_due = |pipe: &Pipe| pipe.waiting.front().is_some_and(|request| request.due <= now);
        let which = self.pipes.iter().position(is_due)?;
        Some((which, self.pipes[which].waiting.pop_front()?))
    }

    /// The answer to a request whose time has come.
    fn packets(&mut self, which: usize, request: &Request) -> Vec<u8> {
        let (mut data, mut packets, mut slot) = (Vec::new(), Vec::new(), request.begin);
        for asked in &request.packets {
            let (before, room) = (data.len(), usize::try_from(*asked).unwrap_or_default());
            match which {
                0 => self.device.picture_packet(slot, room, &mut data),
                _ => self.device.sound_packet(slot, request.step, room, &mut data),
            }
            packets.push((*asked, data.len() - before));
            slot += request.step;
        }
        usbip::isochronous(request.seq, &packets, &data)
    }
}

#[cfg(test)]
mod tests;
