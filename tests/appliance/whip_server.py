#!/usr/bin/python3
"""A WHIP server for tests, with aiortc: takes real pictures and sound, and writes down each frame that it decoded.

usage: whip_server.py PORT LOG FIRST TOKEN [CERT KEY] [--loss SHARE] [--media ADDRESS]
Sessions are numbered from FIRST. With --loss media go through a relay that loses so many of the datagrams, both ways.
It listens on both families' loopback and on ADDRESS, and media go there only (127.0.0.1 unless said otherwise). An
empty TOKEN: everybody may publish.
LOG gets a line for each thing that happens, its words separated by spaces:
  offer SESSION LEVEL · connected SESSION · v SESSION TIME KEY WIDTH HEIGHT · a SESSION TIME · deleted SESSION
  relay SESSION LOST AGAIN NACKS KEYFRAMES ESTIMATES, each second: datagrams that were lost, and of those that came
  through what was sent again, and the peer's words on what it misses, wants, and thinks that the way carries
  asked PATH, for each POST that is authorised
  header NAME, sdp KIND and candidate ADDRESS, for what a POST and its offer have
TIME is in seconds, from the RTP timestamp. Paths: /whip/live takes offers, /whip/moved redirects there, /whip/away
redirects to a host that nobody allowed, /whip/busy is in use, /whip/echo/... refuses and repeats path and token,
/whip/lure takes the offer and names a session elsewhere, /whip/read takes no POST, /whip/json and /whip/page answer 200
with something else than SDP, /whip/garbled 201 with SDP that is none. POST /ask/keyframe has the server ask for one
(PLI), POST /ask/bitrate/KBPS has it think no more of the way than that.
"""
import argparse
import asyncio
import random
import re
import signal
import ssl

import aioice.ice
import aiortc.rtcrtpreceiver
from aiortc import RTCPeerConnection, RTCSessionDescription

parser = argparse.ArgumentParser()
for name in ("port", "log", "first", "token"):
    parser.add_argument(name)
parser.add_argument("certificate", nargs="*")
parser.add_argument("--loss", type=float, default=0)
parser.add_argument("--media", default="127.0.0.1")
args = parser.parse_args()
port, log, first, token = int(args.port), open(args.log, "a", buffering=1), int(args.first), args.token
# aioice leaves loopback out; here there is nothing else.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [args.media]
# Times as they were sent, and not from 0 in each session.
aiortc.rtcrtpreceiver.TimestampMapper.map = lambda self, timestamp: timestamp
sessions, relays = {}, []
# Kept the same from run to run: which of the datagrams are lost.
dice = random.Random(5)
# What the server says at most that the way carries, in bit/s.
most = float("inf")


class Estimator(aiortc.rtcrtpreceiver.RemoteBitrateEstimator):
    def add(self, **packet):
        found = super().add(**packet)
        return found and (int(min(found[0], most)), found[1])


aiortc.rtcrtpreceiver.RemoteBitrateEstimator = Estimator


class End(asyncio.DatagramProtocol):
    """One end of the relay: what comes goes out of the other one, or is lost."""

    def __init__(self, counts):
        self.counts, self.other, self.peer = counts, None, None

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        if dice.random() < args.loss:
            self.counts["lost"] += 1
            return
        # What kind of packet it is stands in front of what is encrypted (RFC 3711, 4585, 5104).
        kind, form = data[1], data[0] & 31
        if data[0] >> 6 == 2:
            self.counts["again"] += kind & 127 == 103
            self.counts["nacks"] += kind == 205 and form == 1
            self.counts["keyframes"] += kind == 206 and form == 1
            self.counts["estimates"] += kind == 206 and form == 15
        self.other.transport.sendto(data, self.other.peer)

    def port(self):
        return self.transport.get_extra_info("sockname")[1]


CANDIDATE = re.compile(r"(a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 )(\d+)( typ host)", re.IGNORECASE)


async def relay():
    """Its two ends: what the box sees, and what the server sees."""
    counts = dict.fromkeys(("lost", "again", "nacks", "keyframes", "estimates"), 0)
    loop, ends = asyncio.get_running_loop(), []
    for _ in range(2):
        ends.append((await loop.create_datagram_endpoint(lambda: End(counts), ("127.0.0.1", 0)))[1])
    ends[0].other, ends[1].other = reversed(ends)
    return ends


def through(end, other, sdp):
    """`sdp` with `end` in the place of its candidate, which is where `other`'s datagrams go on to."""
    found = CANDIDATE.search(sdp)
    other.peer = ("127.0.0.1", int(found[2]))
    return CANDIDATE.sub(rf"\g<1>{end.port()}\g<3>", sdp)


async def count(session, counts):
    while True:
        await asyncio.sleep(1)
        note("relay", session, *counts.values())


def note(*words):
    print(*words, file=log)


async def take(kind, session, track):
    while True:
        try:
            frame = await track.recv()
        except Exception:  # the track has ended
            return
        at = f"{float(frame.pts * frame.time_base):.6f}"
        if kind == "video":
            note("v", session, at, int(frame.key_frame), frame.width, frame.height)
        else:
            note("a", session, at)


async def offer(sdp):
    session = first + len(sessions)
    for line in sdp.splitlines():
        note("sdp", re.match(r"a=[^:]+|.=", line)[0])
        if found := re.match(r"a=candidate:\S+ \d \S+ \d+ (\S+)", line):
            note("candidate", found[1])
    pc = sessions[session] = RTCPeerConnection()
    note("offer", session, (re.findall(r"profile-level-id=(\w+)", sdp) or ["none"])[0])
    if re.search(r"typ (srflx|relay)", sdp):
        note("foreign-candidate", session)

    if args.loss:
        near, far = await relay()
        relays.append(asyncio.ensure_future(count(session, near.counts)))
        sdp = through(far, near, sdp)

    @pc.on("track")
    def on_track(track):
        asyncio.ensure_future(take(track.kind, session, track))

    @pc.on("connectionstatechange")
    def on_change():
        note(pc.connectionState, session)

    await pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
    await pc.setLocalDescription(await pc.createAnswer())
    answer = pc.localDescription.sdp
    return session, through(near, far, answer) if args.loss else answer


NO_SDP = {
    "/whip/json": (200, {"Content-Type": "application/json"}, '{"error": "not found"}'),
    "/whip/page": (200, {"Content-Type": "text/html"}, "<!doctype html><title>Welcome</title>"),
    "/whip/long": (200, {"Content-Type": "text/html"}, "<!doctype html>" + 100 * 1024 * "x"),
    "/whip/garbled": (201, {"Content-Type": "application/sdp"}, "v=0\r\no=who knows\r\nm=\r\n"),
}


async def answer(method, path, headers, body):
    """Status, headers and body of the response."""
    if path.startswith("/whip/echo"):
        note("asked", path)
        said = f"{path} {headers.get('authorization')}"
        return 403, {"WWW-Authenticate": said, "Location": path}, said
    if token and headers.get("authorization") != f"Bearer {token}":
        return 401, {}, ""
    if method == "DELETE" and (found := re.fullmatch(r"/session/(\d+)", path)):
        pc = sessions.get(int(found[1]))
        if pc is None:
            return 404, {}, ""
        note("deleted", found[1])
        asyncio.ensure_future(pc.close())
        return 200, {}, ""
    if method == "POST":
        note("asked", path)
        for name in headers:
            note("header", name)
    if path in NO_SDP:
        return NO_SDP[path]
    if path == "/ask/keyframe":
        for receiver in (one for pc in sessions.values() for one in pc.getReceivers() if one.track.kind == "video"):
            for source in receiver.getSynchronizationSources():
                await receiver._send_rtcp_pli(source.source)
        return 200, {}, ""
    if found := re.fullmatch(r"/ask/bitrate/(\d+)", path):
        global most
        most = int(found[1]) * 1000
        return 200, {}, ""
    if path == "/whip/read":
        return 405, {"Allow": "GET"}, ""
    if path == "/whip/busy":
        return 409, {}, ""
    if path == "/whip/moved":
        return 307, {"Location": "/whip/live"}, ""
    if path == "/whip/away":
        return 308, {"Location": "https://elsewhere.invalid/whip/live"}, ""
    if path == "/whip/slow":
        note("slow")
        await asyncio.sleep(3)
        path = "/whip/live"
    if path not in ("/whip/live", "/whip/nameless", "/whip/lure"):
        return 404, {}, ""
    if headers.get("content-type") != "application/sdp":
        return 415, {}, ""
    session, sdp = await offer(body)
    if path == "/whip/nameless":
        return 201, {"Content-Type": "application/sdp"}, sdp
    if path == "/whip/lure":
        return 201, {"Location": f"http://127.0.0.2:{port}/session/{session}", "Content-Type": "application/sdp"}, sdp
    return 201, {"Location": f"/session/{session}", "Content-Type": "application/sdp"}, sdp


async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first, *lines = head.decode().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            status, more, text = await answer(method, path, headers, body.decode())
            more = {**more, "Content-Length": str(len(text.encode()))}
            fields = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {status} x\r\n{fields}\r\n{text}".encode())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    context = None
    if args.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*args.certificate)
    server = await asyncio.start_server(serve, list({"127.0.0.1", "::1", args.media}), port, ssl=context)
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    await ending.wait()
    # Peers hear of it at once.
    await asyncio.gather(*(pc.close() for pc in sessions.values()))


asyncio.run(main())
