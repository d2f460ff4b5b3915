"""The platform's operator: prints what the test box says as JSON lines, publishes what comes in as JSON lines."""
import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

BOX = "tallybox/v1/test-box/"


def tell(**message):
    print(json.dumps(message), flush=True)


def on_connect(client, userdata, flags, reason, properties):
    client.subscribe([(BOX + "#", 1), ("answers/#", 1), ("homeassistant/#", 1)])


def on_message(client, userdata, message):
    topic = message.topic.removeprefix(BOX)
    if topic.startswith("cmd/"):
        return
    text = message.payload.decode("utf-8", "replace")
    try:
        payload = json.loads(text)
    except ValueError:
        payload = text
    correlation = getattr(message.properties, "CorrelationData", b"").decode()
    tell(topic=topic, payload=payload, retained=bool(message.retain), qos=message.qos, correlation=correlation)


client = mqtt.Client("operator", protocol=mqtt.MQTTv5)
client.on_connect = on_connect
client.on_message = on_message
client.on_subscribe = lambda *rest: tell(topic="connected")
client.on_publish = lambda *rest: tell(topic="published")
client.reconnect_delay_set(min_delay=1, max_delay=1)
client.connect("127.0.0.1", int(sys.argv[1]), keepalive=5)
client.loop_start()
for line in sys.stdin:
    message = json.loads(line)
    properties = Properties(PacketTypes.PUBLISH)
    if "response" in message:
        properties.ResponseTopic = message["response"]
        properties.CorrelationData = message["correlation"].encode()
    payload = message["payload"]
    payload = payload if isinstance(payload, str) else json.dumps(payload)
    topic = message["to"] if "to" in message else BOX + "cmd/" + message["verb"]
    client.publish(topic, payload, qos=1, retain=message.get("retain", False), properties=properties)
