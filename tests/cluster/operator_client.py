"""An operator of the fleet at one node: what it hears of events, states and answers."""
import collections
import json
import threading
import uuid

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class Operator:
    def __init__(self, port, topics, name=None, will=None):
        self.events = collections.defaultdict(list)
        self.states, self.retained, self.availability, self.answers = {}, set(), {}, {}
        self.lost = None
        self.answers_topic = f"answers/{uuid.uuid4()}"
        subscribed = threading.Event()
        self.client = mqtt.Client(name or f"operator-{uuid.uuid4()}", protocol=mqtt.MQTTv5)
        self.client.max_inflight_messages_set(1000)
        self.client.on_message = self.on_message
        self.client.on_subscribe = lambda *rest: subscribed.set()
        self.client.on_disconnect = self.on_disconnect
        session = Properties(PacketTypes.CONNECT)
        if will:
            topic, text, seconds = will
            delay = Properties(PacketTypes.WILLMESSAGE)
            delay.WillDelayInterval = seconds
            session.SessionExpiryInterval = 3 * seconds
            self.client.will_set(topic, text, qos=1, properties=delay)
        self.client.connect("127.0.0.1", port, keepalive=60, properties=session)
        self.client.subscribe([(topic, 1) for topic in [*topics, self.answers_topic]])
        self.client.loop_start()
        assert subscribed.wait(60), "the subscription was not answered"

    def on_disconnect(self, client, userdata, reason, properties=None):
        self.lost = str(reason)

    def on_message(self, client, userdata, message):
        if message.topic == self.answers_topic:
            answer = json.loads(message.payload)
            self.answers[message.properties.CorrelationData.decode()] = answer["ok"]
            return
        box, _, what = message.topic.removeprefix("tallybox/v1/").partition("/")
        if what == "event":
            self.events[box].append(json.loads(message.payload)["seq"])
        elif what == "state":
            self.states[box] = json.loads(message.payload)["phase"]
            if message.retain:
                self.retained.add(box)
        elif what == "availability":
            self.availability[box] = message.payload.decode()

    def send(self, box, verb):
        """A command whose answer comes back under the box's name."""
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = self.answers_topic
        properties.CorrelationData = box.encode()
        payload = json.dumps({"id": str(uuid.uuid4())})
        self.client.publish(f"tallybox/v1/{box}/cmd/{verb}", payload, qos=1, properties=properties)

    def cut(self):
        """Goes without a word."""
        self.client.loop_stop()
        self.client.socket().close()

    def end(self):
        self.client.disconnect()
        self.client.loop_stop()
