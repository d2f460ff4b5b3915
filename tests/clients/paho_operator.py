"""An operator in Python: paho, and the Ed25519 of `cryptography`. Signed notes are made after docs/notes.md alone.

paho_operator.py PORT BOX NAME SEED-HEX: prints what came of each step as a line of JSON.
"""
import base64
import datetime
import hashlib
import json
import os
import queue
import sys
import threading
import time
import uuid

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, box, name, seed = sys.argv[1:]
key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
key_id = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def note(fields):
    text = "tallybox/command/v1\n" + json.dumps(fields) + "\n"
    signature = base64.b64encode(key_id + key.sign(text.encode())).decode()
    return f"{text}\n\u2014 {name} {signature}\n"


base = f"tallybox/v1/{box}"
answers = f"answers/py-{os.getpid()}"
heard, state, subscribed = queue.Queue(), {}, threading.Event()


def on_message(client, userdata, message):
    payload = json.loads(message.payload)
    if message.topic == base + "/state":
        state.update(payload)
    else:
        heard.put((message.properties.CorrelationData, payload))


client = mqtt.Client(f"py-{os.getpid()}", protocol=mqtt.MQTTv5)
client.on_message = on_message
client.on_subscribe = lambda *rest: subscribed.set()
client.connect("127.0.0.1", int(port))
client.subscribe([(answers, 1), (base + "/state", 1)])
client.loop_start()
subscribed.wait(30)


def send(verb, payload):
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = answers
    properties.CorrelationData = uuid.uuid4().bytes
    client.publish(f"{base}/cmd/{verb}", payload, qos=1, properties=properties)
    while True:
        correlation, answer = heard.get(timeout=30)
        if correlation == properties.CorrelationData:
            return answer


def until(phase):
    end = time.monotonic() + 30
    while state.get("phase") != phase:
        assert time.monotonic() < end, f"{phase} did not come: {state}"
        time.sleep(0.02)


def tell(step, answer):
    print(json.dumps({"step": step, "ok": answer["ok"], "code": answer.get("code")}), flush=True)


def at(seconds):
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


until("idle")
# Above whatever this key sent in this epoch before.
seq = time.time_ns() // 1000


def command(verb, **more):
    global seq
    seq += 1
    return {"box": box, "verb": verb, "id": str(uuid.uuid4()), "epoch": state["epoch"], "seq": seq,
            "deadline-s": state["uptime-s"] + 240, **more}


unsigned = {"id": str(uuid.uuid4()), "issued-at": at(0), "expires-at": at(60)}
tell("unsigned", send("request-start", json.dumps(unsigned)))
first = note(command("request-start"))
tell("signed", send("request-start", first))
until("requested")
tell("again", send("request-start", first))
tell("replayed", send("identify", note(command("identify", seq=1))))
tell("misaddressed", send("identify", note(command("identify", box="another-box"))))
tell("epoch", send("identify", note(command("identify", epoch="0" * 32))))
tell("forged", send("identify", note(command("identify")).replace('"id": "', '"id": "x')))
tell("role", send("erase", note(command("erase"))))
tell("stop", send("stop", json.dumps({"id": str(uuid.uuid4())})))
until("idle")
client.disconnect()
