"""A UDP relay that stands for a bad link: it delays by half a round trip each way, and loses packets by chance, from
a seed."""

import heapq
import random
import select
import socket
import threading
import time


class LossyRelay(threading.Thread):
    """Listens on `port` and forwards to `target`. Counts what the sender put on the wire, headers included."""

    HEADERS = 28  # IPv4 and UDP

    def __init__(self, target, loss, round_trip, seed):
        super().__init__(daemon=True)
        self.near, self.far = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        for end in (self.near, self.far):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.near.bind(("127.0.0.1", 0))
        self.far.connect(("127.0.0.1", target))
        self.port, self.loss, self.half = self.near.getsockname()[1], loss, round_trip / 2
        self.dice = {self.near: random.Random(seed), self.far: random.Random(seed + 1)}
        self.sent, self.back, self.packets, self.lost, self.sender, self.over = 0, 0, 0, 0, None, False

    def run(self):
        waiting, number = [], 0
        while not self.over:
            pause = max(waiting[0][0] - time.monotonic(), 0) if waiting else 0.1
            ready, _, _ = select.select([self.near, self.far], [], [], pause)
            now = time.monotonic()
            for end in ready:
                try:
                    data, address = end.recvfrom(65536)
                except OSError:
                    continue  # nobody listens any more
                if end is self.near:
                    self.sender = address
                    self.sent += len(data) + self.HEADERS
                    self.packets += 1
                else:
                    self.back += len(data) + self.HEADERS
                if self.dice[end].random() < self.loss:
                    self.lost += 1
                    continue
                number += 1
                heapq.heappush(waiting, (now + self.half, number, end, data))
            while waiting and waiting[0][0] <= now:
                _, _, end, data = heapq.heappop(waiting)
                try:
                    if end is self.near:
                        self.far.send(data)
                    elif self.sender:
                        self.near.sendto(data, self.sender)
                except OSError:
                    pass


def frames(path):
    """What an MPEG-TS file has, without its last second, in which the sender went away: its bytes, the video frames
    with all their packets, and how many frames its times have room for at 30 a second."""
    data = path.read_bytes()
    data = data[: len(data) // 188 * 188]
    pid, times, whole, last = None, [], [], None
    for at in range(0, len(data), 188):
        packet = data[at : at + 188]
        if packet[0] != 0x47:
            raise SystemExit(f"{path} is no MPEG-TS at {at}")
        this = (packet[1] & 0x1F) << 8 | packet[2]
        starts, has_payload, adapted = packet[1] & 0x40, packet[3] & 0x10, packet[3] & 0x20
        if not has_payload:
            continue
        payload = packet[5 + packet[4] :] if adapted else packet[4:]
        if pid is None and starts and payload[:3] == b"\0\0\1" and payload[3] >> 4 == 0xE:
            pid = this
        if this != pid:
            continue
        count = packet[3] & 0xF
        gap = last is not None and count != (last + 1) & 0xF
        last = count
        # A gap is in the frame that it ends, and in the one that it begins if the first packet is not there.
        if gap and whole:
            whole[-1] = False
        if starts and payload[7] & 0x80:
            p = payload[9:14]
            times.append((p[0] >> 1 & 7) << 30 | p[1] << 22 | p[2] >> 1 << 15 | p[3] << 7 | p[4] >> 1)
            whole.append(True)
    if not times:
        return len(data), 0, 0
    end = max(times) - 90_000
    good = sum(fine for time, fine in zip(times, whole) if time <= end)
    return len(data), good, round((max(time for time in times if time <= end) - min(times)) / 3000) + 1
