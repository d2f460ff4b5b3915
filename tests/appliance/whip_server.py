#!/usr/bin/python3
"""A WHIP server for tests, with aiortc: takes real pictures and sound, and writes down each frame that it decoded.

usage: whip_server.py PORT LOG FIRST TOKEN [CERT KEY]
Sessions are numbered from FIRST.
LOG gets a line for each thing that happens, its words separated by spaces:
  offer SESSION LEVEL · connected SESSION · v SESSION TIME KEY WIDTH HEIGHT · a SESSION TIME · deleted SESSION
TIME is in seconds, from the RTP timestamp. Paths: /whip/live takes offers, /whip/moved redirects there, /whip/away
redirects to a host that nobody allowed, /whip/busy is in use, /whip/read takes no POST.
"""
import asyncio
import re
import signal
import ssl
import sys

import aioice.ice
import aiortc.rtcrtpreceiver
from aiortc import RTCPeerConnection, RTCSessionDescription

port, log, first, token = int(sys.argv[1]), open(sys.argv[2], "a", buffering=1), int(sys.argv[3]), sys.argv[4]
# aioice leaves loopback out; here there is nothing else.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
# Times as they were sent, and not from 0 in each session.
aiortc.rtcrtpreceiver.TimestampMapper.map = lambda self, timestamp: timestamp
sessions = {}


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
    pc = sessions[session] = RTCPeerConnection()
    note("offer", session, (re.findall(r"profile-level-id=(\w+)", sdp) or ["none"])[0])
    if re.search(r"typ (srflx|relay)", sdp):
        note("foreign-candidate", session)

    @pc.on("track")
    def on_track(track):
        asyncio.ensure_future(take(track.kind, session, track))

    @pc.on("connectionstatechange")
    def on_change():
        note(pc.connectionState, session)

    await pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
    await pc.setLocalDescription(await pc.createAnswer())
    return session, pc.localDescription.sdp


async def answer(method, path, headers, body):
    """Status, headers and body of the response."""
    if headers.get("authorization") != f"Bearer {token}":
        return 401, {}, ""
    if method == "DELETE" and (found := re.fullmatch(r"/session/(\d+)", path)):
        pc = sessions.get(int(found[1]))
        if pc is None:
            return 404, {}, ""
        note("deleted", found[1])
        asyncio.ensure_future(pc.close())
        return 200, {}, ""
    if path == "/whip/read":
        return 405, {"Allow": "GET"}, ""
    if path == "/whip/busy":
        return 409, {}, ""
    if path == "/whip/moved":
        return 307, {"Location": "/whip/live"}, ""
    if path == "/whip/away":
        return 308, {"Location": "https://elsewhere.invalid/whip/live"}, ""
    if path != "/whip/live":
        return 404, {}, ""
    if headers.get("content-type") != "application/sdp":
        return 415, {}, ""
    session, sdp = await offer(body)
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
    if len(sys.argv) > 5:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[5], sys.argv[6])
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    await ending.wait()
    # Peers hear of it at once.
    await asyncio.gather(*(pc.close() for pc in sessions.values()))


asyncio.run(main())
