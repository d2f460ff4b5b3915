#!/usr/bin/python3
"""An RTMP server for one purpose each: it writes down what a publisher asks for, and misbehaves on order.

usage: rtmp_server.py HOST PORT MODE [ARGUMENT]
MODE  accept | redirect URL (answers connect with 302) | redirect-publish URL (answers publish with it) |
      adobe USER:PASSWORD, llnw USER:PASSWORD (ask for a proof) | http (a login page answers whatever comes) |
      echo (refuses publish, and repeats the key in all that it says) | mute (never answers publish) | close (closes
      when publish is asked for) | flood (pings without end, reads nothing once the stream is on)
Prints one line for each event.
"""
import asyncio
import base64
import hashlib
import struct
import sys

host, port, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
argument = sys.argv[4] if len(sys.argv) > 4 else ""
SALT, CHALLENGE = "PJuw1w==", "6fruuQ=="


def say(*words):
    print(*words, flush=True)


def decode(data, at=0):
    def value(at):
        kind, at = data[at], at + 1
        if kind == 0:
            return struct.unpack(">d", data[at:at + 8])[0], at + 8
        if kind == 1:
            return bool(data[at]), at + 1
        if kind == 2:
            length = struct.unpack(">H", data[at:at + 2])[0]
            return data[at + 2:at + 2 + length].decode(), at + 2 + length
        if kind in (3, 8):
            at, fields = at + (4 if kind == 8 else 0), {}
            while data[at:at + 3] != b"\0\0\x09":
                length = struct.unpack(">H", data[at:at + 2])[0]
                name = data[at + 2:at + 2 + length].decode()
                fields[name], at = value(at + 2 + length)
            return fields, at + 3
        if kind in (5, 6):
            return None, at
        raise ValueError(f"AMF0 type {kind}")

    values = []
    while at < len(data):
        one, at = value(at)
        values.append(one)
    return values


def encode(*values):
    out = b""
    for one in values:
        if isinstance(one, bool):
            out += bytes([1, one])
        elif isinstance(one, (int, float)):
            out += b"\0" + struct.pack(">d", one)
        elif isinstance(one, str):
            out += b"\2" + struct.pack(">H", len(one.encode())) + one.encode()
        elif one is None:
            out += b"\5"
        else:
            fields = b"".join(struct.pack(">H", len(name)) + name.encode() + encode(field) for name, field in one.items())
            out += b"\3" + fields + b"\0\0\x09"
    return out


def md5(text):
    return hashlib.md5(text.encode())


def base(text):
    return base64.b64encode(md5(text).digest()).decode()


class Publisher:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.chunk, self.headers, self.bodies = 128, {}, {}
        self.kinds, self.media = [], 0

    def send(self, kind, data, stream=0):
        self.writer.write(b"\3\0\0\0" + struct.pack(">I", len(data))[1:] + bytes([kind]) + struct.pack("<I", stream))
        self.writer.write(b"\xc3".join(data[at:at + 128] for at in range(0, len(data), 128)))

    def reply(self, *values, stream=0):
        self.send(20, encode(*values), stream)

    def status(self, command, transaction, level, code, description="", stream=0, **more):
        about = {"level": level, "code": code, "description": description} | more
        self.reply(command, transaction, None, about, stream=stream)

    async def message(self):
        first = (await self.reader.readexactly(1))[0]
        form, number = first >> 6, first & 63
        header = self.headers.setdefault(number, {"stream": 0})
        fields = await self.reader.readexactly((11, 7, 3, 0)[form])
        if form < 3:
            header["time"] = int.from_bytes(fields[:3], "big")
        if form < 2:
            header["length"], header["kind"] = int.from_bytes(fields[3:6], "big"), fields[6]
        if form == 0:
            header["stream"] = struct.unpack("<I", fields[7:])[0]
        if header["time"] == 0xFFFFFF:
            await self.reader.readexactly(4)
        body = self.bodies.get(number, b"")
        body += await self.reader.readexactly(min(self.chunk, header["length"] - len(body)))
        done = len(body) == header["length"]
        self.bodies[number] = b"" if done else body
        return (header["kind"], body) if done else (None, None)

    def connect(self, transaction, asked):
        application = asked["app"]
        say(f"connect app={application} tcUrl={asked['tcUrl']}")
        reject = lambda text, **more: self.status("_error", transaction, "error", "NetConnection.Connect.Rejected", text, **more)
        if mode == "redirect":
            reject("[ AccessManager.Reject ] : [ code=302 ] : redirect", ex={"code": 302, "redirect": argument})
            return False
        if mode in ("adobe", "llnw"):
            user, _, password = argument.partition(":")
            name, _, query = application.partition("?")
            fields = dict(pair.split("=", 1) for pair in query.split("&") if pair)
            if "response" not in fields:
                if "authmod" not in fields:
                    reject(f"[ AccessManager.Reject ] : [ code=403 need auth; authmod={mode} ] : ")
                elif mode == "adobe":
                    reject(f"[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user={fields['user']}&salt={SALT}&challenge={CHALLENGE}&opaque={CHALLENGE}")
                else:
                    reject(f"[ AccessManager.Reject ] : [ authmod=llnw ] : ?reason=needauth&user={fields['user']}&nonce=0123abcd")
                return False
            if mode == "adobe":
                want = base(base(user + SALT + password) + CHALLENGE + fields["challenge"])
            else:
                secret, what = md5(f"{user}:live:{password}"), md5(f"publish:/{name}/_definst_")
                want = md5(f"{secret.hexdigest()}:0123abcd:{fields['nc']}:{fields['cnonce']}:auth:{what.hexdigest()}").hexdigest()
            if (fields["user"], fields["response"]) != (user, want):
                say("wrong proof")
                reject(f"[ AccessManager.Reject ] : [ authmod={mode} ] : ?reason=authfailed&opaque={CHALLENGE}")
                return False
            say("right proof")
        self.send(5, struct.pack(">I", 2500000))
        self.send(6, struct.pack(">IB", 2500000, 2))
        self.status("_result", transaction, "status", "NetConnection.Connect.Success")
        return True

    def publish(self, name):
        say(f"publish {name}")
        if mode == "close":
            return False
        if mode == "echo":
            self.status("onStatus", 0, "error", f"NetStream.Publish.{name}", f"{name} is a bad key", stream=1)
        elif mode == "redirect-publish":
            self.status("onStatus", 0, "error", "NetStream.Publish.Rejected", ex={"code": 302, "redirect": argument}, stream=1)
        elif mode != "mute":
            self.status("onStatus", 0, "status", "NetStream.Publish.Start", stream=1)
        return True

    async def serve(self):
        if mode == "http":
            await self.reader.read(64)
            self.writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/login\r\nContent-Length: 0\r\n\r\n")
            return
        await self.reader.readexactly(1)
        theirs = await self.reader.readexactly(1536)
        self.writer.write(b"\3" + bytes(1536) + theirs)
        await self.reader.readexactly(1536)
        while True:
            kind, body = await self.message()
            if kind == 1:
                self.chunk = struct.unpack(">I", body)[0]
            elif kind in (8, 9, 18):
                self.media += 1
                if self.media <= 4:
                    # Type, and for media their first two bytes: codec, and whether it is a configuration.
                    say("media", kind, body[:2].hex() if kind != 18 else decode(body)[:2])
                if self.media == 1:
                    say("on air")
                    if mode == "flood":
                        while True:
                            self.send(4, struct.pack(">HI", 6, 1))
                            await self.writer.drain()
                if self.media == 100:
                    say("100 media messages")
            elif kind == 20:
                name, transaction, about, *rest = decode(body)
                if name == "connect":
                    going = self.connect(transaction, about)
                elif name == "createStream":
                    going = self.reply("_result", transaction, None, 1) is None
                elif name == "publish":
                    going = self.publish(rest[0])
                else:
                    going = say("command", name) is None
                await self.writer.drain()
                if not going:
                    return


async def serve(reader, writer):
    try:
        await Publisher(reader, writer).serve()
    except asyncio.IncompleteReadError:
        say("closed")
    except ConnectionError:
        say("reset")
    finally:
        writer.close()


async def main():
    async with await asyncio.start_server(serve, host, port) as server:
        say("listening")
        await server.serve_forever()


asyncio.run(main())
