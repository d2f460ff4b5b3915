//! One connection of a simulated broker: what comes in, and what goes out at its time.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use rumqttc::mqttbytes::v5::{Disconnect, DisconnectReasonCode, LastWill, Packet, PubAck, PubAckReason, Publish};
use rumqttc::mqttbytes::{Error, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::bytes::BytesMut;

use super::{Acknowledgement, Arrival, Behaviour, Broker, Ending, Happening, Message, Order};
use crate::sync::LockExt;

/// Whoever reads nothing for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes that wait to be written before nothing more is read.
const MAX_PENDING: usize = 256 * 1024;

/// Bytes on their way to the box, and what is noted once all of them are written.
struct Frame {
    bytes: BytesMut,
    then: Then,
}

pub(super) enum Then {
    Nothing,
    Note(Happening),
    /// The publish with this packet identifier is acknowledged.
    Acknowledged(u16),
    End,
}

pub(super) struct Connection {
    pub(super) broker: Broker,
    pub(super) number: u32,
    stream: DuplexStream,
    received: BytesMut,
    /// What is sent, by its time and order.
    frames: BTreeMap<(Instant, u64), Frame>,
    order: u64,
    /// The connection is lost after so many more bytes.
    budget: Option<usize>,
    /// What the box was told of limits.
    pub(super) told: Behaviour,
    orders: mpsc::UnboundedReceiver<Order>,
    /// What CONNECT said: its will, how long its session lives, how many messages it takes at once.
    pub(super) will: Option<LastWill>,
    pub(super) expiry: Duration,
    pub(super) receive_maximum: usize,
    /// Messages that the box has not acknowledged, by their packet identifiers.
    in_flight: BTreeMap<u16, Message>,
    pub(super) waiting: VecDeque<Message>,
    /// Publishes of the box that are not acknowledged, with their places in the history.
    unacknowledged: BTreeMap<u16, usize>,
    next_id: u16,
}

/// Serves a connection until it ends.
pub(super) async fn serve(broker: Broker, number: u32, stream: DuplexStream) {
    let (sender, orders) = mpsc::unbounded_channel();
    let budget = broker.0.lock_unpoisoned().behaviour.cut_after;
    let mut connection = Connection {
        broker: broker.clone(),
        number,
        stream,
        received: BytesMut::new(),
        frames: BTreeMap::new(),
        order: 0,
        budget,
        told: Behaviour::default(),
        orders,
        will: None,
        expiry: Duration::ZERO,
        receive_maximum: usize::from(u16::MAX),
        in_flight: BTreeMap::new(),
        waiting: VecDeque::new(),
        unacknowledged: BTreeMap::new(),
        next_id: 0,
    };
    let meant = connection.run(sender).await;
    let Connection { will, expiry, in_flight, waiting, .. } = connection;
    let mut core = broker.0.lock_unpoisoned();
    let was_let_in = core.connection.as_ref().is_some_and(|(open, _)| *open == number);
    core.ended(number, meant, will, expiry);
    if let (true, Some(session)) = (was_let_in, &mut core.session) {
        // What was not acknowledged is delivered again.
        let again = in_flight.into_values().map(|mut message| {
            message.publish.dup = true;
            message
        });
        let since = std::mem::take(&mut session.waiting);
        session.waiting = again.chain(waiting).chain(since).collect();
    }
}

impl Connection {
    /// Returns whether the box ended it with DISCONNECT.
    async fn run(&mut self, sender: mpsc::UnboundedSender<Order>) -> bool {
        let mut sender = Some(sender);
        loop {
            let is_stalled = self.broker.0.lock_unpoisoned().behaviour.is_stalled;
            let due = self.frames.keys().next().map(|(at, _)| *at).filter(|_| !is_stalled);
            let pending: usize = self.frames.values().map(|frame| frame.bytes.len()).sum();
            let may_read = !is_stalled && pending < MAX_PENDING;
            tokio::select! {
                biased;
                Some(order) = self.orders.recv() => if self.obey(order).is_break() { return false },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if self.write().await.is_break() {
                        return false;
                    }
                }
                read = self.stream.read_buf(&mut self.received), if may_read => {
                    let length = match read {
                        Ok(length) if length > 0 => length,
                        Ok(_) | Err(_) => return false,
                    };
                    if let ControlFlow::Break(meant) = self.take_bytes(length, &mut sender) {
                        return meant;
                    }
                }
            }
        }
    }

    /// So many bytes came, of which those beyond the budget are lost.
    fn take_bytes(&mut self, length: usize, sender: &mut Option<mpsc::UnboundedSender<Order>>) -> ControlFlow<bool> {
        let lost = self.budget.map_or(0, |budget| length.saturating_sub(budget));
        self.received.truncate(self.received.len().saturating_sub(lost));
        self.budget = self.budget.map(|budget| budget.saturating_sub(length));
        self.take_packets(sender)?;
        if self.budget == Some(0) { ControlFlow::Break(false) } else { ControlFlow::Continue(()) }
    }

    fn obey(&mut self, order: Order) -> ControlFlow<()> {
        match order {
            Order::Deliver(message) => self.deliver(message),
            Order::Raw(bytes) => self.send(Duration::ZERO, BytesMut::from(bytes.as_slice()), Then::Nothing),
            Order::Look => {
                let (now, cut_after) = {
                    let core = self.broker.0.lock_unpoisoned();
                    (core.behaviour.limits(), core.behaviour.cut_after)
                };
                // Where all is well again the connection that there is stays, too.
                self.budget = self.budget.filter(|_| cut_after.is_some());
                // A broker that is given other limits is started anew.
                if self.will.is_some() && now != self.told.limits() {
                    return ControlFlow::Break(());
                }
            }
            Order::End(Ending::Cut) => return ControlFlow::Break(()),
            Order::End(Ending::Told(reason)) => self.send_disconnect(reason),
        }
        ControlFlow::Continue(())
    }

    fn send_disconnect(&mut self, reason_code: DisconnectReasonCode) {
        let packet = Packet::Disconnect(Disconnect { reason_code, properties: None });
        self.send_packet(&packet, Then::End);
    }

    /// Writes the frame that is due.
    async fn write(&mut self) -> ControlFlow<()> {
        let Some((_, Frame { mut bytes, then })) = self.frames.pop_first() else { return ControlFlow::Continue(()) };
        let is_cut = self.budget.is_some_and(|budget| bytes.len() > budget);
        if let (true, Some(budget)) = (is_cut, self.budget) {
            bytes.truncate(budget);
        }
        self.budget = self.budget.map(|budget| budget.saturating_sub(bytes.len()));
        let written = timeout(WRITE_TIMEOUT, self.stream.write_all(&bytes)).await;
        if is_cut || !matches!(written, Ok(Ok(()))) {
            return ControlFlow::Break(());
        }
        let what = match then {
            Then::Nothing => return ControlFlow::Continue(()),
            Then::End => return ControlFlow::Break(()),
            Then::Note(what) => what,
            Then::Acknowledged(id) => match self.unacknowledged.remove(&id) {
                Some(place) => Happening::Acknowledged(place),
                None => return ControlFlow::Continue(()),
            },
        };
        self.broker.0.lock_unpoisoned().note(what);
        ControlFlow::Continue(())
    }

    pub(super) fn send(&mut self, late: Duration, bytes: BytesMut, then: Then) {
        let latency = self.broker.0.lock_unpoisoned().behaviour.latency;
        self.order += 1;
        self.frames.insert((Instant::now() + latency + late, self.order), Frame { bytes, then });
    }

    pub(super) fn send_packet(&mut self, packet: &Packet, then: Then) {
        self.send_packet_late(Duration::ZERO, packet, then);
    }

    fn send_packet_late(&mut self, late: Duration, packet: &Packet, then: Then) {
        let mut bytes = BytesMut::new();
        // The packets of this file have no length that would not fit.
        if packet.write(&mut bytes, None).is_ok() {
            self.send(late, bytes, then);
        }
    }

    /// Takes the packets that have come. Breaks with whether the box ended the connection as it should.
    fn take_packets(&mut self, sender: &mut Option<mpsc::UnboundedSender<Order>>) -> ControlFlow<bool> {
        loop {
            let length = self.received.len();
            let packet = match Packet::read(&mut self.received, None) {
                Ok(packet) => packet,
                Err(Error::InsufficientBytes(_)) => return ControlFlow::Continue(()),
                Err(error) => {
                    self.violation(format!("it sent what is no packet: {error}"));
                    return ControlFlow::Break(false);
                }
            };
            let length = length - self.received.len();
            if self.told.max_packet.is_some_and(|limit| length > usize::try_from(limit).unwrap_or(usize::MAX)) {
                self.violation(format!("it sent a packet of {length} bytes, more than it was told"));
            }
            self.take(packet, sender)?;
        }
    }

    #[allow(clippy::wildcard_enum_match_arm)] // what a client may not send
    fn take(&mut self, packet: Packet, sender: &mut Option<mpsc::UnboundedSender<Order>>) -> ControlFlow<bool> {
        match packet {
            Packet::Connect(connect, will, _) => {
                let Some(sender) = sender.take() else {
                    self.violation("it sent CONNECT twice".to_owned());
                    return ControlFlow::Break(false);
                };
                return self.welcome(&connect, will, sender);
            }
            _ if sender.is_some() => {
                self.violation("its first packet is no CONNECT".to_owned());
                return ControlFlow::Break(false);
            }
            Packet::Subscribe(subscribe) => self.subscribe(subscribe),
            Packet::Publish(publish) => self.published(&publish),
            Packet::PubAck(acknowledgement) => self.heard(acknowledgement.pkid),
            Packet::PingReq => self.send_packet(&Packet::PingResp, Then::Nothing),
            Packet::Disconnect(disconnect) => {
                let properties = disconnect.properties.and_then(|properties| properties.session_expiry_interval);
                if let Some(seconds) = properties {
                    self.expiry = Duration::from_secs(seconds.into());
                }
                return ControlFlow::Break(disconnect.reason_code == DisconnectReasonCode::NormalDisconnection);
            }
            other => self.violation(format!("it sent {:?}", other.packet_type())),
        }
        ControlFlow::Continue(())
    }

    /// The next message that waits in the session and may be sent.
    pub(super) fn next_waiting(&mut self) -> Option<Message> {
        let floods = self.broker.0.lock_unpoisoned().behaviour.floods;
        if self.in_flight.len() < self.receive_maximum || floods { self.waiting.pop_front() } else { None }
    }

    pub(super) fn deliver(&mut self, Message { number, mut publish }: Message) {
        let (behaviour, share) = {
            let mut core = self.broker.0.lock_unpoisoned();
            (core.behaviour.clone(), core.random.f64())
        };
        if publish.qos == QoS::AtLeastOnce {
            if self.in_flight.len() >= self.receive_maximum && !behaviour.floods {
                return self.waiting.push_back(Message { number, publish });
            }
            self.next_id = self.next_id % 60_000 + 1;
            publish.pkid = self.next_id;
            self.in_flight.insert(self.next_id, Message { number, publish: publish.clone() });
        }
        let late = behaviour.jitter.mul_f64(share);
        let delivered = Happening::Delivered { connection: self.number, number };
        self.send_packet_late(late, &Packet::Publish(publish.clone()), Then::Note(delivered.clone()));
        if behaviour.delivers_twice {
            publish.dup = publish.qos == QoS::AtLeastOnce;
            self.send_packet_late(late * 2, &Packet::Publish(publish), Then::Note(delivered));
        }
    }

    /// The box acknowledged a message.
    fn heard(&mut self, id: u16) {
        if let Some(Message { number, .. }) = self.in_flight.remove(&id) {
            self.broker.0.lock_unpoisoned().note(Happening::Heard { connection: self.number, number });
        }
        while let Some(message) = self.next_waiting() {
            self.deliver(message);
        }
    }

    fn published(&mut self, publish: &Publish) {
        let arrival = Arrival {
            connection: self.number,
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            qos: publish.qos,
            retain: publish.retain,
            payload: publish.payload.clone(),
            correlation: publish.properties.as_ref().and_then(|more| more.correlation_data.clone()),
        };
        if self.told.without_qos1 && publish.qos != QoS::AtMostOnce {
            self.violation(format!("it published {} with QoS 1 to a broker without", arrival.topic));
        }
        if self.told.without_retain && publish.retain {
            self.violation(format!("it published {} retained to a broker that keeps nothing", arrival.topic));
        }
        let mut core = self.broker.0.lock_unpoisoned();
        core.keep(publish);
        let behaviour = core.behaviour.clone();
        let place = core.note(Happening::Published(arrival));
        drop(core);
        if publish.qos != QoS::AtMostOnce {
            self.unacknowledged.insert(publish.pkid, place);
            let limit = usize::from(self.told.receive_maximum.unwrap_or(u16::MAX));
            if self.unacknowledged.len() > limit {
                self.violation(format!("it sent more than {limit} publishes at once, as it was told"));
            }
            self.acknowledge(publish.pkid, behaviour.acknowledgement);
        }
    }

    fn acknowledge(&mut self, id: u16, how: Acknowledgement) {
        // A client that may have few messages under way uses each number again at once. The second acknowledgement of
        // the one is then that of the next, and no client can tell.
        let twice = if self.told.receive_maximum.is_none() { 2 } else { 1 };
        let (late, reason, times, id) = match how {
            Acknowledgement::Never => return,
            Acknowledgement::Once => (Duration::ZERO, PubAckReason::Success, 1, id),
            Acknowledgement::Late(late) => (late, PubAckReason::Success, 1, id),
            Acknowledgement::Twice => (Duration::ZERO, PubAckReason::Success, twice, id),
            Acknowledgement::Wrong => (Duration::ZERO, PubAckReason::Success, 1, id.wrapping_add(1).max(1)),
            Acknowledgement::Refused(reason) => (Duration::ZERO, reason, 1, id),
        };
        let is_taken = reason == PubAckReason::Success;
        for _ in 0..times {
            let then = if is_taken { Then::Acknowledged(id) } else { Then::Nothing };
            self.send_packet_late(late, &Packet::PubAck(PubAck { pkid: id, reason, properties: None }), then);
        }
    }

    fn violation(&self, what: String) {
        self.broker.0.lock_unpoisoned().note(Happening::Violation(what));
    }
}
