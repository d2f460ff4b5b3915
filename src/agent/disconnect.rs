//! The clean end of a connection, and the task that listens to it.

use std::time::Duration;

use rumqttc::mqttbytes::v5::{DisconnectProperties, DisconnectReasonCode, Packet};
use rumqttc::{ConnectionError, Event, EventLoop};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::context::{Agent, BrokerConnection};
use super::publisher::Kind;

/// What a clean end waits for the broker's acknowledgement.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

impl Agent<'_> {
    /// Says that this end was meant, and waits until the broker has heard it.
    pub(super) async fn disconnect_cleanly(
        &mut self,
        line: &mut BrokerConnection,
        events: &mut mpsc::Receiver<Result<Event, ConnectionError>>,
    ) {
        // An unbound box withdraws from Home Assistant first.
        self.send_to_home_assistant(line);
        if !line.online || !self.publish(line, Kind::Availability, "stopped".to_owned()) {
            return;
        }
        let begun = self.clock.now();
        let report = timeout(DISCONNECT_TIMEOUT, async {
            while line.publisher.is_under_way(Kind::Availability) || line.publisher.is_under_way(Kind::HomeAssistant) {
                tokio::select! {
                    biased;
                    outcome = line.publisher.outcome() => {
                        match outcome.kind {
                            Kind::Event | Kind::HomeAssistant => self.on_publish_outcome(line, outcome),
                            Kind::Availability
                            | Kind::State
                            | Kind::Reported
                            | Kind::Checkpoint
                            | Kind::Telemetry
                            | Kind::Reply(_) => {}
                        }
                        self.send_to_home_assistant(line);
                    }
                    event = events.recv() => {
                        let Some(Ok(event)) = event else { return };
                        self.hear_out(line, event);
                    }
                }
            }
        });
        let _ = report.await;
        // The session ends with it: nothing is kept for a box that stopped, and less for one that was unbound.
        let properties = DisconnectProperties {
            session_expiry_interval: Some(0),
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        };
        let _ =
            line.publisher.client.try_disconnect_with_properties(DisconnectReasonCode::NormalDisconnection, properties);
        let left = DISCONNECT_TIMEOUT.saturating_sub(self.clock.now().duration_since(begun));
        // Drains until the connection is closed.
        let drained = timeout(left, async {
            while let Some(Ok(event)) = events.recv().await {
                self.hear_out(line, event);
            }
        });
        let _ = drained.await;
    }

    /// Takes a message that came before the end: the library has acknowledged it, and nobody sends it again. It may be
    /// a stop.
    pub(super) fn hear_out(&mut self, line: &mut BrokerConnection, event: Event) {
        if let Event::Incoming(Packet::Publish(message)) = event {
            // Only the answers to CONNECT and SUBSCRIBE end a connection.
            let _ = self.incoming(line, Packet::Publish(message));
        }
    }
}

/// Polls the connection and nothing else: a poll that is dropped half way would lose what it was doing.
pub(super) async fn listen(mut eventloop: EventLoop, heard: mpsc::Sender<Result<Event, ConnectionError>>) {
    loop {
        let event = eventloop.poll().await;
        let last = event.is_err();
        if heard.send(event).await.is_err() || last {
            return;
        }
    }
}
