#!/usr/bin/python3
"""A world that wants a box to go elsewhere, in a network namespace of its own where every address is this machine.

usage: unlisted.py SERVERS SEEN   (root, in a new network and mount namespace)
SERVERS is the folder of the tests' servers. SEEN gets a line for each destination that anybody here sends to, once:
  tcp ADDRESS PORT, for each first segment · udp SOURCE ADDRESS PORT · asked NAME, for each name that is looked up
- The name server (10.53.0.1) gives each name first an address outside of 10.0.0.0/8, and for push and broker one inside
  as well; "edge.example.cn" has only one outside. Names that begin with "rebind" have one inside (10.1.0.7) when they
  are asked for the first time, and only one outside later.
- The broker (10.1.0.5) sends its clients to evil.example.net, in DISCONNECT and in CONNACK.
- The RTMP server (10.1.0.6) redirects: on port 1935 to a host that is not listed, on 1936 to edge.example.cn.
- The WHIP server (127.0.0.1:8080) names 203.0.113.77 for its media, and /whip/away redirects to an unlisted host.
"""
import os
import socket
import struct
import subprocess
import sys
import threading
import time

servers, seen_path = sys.argv[1], sys.argv[2]
seen, lock, rebound = set(), threading.Lock(), set()
INSIDE = {"push.example.cn": "10.1.0.6", "broker.example.cn": "10.1.0.5"}


def note(line):
    with lock:
        if line not in seen:
            seen.add(line)
            with open(seen_path, "a") as out:
                out.write(line + "\n")


def run(*words):
    subprocess.run(words, check=True)


def watch(sniffer):
    while True:
        frame, (_, _, kind, _, _) = sniffer.recvfrom(256)
        # Over loopback each packet is seen twice: leaving and coming.
        if kind != socket.PACKET_OUTGOING:
            continue
        version = frame[14] >> 4
        if version == 4:
            protocol, body = frame[23], frame[14 + (frame[14] & 15) * 4:]
            source, target = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
        elif version == 6:
            protocol, body = frame[20], frame[54:]
            source = socket.inet_ntop(socket.AF_INET6, frame[22:38])
            target = socket.inet_ntop(socket.AF_INET6, frame[38:54])
        else:
            continue
        if protocol == 6 and body[13] & 0x12 == 0x02:
            note(f"tcp {target} {struct.unpack('>H', body[2:4])[0]}")
        elif protocol == 17:
            sport, port = struct.unpack(">HH", body[:4])
            # What a server answers, and what the media server sends by itself, is not the box's.
            if sport != 53 and source != "203.0.113.77":
                note(f"udp {source} {target} {port}")


def resolve(udp):
    while True:
        query, peer = udp.recvfrom(512)
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, question = ".".join(labels), query[12:at + 5]
        note(f"asked {name}")
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        found = ["203.0.113.66"] + ([INSIDE[name]] if name in INSIDE else [])
        found = found if kind == 1 else []
        if kind == 1 and name.startswith("rebind") and name not in rebound:
            rebound.add(name)
            found = ["10.1.0.7"]
        answers = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(one) for one in found)
        udp.sendto(query[:2] + b"\x81\x80\0\1" + struct.pack(">H", len(found)) + b"\0\0\0\0" + question + answers, peer)


def exactly(stream, length):
    data = b""
    while len(data) < length:
        more = stream.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def packet(stream):
    kind, length, shift = exactly(stream, 1)[0], 0, 0
    while True:
        byte = exactly(stream, 1)[0]
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return kind, exactly(stream, length)


ELSEWHERE = b"\x1c" + struct.pack(">H", 21) + b"evil.example.net:1883"


def mislead(stream, number):
    """An MQTT 5 broker for one client: every second one it sends away at once, the others after they subscribed."""
    try:
        packet(stream)
        if number % 2:
            stream.sendall(b"\x20" + bytes([3 + len(ELSEWHERE)]) + b"\0\x9d" + bytes([len(ELSEWHERE)]) + ELSEWHERE)
            return
        stream.sendall(b"\x20\x03\0\0\0")
        while True:
            kind, body = packet(stream)
            if kind >> 4 == 8:
                at, filters = 3 + body[2], 0
                while at < len(body):
                    at += 3 + struct.unpack(">H", body[at:at + 2])[0]
                    filters += 1
                stream.sendall(b"\x90" + bytes([3 + filters]) + body[:2] + b"\0" + b"\1" * filters)
                time.sleep(1)
                away = b"\x9d" + bytes([len(ELSEWHERE)]) + ELSEWHERE
                stream.sendall(b"\xe0" + bytes([len(away)]) + away)
                return
    except (EOFError, OSError):
        pass
    finally:
        stream.close()


run("ip", "link", "set", "lo", "up")
# More addresses of this machine, which no server has to know.
run("ip", "address", "add", "192.168.77.5/24", "dev", "lo")
run("ip", "address", "add", "2001:db8:77::5/64", "dev", "lo")
run("ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo")
run("ip", "-6", "route", "add", "local", "::/0", "dev", "lo")
own = seen_path + ".resolv"
with open(own, "w") as file:
    file.write("nameserver 10.53.0.1\noptions timeout:1 attempts:2\n")
run("mount", "--bind", own, os.path.realpath("/etc/resolv.conf"))

sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
sniffer.bind(("lo", 0))
threading.Thread(target=watch, args=(sniffer,), daemon=True).start()
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("10.53.0.1", 53))
threading.Thread(target=resolve, args=(names,), daemon=True).start()


def serve(program, *words):
    command = ["/usr/bin/python3", f"{servers}/{program}", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


children = [
    serve("rtmp_server.py", "10.1.0.6", "1935", "redirect", "rtmp://edge.evil.example/live"),
    serve("rtmp_server.py", "10.1.0.6", "1936", "redirect", "rtmp://edge.example.cn/live"),
    serve("whip_server.py", "8080", seen_path + ".whip", "1", "token", "--media", "203.0.113.77"),
]
broker = socket.create_server(("10.1.0.5", 1883))
print("ready", flush=True)
number = 0
while True:
    client, _ = broker.accept()
    threading.Thread(target=mislead, args=(client, number), daemon=True).start()
    number += 1
