#!/usr/bin/env python3
"""The finger on the simulated button: `button.py SOCKET`, a process of its own, so that a touch is as long as it should
be when whoever asked for it is stopped, or kept from running.

Each line on standard input is a touch, of so many seconds; `off` ends it before. Each touch is answered with a line.
"""
import json
import os
import select
import socket
import struct
import sys


def line():
    """The next line without its end; nothing once nobody asks any more."""
    text = b""
    while not text.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            sys.exit()
        text += piece
    return text.decode().strip()


def move(guard, down):
    text = json.dumps({"call": 1, "request": {"ask": "button", "down": down}}).encode()
    guard.sendall(struct.pack(">I", len(text)) + text)
    length, = struct.unpack(">I", guard.recv(4, socket.MSG_WAITALL))
    answer = json.loads(guard.recv(length, socket.MSG_WAITALL))
    if answer["answer"] != "done":
        sys.exit(f"finger: {answer}")


with socket.socket(socket.AF_UNIX) as guard:
    guard.connect(sys.argv[1])
    while True:
        wanted = line()
        if wanted == "off":
            # It was over already.
            continue
        move(guard, True)
        if select.select([0], [], [], float(wanted))[0]:
            line()
        move(guard, False)
        os.write(1, b"done\n")
