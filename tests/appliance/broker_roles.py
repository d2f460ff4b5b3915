"""What each role may do at the shipped broker: `broker_roles.py CERTS BOXES OPERATORS CONSOLE`. Each role publishes to
each topic and subscribes to everything, also in roundabout ways. Prints what it could do, as JSON."""
import json
import ssl
import sys
import threading

import paho.mqtt.client as mqtt

CERTS = sys.argv[1]
BOXES, OPERATORS, CONSOLE = map(int, sys.argv[2:5])
PASSWORD = "secret"
OWN = ["availability", "state", "telemetry", "event", "reply", "checkpoint", "config/reported"]
ORDERS = ["cmd/stop", "cmd/request-start", "config/desired", "policy"]
BOX, OTHER, RELEASE = "tallybox/v1/shop-0001/", "tallybox/v1/shop-0002/", "tallybox/v1/release/stable"
TOPICS = [box + topic for box in (BOX, OTHER) for topic in OWN + ORDERS] + [
    RELEASE, "tallybox/v1/release/stable/more", "tallybox/v1/shop-0001", "tallybox/v1/all/cmd/stop/more", "tallybox/v2/x",
    "tallybox/v1/operator/state", "tallybox/v1/dashboard/state", "tallybox/v1/releases/state", "elsewhere", "homeassistant/device/shop-0001/config", "homeassistant/status", "$SYS/broker/version", "$CONTROL/x"]
WILLS = [BOX + "availability", OTHER + "availability", BOX + "cmd/stop", RELEASE]
# Whatever a client may ask for; what it gets is another matter.
FILTERS = ["#", "+/#", "tallybox/v1/#", "tallybox/v1/+/cmd/+", "tallybox/v1/+/+", "tallybox/v1/release/+", "$SYS/#",
           "$SYS/broker/version", "$CONTROL/#", "$share/group/tallybox/v1/#", "$share/group/#"]
PATIENCE = 30


class Client:
    def __init__(self, name, port, cert=None, user=None, will=None):
        socket = "websockets" if port == CONSOLE else "tcp"
        self.client = mqtt.Client(name, protocol=mqtt.MQTTv5, transport=socket)
        cert = {"certfile": f"{CERTS}/{cert}.pem", "keyfile": f"{CERTS}/{cert}.key"} if cert else {}
        self.client.tls_set(f"{CERTS}/ca.pem", tls_version=ssl.PROTOCOL_TLS_CLIENT, **cert)
        if user:
            self.client.username_pw_set(user, PASSWORD)
        if will:
            self.client.will_set(will, "will", qos=1)
        self.heard, self.codes, self.changed = set(), {}, threading.Condition()
        self.connected = None
        self.client.on_connect = lambda *said: self.set("connected", said[3].value)
        self.client.on_subscribe = lambda *said: self.set_code(said[2], 0)
        self.client.on_message = self.on_message
        self.connect(port)

    def connect(self, port):
        try:
            self.client.connect("localhost", port, keepalive=60)
        except OSError:
            return self.set("connected", -1)
        self.client.loop_start()
        self.wait(lambda: self.connected is not None)

    def set(self, name, value):
        with self.changed:
            setattr(self, name, value)
            self.changed.notify_all()

    def set_code(self, number, code):
        with self.changed:
            self.codes[number] = code
            self.changed.notify_all()

    def on_message(self, client, userdata, message):
        with self.changed:
            self.heard.add(message.topic)
            self.changed.notify_all()

    def wait(self, holds):
        with self.changed:
            if not self.changed.wait_for(holds, PATIENCE):
                raise SystemExit(f"nothing came for {PATIENCE} s: {self.heard} {self.codes} {self.connected}")

    def subscribe(self, *topics):
        for topic in topics:
            number = self.client.subscribe(topic, 1)[1]
            self.wait(lambda: number in self.codes)

    def publish(self, topic, text="x", retain=False):
        # What begins with "$" may end the connection: so it is not acknowledged.
        qos = 0 if topic.startswith("$") else 1
        self.client.publish(topic, text, qos=qos, retain=retain).wait_for_publish(PATIENCE)

    def end(self):
        self.client.disconnect()
        self.client.loop_stop()


ROLES = {
    "box": lambda name="shop-0001", **more: Client(name, BOXES, cert="shop-0001", **more),
    "operator": lambda name="o", **more: Client(name, OPERATORS, cert="operator", **more),
    "dashboard": lambda name="d", **more: Client(name, OPERATORS, cert="dashboard", **more),
    "releases": lambda name="r", **more: Client(name, OPERATORS, cert="releases", **more),
    "stranger": lambda name="s", **more: Client(name, OPERATORS, cert="stranger", **more),
    "console operator": lambda name="co", **more: Client(name, CONSOLE, user="operator", **more),
    "console dashboard": lambda name="cd", **more: Client(name, CONSOLE, user="dashboard", **more),
}


def writes(role):
    """The topics that somebody who reads all of them hears from this role. Each is followed by one that may be said."""
    watcher = ROLES["operator"]("watcher")
    watcher.subscribe("tallybox/v1/#")
    client, end = ROLES[role](), ROLES["operator"]("end")
    for topic in TOPICS:
        client.publish(topic)
    # The broker judges one client's messages in their order: what came is on its way before this is answered.
    end.publish(BOX + "cmd/end")
    watcher.wait(lambda: BOX + "cmd/end" in watcher.heard)
    for one in (client, end, watcher):
        one.end()
    return sorted(watcher.heard - {BOX + "cmd/end"})


def reads(role):
    """The topics that this role hears of those that others say."""
    client = ROLES[role]("shop-0001" if role == "box" else "listener")
    client.subscribe(*FILTERS, *TOPICS)
    # The box itself is the client where its own topics are said: one certificate is one client here.
    speakers = [client if role == "box" else ROLES["box"](), ROLES["operator"]("o2"), ROLES["releases"]("r2")]
    for speaker in speakers:
        for topic in TOPICS:
            speaker.publish(topic)
    # What each role hears last; a stranger hears nothing, and its own round trip ends it.
    number = client.client.subscribe("end", 1)[1]
    client.wait(lambda: number in client.codes)
    for one in {client, *speakers}:
        one.end()
    return sorted(client.heard)


def wills(role):
    """The wills of this role that others hear when its connection breaks."""
    watcher, heard = ROLES["operator"]("watcher"), set()
    watcher.subscribe("tallybox/v1/#")
    for topic in WILLS:
        client = ROLES[role](will=topic)
        client.client.loop_stop()
        if client.connected == 0:
            client.client.socket().close()
        end, last = ROLES["operator"]("end"), f"{BOX}cmd/end-{len(heard)}-{WILLS.index(topic)}"
        end.publish(last)
        watcher.wait(lambda: last in watcher.heard)
        end.end()
        heard |= watcher.heard & set(WILLS)
    watcher.end()
    return sorted(heard)


def retained():
    """What stays for those who come later: who hears it."""
    operator, releases = ROLES["operator"]("o3"), ROLES["releases"]("r3")
    box = ROLES["box"]()
    kept = {BOX + "state": box, BOX + "config/desired": operator, BOX + "policy": operator, OTHER + "policy": operator,
            RELEASE: releases}
    for topic, speaker in kept.items():
        speaker.publish(topic, "kept", retain=True)
    box.end()
    heard = {}
    for role in ROLES:
        late = ROLES[role]()
        late.subscribe("tallybox/v1/#", "$SYS/#")
        number = late.client.subscribe("end", 1)[1]
        late.wait(lambda: number in late.codes)
        heard[role] = sorted(late.heard)
        late.end()
    operator.end()
    releases.end()
    return heard


found = {"writes": {role: writes(role) for role in ROLES}, "reads": {role: reads(role) for role in ROLES},
         "wills": {role: wills(role) for role in ROLES}, "retained": retained()}
print(json.dumps(found))
