"""A link that carries what a recorded uplink carried: two TUN devices, and this program between them as the router with
the queue. The kernel's tbf cannot: each change of its rate fills its bucket."""

import fcntl
import os
import random
import select
import struct
import threading
import time
from bisect import bisect_right
from collections import deque

from link_rig import FAR, FAR_ADDRESS, run

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
# As on the simulated links (crates/bitrate): half of the round trip in seconds, bytes that wait, packets lost on air.
DELAY, BUFFER, LOSS = 0.03, 262144, 0.002
MTU = 1500


class Trace:
    """What passes over time. A file has a line each: how many milliseconds, and how many kbit/s passed."""

    def __init__(self, lines):
        self.starts, self.sums, self.rates, at, total = [], [], [], 0.0, 0.0
        for millis, kbps in lines:
            self.starts.append(at)
            self.sums.append(total)
            self.rates.append(kbps * 125)
            at, total = at + millis / 1000, total + millis * kbps / 8
        self.length, self.total = at, total

    @classmethod
    def read(cls, path):
        try:
            lines = [tuple(map(int, line.split())) for line in path.read_text().splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise SystemExit(f"{path}: {error}") from None
        if not lines or any(len(line) != 2 or line[0] <= 0 or line[1] < 0 for line in lines):
            raise SystemExit(f"{path}: not lines of milliseconds and kbit/s")
        return cls(lines)

    def evened(self):
        """The same on the average, at each moment."""
        return Trace([(1000, self.mean_kbps())])

    def until(self, at):
        """Bytes that could pass from the trace's begin until `at` seconds later; it is repeated."""
        rounds, at = divmod(max(at, 0), self.length)
        step = bisect_right(self.starts, at) - 1
        return rounds * self.total + self.sums[step] + self.rates[step] * (at - self.starts[step])

    def mean_kbps(self):
        return self.total / self.length / 125


def make_tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


class TraceLink:
    """The link from here into the namespace "far". What a moment could carry and nobody sent is lost, as on air; what
    comes back is only delayed."""

    def __init__(self):
        self.sent = 0
        self.near, self.far = make_tun("near"), make_tun("far")
        run("ip", "link", "set", "far", "netns", "far")
        for at, address, name in (([], "10.9.1.1/24", "near"), (FAR, f"{FAR_ADDRESS}/24", "far")):
            run(*at, "ip", "address", "add", address, "dev", name)
            run(*at, "ip", "link", "set", name, "up", "txqueuelen", "1000")
        self.play(Trace([(1000, 0)]))
        threading.Thread(target=self.carry, daemon=True).start()

    def play(self, trace):
        """A trace begins, with an empty queue."""
        self.dice = random.Random(1)
        self.playing = (trace, time.monotonic())

    def passed(self):
        """Bytes so far."""
        return self.sent

    def carry(self):
        """The router: packets wait for the link, then for the delay."""
        flight, playing = deque(), None
        while True:
            if playing is not self.playing:
                playing = self.playing
                self.queue, self.waiting, self.used = deque(), 0, 0.0
            ready, _, _ = select.select([self.near, self.far], [], [], 0.001)
            now = time.monotonic()
            for packet in self.packets(ready, self.near):
                if self.waiting + len(packet) <= BUFFER:
                    self.queue.append(packet)
                    self.waiting += len(packet)
            flight.extend((now + DELAY, self.near, packet) for packet in self.packets(ready, self.far))
            self.release(flight, now, *playing)
            while flight and flight[0][0] <= now:
                _, device, packet = flight.popleft()
                write(device, packet)

    def release(self, flight, now, trace, began):
        """What the link carries until now."""
        could = trace.until(now - began)
        while self.queue and self.used + len(self.queue[0]) <= could:
            packet = self.queue.popleft()
            self.waiting -= len(packet)
            self.used += len(packet)
            self.sent += len(packet)
            if self.dice.random() >= LOSS:
                flight.append((now + DELAY, self.far, packet))
        if not self.queue:
            self.used = max(self.used, could - MTU)

    @staticmethod
    def packets(ready, device):
        while device in ready:
            try:
                yield os.read(device, 65536)
            except BlockingIOError:
                return


def write(device, packet):
    try:
        os.write(device, packet)
    except OSError:
        pass  # the far end's queue is full, or it is gone
