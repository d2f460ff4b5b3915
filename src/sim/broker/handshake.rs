//! How a connection to a simulated broker begins: CONNECT, the session, and the subscriptions.

use std::ops::ControlFlow;
use std::time::Duration;

use rumqttc::mqttbytes::v5::{
    ConnAck, ConnAckProperties, Connect, ConnectReturnCode, DisconnectReasonCode, LastWill, Packet, Publish, SubAck,
    Subscribe, SubscribeReasonCode,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::bytes::BytesMut;

use super::connection::{Connection, Then};
use super::{Ending, Happening, Message, Order, Session, Welcome};
use crate::sync::LockExt;

impl Connection {
    /// CONNECT came.
    pub(super) fn welcome(
        &mut self,
        connect: &Connect,
        will: Option<LastWill>,
        sender: mpsc::UnboundedSender<Order>,
    ) -> ControlFlow<bool> {
        self.told = self.broker.0.lock_unpoisoned().behaviour.clone();
        match self.told.welcome {
            Welcome::Accept => {}
            Welcome::Silent => return ControlFlow::Continue(()),
            Welcome::Close => return ControlFlow::Break(false),
            Welcome::Garbage => self.send(Duration::ZERO, BytesMut::from(&[0_u8, 0xff, 7, 7][..]), Then::End),
            Welcome::Http => {
                let answer = &b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>"[..];
                self.send(Duration::ZERO, BytesMut::from(answer), Then::End);
            }
            Welcome::Old => self.send(Duration::ZERO, BytesMut::from(&[0x20_u8, 2, 0, 1][..]), Then::End),
            Welcome::Refuse(code) => {
                let packet = ConnAck { session_present: false, code, properties: None };
                self.send_packet(&Packet::ConnAck(packet), Then::End);
            }
        }
        if self.told.welcome != Welcome::Accept {
            return ControlFlow::Continue(());
        }
        let properties = connect.properties.as_ref();
        self.will = will;
        self.expiry = Duration::from_secs(properties.and_then(|more| more.session_expiry_interval).unwrap_or(0).into());
        let takes = properties.and_then(|more| more.receive_maximum).unwrap_or(u16::MAX);
        self.receive_maximum = usize::from(takes);
        let is_present = self.begin_session(connect.clean_start, sender);
        let properties = ConnAckProperties {
            receive_max: self.told.receive_maximum,
            max_qos: self.told.without_qos1.then_some(0),
            retain_available: self.told.without_retain.then_some(0),
            max_packet_size: self.told.max_packet,
            ..no_properties()
        };
        let session_present = self.told.session_present.unwrap_or(is_present);
        let packet = ConnAck { session_present, code: ConnectReturnCode::Success, properties: Some(properties) };
        self.send_packet(&Packet::ConnAck(packet), Then::Note(Happening::Connected(self.number)));
        while let Some(message) = self.next_waiting() {
            self.deliver(message);
        }
        ControlFlow::Continue(())
    }

    /// Takes the box's session over, with what waits in it; returns whether there was one.
    fn begin_session(&mut self, clean_start: bool, sender: mpsc::UnboundedSender<Order>) -> bool {
        let mut core = self.broker.0.lock_unpoisoned();
        if let Some((_, former)) = core.connection.replace((self.number, sender)) {
            // The newer of two clients with one name stays.
            let _ = former.send(Order::End(Ending::Told(DisconnectReasonCode::SessionTakenOver)));
        }
        let now = Instant::now();
        let kept = core.session.take();
        let kept = kept.filter(|session| !clean_start && session.until.is_none_or(|until| now < until));
        let is_present = kept.is_some();
        let pending = core.will.take();
        if let (false, Some((_, will))) = (is_present, pending) {
            core.publish_will(&will);
        }
        let Session { filters, waiting, until: _ } = kept.unwrap_or_default();
        core.session = Some(Session { filters, ..Session::default() });
        drop(core);
        self.waiting = waiting;
        is_present
    }

    /// SUBSCRIBE came: what is retained follows the answer.
    pub(super) fn subscribe(&mut self, subscribe: Subscribe) {
        let mut core = self.broker.0.lock_unpoisoned();
        if core.behaviour.is_deaf {
            return;
        }
        let refused = core.behaviour.refused_filters;
        let is_refused = |index: usize| index < 8 && refused & (1 << index) != 0;
        let codes = subscribe.filters.iter().enumerate().map(|(index, filter)| {
            if is_refused(index) {
                SubscribeReasonCode::NotAuthorized
            } else {
                SubscribeReasonCode::Success(filter.qos)
            }
        });
        let return_codes = codes.collect();
        let taken = subscribe.filters.into_iter().enumerate().filter(|(index, _)| !is_refused(*index));
        let taken: Vec<_> = taken.map(|(_, filter)| filter).collect();
        let kept: Vec<Publish> = core
            .retained
            .iter()
            .filter_map(|(topic, publish)| {
                let filter = taken.iter().find(|filter| super::matches(&filter.path, topic))?;
                Some(Publish { qos: filter.qos, ..publish.clone() })
            })
            .collect();
        if let Some(session) = &mut core.session {
            session.filters.retain(|known| taken.iter().all(|filter| filter.path != known.path));
            session.filters.extend(taken);
        }
        let first = core.messages + 1;
        core.messages += kept.len() as u64;
        drop(core);
        let packet = SubAck { pkid: subscribe.pkid, return_codes, properties: None };
        self.send_packet(&Packet::SubAck(packet), Then::Note(Happening::Subscribed(self.number)));
        for (number, publish) in (first..).zip(kept) {
            self.deliver(Message { number, publish });
        }
    }
}

const fn no_properties() -> ConnAckProperties {
    ConnAckProperties {
        session_expiry_interval: None,
        receive_max: None,
        max_qos: None,
        retain_available: None,
        max_packet_size: None,
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    }
}
