"""A box's certificate in the wrong hands: tries to reach another box over the shipped broker, in MQTT 5 byte by byte,
and prints what became of it. `other_box.py CERTS PORT OPERATORS`: the attacker is shop-0003, the victim shop-0002, and
shop-0001 is a box that answers."""
import json
import select
import socket
import ssl
import sys
import time

CERTS, PORT, OPERATORS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PREFIX, ME, VICTIM = "tallybox/v1/", "tallybox/v1/shop-0003/", "tallybox/v1/shop-0002/"
TOPICS = ["availability", "state", "telemetry", "event", "reply", "checkpoint", "config/reported", "config/desired",
          "policy", "cmd/stop", "cmd/request-start", "cmd/mute", "cmd/unmute", "cmd/identify", "cmd/update",
          "cmd/erase"]
FOREIGN = [VICTIM + topic for topic in TOPICS] + [PREFIX + "release/stable", PREFIX + "release/beta"]


def field(data):
    data = data.encode() if isinstance(data, str) else data
    return len(data).to_bytes(2, "big") + data


def number(value):
    out = b""
    while True:
        value, low = value >> 7, value & 127
        out += bytes([low | (128 if value else 0)])
        if not value:
            return out


class Client:
    """One connection."""

    def __init__(self, name, port, client_id=None, user=None, will=None, clean=True, wait=True):
        context = ssl.create_default_context(cafile=f"{CERTS}/ca.pem")
        context.load_cert_chain(f"{CERTS}/{name}.pem", f"{CERTS}/{name}.key")
        self.tls = context.wrap_socket(socket.create_connection(("localhost", port), 20), server_hostname="localhost")
        self.heard, self.rest, self.acks = [], b"", 0
        flags = 2 if clean else 0
        body = field(client_id or name)
        if will:
            topic, retain = will
            flags |= 0x0C | (0x20 if retain else 0)
            body += b"\0" + field(topic) + field("ATTACK will")
        if user:
            flags |= 0xC0
            body += field(user) + field("password")
        minute = (60).to_bytes(2, "big")  # keep alive, and for as long a session
        self.send(0x10, field("MQTT") + bytes([5, flags]) + minute + b"\x05\x11\0\0" + minute + body)
        self.code = self.wait(lambda packet: packet[0] >> 4 == 2)[1][1] if wait else None

    def send(self, header, body):
        try:
            self.tls.sendall(bytes([header]) + number(len(body)) + body)
        except OSError:
            pass  # the broker threw it out: as good as refused

    def packets(self, patience):
        """What comes within so many seconds, packet by packet."""
        end = time.monotonic() + patience
        while True:
            while True:
                size, shift, at = 0, 0, 1
                while at < len(self.rest):
                    size |= (self.rest[at] & 127) << shift
                    shift, at = shift + 7, at + 1
                    if self.rest[at - 1] < 128:
                        break
                else:
                    break
                if len(self.rest) < at + size:
                    break
                packet, self.rest = (self.rest[0], self.rest[at:at + size]), self.rest[at + size:]
                yield packet
            left = end - time.monotonic()
            if left <= 0:
                return
            if not self.tls.pending() and not select.select([self.tls], [], [], left)[0]:
                return
            try:
                data = self.tls.recv(65536)
            except OSError:
                return
            if not data:
                return
            self.rest += data

    def wait(self, fits, patience=20):
        for packet in self.packets(patience):
            self.note(packet)
            if fits(packet):
                return packet
        return (0, b"\0\xff")

    def note(self, packet):
        header, body = packet
        if header >> 4 == 3:
            end = 2 + int.from_bytes(body[:2], "big")
            self.heard.append((body[2:end].decode(), body[end:].decode("latin-1")))
            if header >> 1 & 3:
                self.send(0x40, body[end:end + 2])

    def listen(self, patience):
        for packet in self.packets(patience):
            self.note(packet)

    def publish(self, topic, text, qos=1, retain=False, properties=b""):
        body = field(topic) + (b"\0\x01" if qos else b"") + number(len(properties)) + properties + text.encode()
        self.send(0x30 | qos << 1 | (1 if retain else 0), body)

    def subscribe(self, topic):
        self.send(0x82, b"\0\x07\0" + field(topic) + b"\x01")
        return self.wait(lambda packet: packet[0] >> 4 == 9)

    def cut(self):
        self.tls.unwrap = None
        socket.socket.shutdown(self.tls, socket.SHUT_RDWR)
        self.tls.close()


attempts, successes, controls = 0, [], []
operator = Client("operator", OPERATORS, "watcher")
operator.subscribe("#")


def box():
    """The attacker, connected anew: mosquitto ends connections for some of this."""
    return Client("shop-0003", PORT)


def publishes():
    global attempts
    for topic in FOREIGN:
        alias = b"\x23" + (1).to_bytes(2, "big")
        for way in ["QoS 0", "QoS 1", "QoS 2", "retained", "alias", "alias moved", "response topic"]:
            attempts += 1
            client, text = box(), f"ATTACK {way}"
            if way == "alias":
                client.publish(topic, text, properties=alias)
                client.publish("", text, properties=alias)
            elif way == "alias moved":
                client.publish(ME + "state", "own", properties=alias)
                client.publish(topic, text, properties=alias)
                client.publish("", text, properties=alias)
            elif way == "response topic":
                client.publish(ME + "event", text, properties=b"\x08" + field(topic))
            else:
                client.publish(topic, text, {"QoS 0": 0, "QoS 2": 2}.get(way, 1), way == "retained")
            client.listen(0.05)
            client.tls.close()


def wills():
    global attempts
    for topic in FOREIGN:
        for retain in [False, True]:
            attempts += 1
            client = Client("shop-0003", PORT, will=(topic, retain))
            client.cut()


def subscriptions():
    """All at once, on one connection, while everything is said that there is to hear."""
    global attempts
    client = box()
    client.subscribe(ME + "cmd/+")
    filters = FOREIGN[:-2] + [f"$share/g/{topic}" for topic in FOREIGN[:-2]]
    filters += ["#", "+/#", "tallybox/#", "tallybox/v1/#", "tallybox/+/+/state", "tallybox/v1/+/#", "+/+/shop-0002/#",
                VICTIM + "#", VICTIM + "cmd/+", "tallybox/v1/+/cmd/+", "$SYS/#", "$share/g/#", "$share/g/tallybox/v1/#",
                "$share/g/tallybox/v1/+/state", "$CONTROL/#"]
    for topic in filters:
        attempts += 1
        client.subscribe(topic)
    for topic in ["cmd/identify", "config/desired", "policy"]:
        operator.publish(VICTIM + topic, "SECRET", retain=topic != "cmd/identify")
    operator.publish(ME + "cmd/identify", "for me")
    client.listen(4)
    foreign = [topic for topic, _ in client.heard if not topic.startswith(ME)]
    successes.extend(f"heard {topic}" for topic in foreign)
    if any(topic == ME + "cmd/identify" for topic, _ in client.heard):
        controls.append("it hears its own commands")
    for topic in ["config/desired", "policy"]:
        operator.publish(VICTIM + topic, "", retain=True)
    client.tls.close()


def identities():
    """Names that are not in the certificate."""
    global attempts
    for client_id in ["shop-0002", "operator", "watcher"]:
        for clean in [False, True]:
            for user in [None, "operator", "shop-0002", "dashboard", "releases"]:
                attempts += 1
                client = Client("shop-0003", PORT, client_id, user, clean=clean)
                client.publish(VICTIM + "cmd/stop", "ATTACK identity")
                client.publish(PREFIX + "release/stable", "ATTACK identity", retain=True)
                client.listen(0.05)
                foreign = [topic for topic, _ in client.heard if not topic.startswith(ME)]
                successes.extend(f"heard {topic} as {client_id}" for topic in foreign)
                client.tls.close()
    for port in [OPERATORS]:
        attempts += 1
        try:
            if Client("shop-0003", port, "x").code == 0:
                successes.append("let in where operators are")
        except OSError:
            pass


publishes()
wills()
subscriptions()
identities()
control = box()
control.publish(ME + "state", "CONTROL")
operator.listen(3)
control.tls.close()
for topic, text in operator.heard:
    if "ATTACK" in text and not topic.startswith(ME):
        successes.append(f"published {topic}: {text}")
if any("CONTROL" in text for _, text in operator.heard):
    controls.append("it publishes its own state")
if any(topic == VICTIM + "telemetry" for topic, _ in operator.heard):
    controls.append("the victim talks meanwhile")
offline = [text for topic, text in operator.heard if topic == VICTIM + "availability" and "offline" in text]
successes.extend("the victim went offline" for _ in offline)
print(json.dumps({"attempts": attempts, "successes": successes, "controls": controls}))
