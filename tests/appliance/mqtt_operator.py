"""The platform's operator: prints what the test box says as JSON lines, publishes what comes in as JSON lines.

Each message of the box has to fit its schema in docs/schemas; one that does not has the topic "invalid".
"""
import json
import pathlib
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(TOP / "tests" / "wire"))
sys.dont_write_bytecode = True
from judge import judge  # noqa: E402

BOX = "tallybox/v1/test-box/"
SCHEMAS = {"state": "state", "telemetry": "telemetry", "event": "event", "reply": "reply", "config/reported": "reported"}
JUDGES = {topic: judge(json.loads((TOP / f"docs/schemas/{name}.json").read_text())) for topic, name in SCHEMAS.items()}
# In bytes; a diagnosis brings state and telemetry along, and a receipt is a whole note.
LONGEST, LONGEST_DIAGNOSIS, LONGEST_RECEIPT = 1024, 2048, 1536
# Up to 64 keys, which are never cut.
LONGEST_REPORT = 8192


def mistakes(topic, payload, raw):
    """What is wrong with a message of the box; `raw` is its payload as it came."""
    if topic == "availability":
        return [] if payload in ("online", "offline", "stopped") else [payload]
    if topic not in JUDGES or not raw:
        return []
    if topic == "config/reported":
        longest = LONGEST_REPORT
    else:
        longest = LONGEST_DIAGNOSIS if b'"diagnosis"' in raw else LONGEST_RECEIPT if b'"receipt"' in raw else LONGEST
    return JUDGES[topic](payload) + ([f"{len(raw)} bytes"] if len(raw) > longest else [])


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
    if wrong := mistakes(topic, payload, message.payload):
        tell(topic="invalid", of=topic, payload=payload, wrong=wrong)
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
