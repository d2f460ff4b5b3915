//! What the box asks to hear once a broker has let it in, and what the broker answers.

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{ConnAck, SubAck, SubscribeFilter, SubscribeReasonCode};

use super::broker::RETRY_FEATURE_AFTER;
use super::context::{Agent, BrokerConnection};
use super::explain::ConnectionLoss;
use super::publisher::{Kind, Limits};
use super::session::POLICY;
use super::telemetry;
use super::twin::DESIRED;
use crate::ipc::NetworkReport;

impl Agent<'_> {
    /// The broker has answered the subscriptions. Online means that a stop will be heard: said only once it has taken
    /// that one.
    pub(super) fn subscribed(&mut self, line: &mut BrokerConnection, taken: &SubAck) -> Result<(), ConnectionLoss> {
        let is_refused = |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
        let again = self.clock.now().saturating_add(RETRY_FEATURE_AFTER);
        line.subscribe_at = taken.return_codes.iter().any(|code| is_refused(&code)).then_some(again);
        let refused = |index: usize| taken.return_codes.get(index).filter(is_refused);
        self.notifier.remark(DESIRED, refused(1).map(|code| self.desired_refused(*code)));
        let releases = usize::from(self.releases.topic().is_some());
        self.check_releases(releases == 1 && refused(2).is_some());
        self.check_policy(refused(2 + releases).is_some());
        if let Some(code) = refused(0) {
            let topic = self.topic("cmd/+");
            let why = format!("it refuses the subscription to {topic} ({code:?}): see the broker's access rules");
            return Err(why.into());
        }
        tracing::info!("connected to the broker {}", self.mqtt.origin());
        line.online = true;
        line.online_at = Some(self.clock.now());
        self.report_broker(NetworkReport::BrokerConnected {});
        self.events.connected(self.clock.now());
        line.telemetry_at = telemetry::first_at(self.clock.now(), self.telemetry_interval());
        self.notifier.connected();
        self.publish(line, Kind::Availability, "online".to_owned());
        self.home_assistant_connected(line);
        Ok(())
    }

    /// Without this subscription commands are heard all the same.
    fn check_releases(&mut self, refused: bool) {
        let topic = self.releases.topic().unwrap_or_default();
        let why = format!("the broker refuses the subscription to {topic}: no updates; see the broker's access rules");
        self.notifier.remark("releases", refused.then_some(why));
    }

    /// The same of this one.
    fn check_policy(&mut self, refused: bool) {
        let topic = self.topic(POLICY);
        let why = format!(
            "the broker refuses the subscription to {topic}: no policy of the platform's; see the broker's access rules"
        );
        self.notifier.remark("policy", refused.then_some(why));
    }

    /// Whether any key is trusted to sign policies.
    fn trusts_policies(&self) -> bool {
        let brings = |role: &notes::Role| matches!(role, notes::Role::Policy | notes::Role::EndOfService);
        self.config.trust.keys.iter().any(|key| key.may.iter().any(brings))
    }

    /// The broker lets this box in: keeps to what it takes, and asks for commands.
    pub(super) fn subscribe(&mut self, line: &mut BrokerConnection, answer: &ConnAck) -> Result<(), ConnectionLoss> {
        let accepts = self.refused_features.at(self.clock.now());
        let limits = accepts.within(Limits::new(answer));
        line.accepts = Some(accepts);
        let retained = "the broker keeps no retained messages: state and availability go without, and whoever \
                        subscribes later sees the state when it is told again with the telemetry";
        self.notifier.remark("retained messages", (!limits.retain).then(|| retained.to_owned()));
        let acknowledged = "the broker does not allow QoS 1: nothing is acknowledged, and events, which must not be \
                            lost, wait until it does; allow QoS 1 at the broker";
        self.notifier.remark("QoS 1", (!limits.qos1).then(|| acknowledged.to_owned()));
        line.publisher.keep_to(limits);
        line.limits = Some(limits);
        let qos = if limits.qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        // Without this a broker takes the retain flag off for those who already listen: a retained command would be
        // obeyed when it is sent, and refused at each later connection.
        let filter = SubscribeFilter { preserve_retain: true, ..SubscribeFilter::new(self.topic("cmd/+"), qos) };
        // Commands come first: their answer decides whether the box is online.
        let releases = self.releases.topic().map(str::to_owned);
        let policy = self.trusts_policies().then(|| self.topic(POLICY));
        let others = std::iter::once(self.topic(DESIRED)).chain(releases).chain(policy);
        let others = others.map(|topic| SubscribeFilter::new(topic, qos));
        let asked = line.publisher.client.try_subscribe_many(std::iter::once(filter).chain(others));
        asked.map_err(|error| error.to_string().into())
    }
}
