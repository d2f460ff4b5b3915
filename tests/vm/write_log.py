"""The log that dm-log-writes keeps of a disk (drivers/md/dm-log-writes.c in the kernel's source), and the disks that a
power cut behind any of its entries could have left.

The kernel logs a write when the flush that covers it has completed, so the log's order is the order in which data
became durable. Every entry that flushes, or has FUA, is a barrier: all before it is durable with it. What lies between
two barriers was in the disk's cache when the power went: any part of it may have survived.
"""

import mmap
import random
import shutil
import struct
from dataclasses import dataclass, field

SECTOR = 512
MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
# Of the writes between two barriers that survive in a variant, one in so many is torn between two sectors.
TORN = 8


@dataclass(frozen=True)
class Entry:
    """One entry: where its data goes on the disk and lies in the log, in bytes; or the text of a mark."""

    flags: int
    offset: int
    length: int
    place: int
    text: str = ""

    @property
    def is_mark(self):
        return bool(self.flags & MARK)

    @property
    def is_barrier(self):
        return bool(self.flags & (FLUSH | FUA))


@dataclass(frozen=True)
class Point:
    """A power cut: the first `prefix` entries survive, and `survivors` of those behind them, each as (number of the
    entry, bytes of it)."""

    prefix: int
    kind: str
    survivors: tuple = field(default=())


class WriteLog:
    """A log in a file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, version, count, sector = struct.unpack_from("<QQQI", self.data)
        assert (magic, version, sector) == (MAGIC, 1, SECTOR), (
            f"no log of dm-log-writes: {magic:x}, {version}, {sector}"
        )
        self.entries = self.read(count)

    def read(self, count):
        entries, at = [], SECTOR
        for _ in range(count):
            sector, sectors, flags, length = struct.unpack_from("<QQQQ", self.data, at)
            # A discard's data is not in the log; nothing here mounts with `discard`.
            assert not flags & DISCARD, "a discard: what is left of its sectors is not known"
            text = self.data[at + 32 : at + 32 + length].decode() if flags & MARK else ""
            entries.append(Entry(flags, sector * SECTOR, sectors * SECTOR, at + SECTOR, text))
            at += SECTOR + sectors * SECTOR
        return entries

    def marks(self):
        """Each mark's text, and how many entries lie before it."""
        return {entry.text: number for number, entry in enumerate(self.entries) if entry.is_mark}

    def write(self, disk, number, length=None):
        """Carries out an entry, or its first `length` bytes, on an open disk."""
        entry = self.entries[number]
        if entry.length and not entry.is_mark:
            disk.seek(entry.offset)
            disk.write(self.data[entry.place : entry.place + (entry.length if length is None else length)])

    def segments(self, begin):
        """(first, barrier): the writes from `first` on were not durable before the entry `barrier` was."""
        first = begin
        for number in range(begin, len(self.entries)):
            if self.entries[number].is_barrier:
                yield first, number
                first = number + 1

    def points(self, begin, seed):
        """Every point of power loss behind entry `begin`, in the log's order: behind each write; with all dropped that
        was not durable yet, where marks say that something had happened; and for each barrier one where chance decides
        what of the writes before it survived."""
        dice = random.Random(seed)
        for first, barrier in self.segments(begin):
            volatile = [number for number in range(first, barrier) if not self.entries[number].is_mark]
            # What stood in the log before the first of them, marks too, had happened.
            durable = volatile[0] if volatile else barrier
            if durable > first:
                yield Point(durable, "all dropped")
            if len(volatile) > 1:
                yield Point(durable, "some dropped", tuple(self.survivors(volatile, dice)))
            for number in volatile:
                yield Point(number + 1, "write")
            # A flush alone changes nothing on the disk.
            if self.entries[barrier].length or not volatile:
                yield Point(barrier + 1, "barrier")

    def survivors(self, volatile, dice):
        """A random part of these entries: a disk writes what it caches in any order."""
        share = dice.choice([0.2, 0.5, 0.8])
        chosen = [number for number in volatile if dice.random() < share]
        for number in chosen:
            sectors = self.entries[number].length // SECTOR
            torn = sectors > 1 and dice.randrange(TORN) == 0
            yield number, dice.randrange(1, sectors) * SECTOR if torn else self.entries[number].length


class Replay:
    """Disks of points in the log's order, each made out of the one before."""

    def __init__(self, log, base, work):
        self.log, self.current, self.done = log, work / "replay.img", 0
        shutil.copyfile(base, self.current)

    def advance(self, prefix):
        assert prefix >= self.done, "points come in the log's order"
        with open(self.current, "r+b") as disk:
            for number in range(self.done, prefix):
                self.log.write(disk, number)
        self.done = prefix

    def make(self, point, target):
        """Makes the disk of a point."""
        self.advance(point.prefix)
        shutil.copyfile(self.current, target)
        if point.survivors:
            with open(target, "r+b") as disk:
                for number, length in point.survivors:
                    self.log.write(disk, number, length)
        return target
