"""Power loss at each write that the box's file system makes, with what no flush had confirmed dropped or torn: the
kernel logs the writes (dm-log-writes), and each point of the log becomes a disk that is judged."""

import collections
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from logged_box import LoggedBox, Marks, Relay
from releases import Key
from scenario import scenario
from unsynced_judge import Known, judge
from unsynced_work import Work, set_up
from write_log import Replay, WriteLog

HERE = Path(__file__).resolve().parent
POINTS = int(os.environ.get("TALLYBOX_POINTS") or 1500)
ROUNDS = 2


class Judges:
    """Programs that look at disks, side by side."""

    def __init__(self, work, package, count):
        self.free = []
        for number in range(count):
            (place := work / f"judge-{number}").mkdir()
            self.free.append(
                (
                    place,
                    subprocess.Popen(
                        ["unshare", "--mount", sys.executable, HERE / "survivor.py", package, place],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    ),
                )
            )
        self.all, self.lock = list(self.free), threading.Condition()

    def take(self):
        with self.lock:
            self.lock.wait_for(lambda: self.free)
            return self.free.pop()

    def look(self, judge, disk):
        """What a judge finds on a disk; it is free again afterwards."""
        try:
            judge[1].stdin.write(f"{disk}\n")
            judge[1].stdin.flush()
            return json.loads(judge[1].stdout.readline())
        finally:
            with self.lock:
                self.free.append(judge)
                self.lock.notify()

    def close(self):
        for _, process in self.all:
            process.stdin.close()
            process.wait(60)


def told(counts):
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


class Verdicts:
    """What became of the points."""

    def __init__(self, log, facts, keys, secret):
        self.log, self.facts, self.keys, self.secret, self.seen = log, facts, keys, secret, 0
        places = log.marks()
        # In the log's order, which is the order of the numbers.
        self.places = [places.get(str(number)) for number in range(len(facts))]
        assert None not in self.places, "a mark is not in the log: the log is not whole"
        self.wrong = []
        self.kinds, self.phases = collections.Counter(), collections.Counter()

    def known(self, point):
        return Known([fact for fact, place in zip(self.facts, self.places) if place < point.prefix])

    def search(self, point, disk):
        """The bytes of the key that was destroyed are nowhere on a disk of after that, in no file and in no block."""
        if self.secret and self.secret in disk.read_bytes():
            self.seen += 1
            if "binding" in self.known(point).settled:
                self.wrong.append(f"behind entry {point.prefix} ({point.kind}): the destroyed key is on the disk")

    def add(self, point, found):
        self.kinds[point.kind] += 1
        for problem in judge(found, self.known(point), self.keys):
            self.wrong.append(f"behind entry {point.prefix} ({point.kind}): {problem}")
        if not found["problems"]:
            self.phases["unbound" if found["status"]["unbound"] else found["status"]["phase"]] += 1

    def kinds_of_wrong(self):
        """Each kind of problem, how often it came up, and where first."""
        kinds = {}
        for problem in self.wrong:
            where, what = problem.split(": ", 1)
            kinds.setdefault(re.sub("[0-9]+", "N", what)[:60], []).append((where, what))
        return [f"{len(all)} times, first {all[0][0]}: {all[0][1][:300]}" for all in kinds.values()]

    def heard(self):
        return sum(fact[0] == "heard" for fact in self.facts)


def try_points(log, base, points, verdicts, judges, work):
    """Makes the disk of each point, and has it judged."""
    replay = Replay(log, base, work)

    def judge_one(point, place, disk):
        return point, judges.look(place, disk)

    with ThreadPoolExecutor(len(judges.all)) as pool:
        waiting = collections.deque()
        for number, point in enumerate(points):
            place = judges.take()
            disk = replay.make(point, place[0] / "point.img")
            verdicts.search(point, disk)
            waiting.append(pool.submit(judge_one, point, place, disk))
            while waiting and (len(waiting) > len(judges.all) or waiting[0].done()):
                verdicts.add(*waiting.popleft().result())
            if number % 100 == 99:
                print(f"      {number + 1} points of {len(points)}, {len(verdicts.wrong)} problems", flush=True)
        for one in waiting:
            verdicts.add(*one.result())


def record(box, peers, work_of, rounds):
    """A box at work on a logged disk: the facts behind its marks, the public keys that the box had, and a secret that
    it destroyed, if any."""
    key, relay = Key("operator.example/fleet"), Relay()
    try:
        box.begin()
        box.write("/etc/tallybox/conf.d/60-trust.toml", Work.trust(key))
        # Once before: the units' drop-ins, which setup writes beside the logged disk, are there then.
        set_up(box, 30)
        # What the test wrote itself is on the disk.
        box.sh("sync -f /etc/tallybox")
        box.start()
        box.until("idle", 90)
        marks = Marks(box)
        work = Work(box, peers, marks)
        work.begin(key)
        keys, secret = work_of(work, rounds)
        work.end()
        marks.close()
        box.end()
        return marks.facts, keys, secret
    finally:
        relay.close()


def all_work(work, rounds):
    """Everything that is kept, several times, and an unbinding at the end."""
    for number in range(rounds):
        for step in (
            work.desired,
            work.lock,
            work.policy,
            work.configuration,
            work.release,
            work.erase,
            work.setup,
            work.session,
        ):
            step()
            work.all_heard()
    former = work.box.status()["identity"]["verifier-key"]
    secret = work.unbind()
    work.claim()
    work.lock()
    work.all_heard()
    return [former, work.box.status()["identity"]["verifier-key"]], secret


def little_work(work, _):
    work.lock()
    work.all_heard()
    return [work.box.status()["identity"]["verifier-key"]], None


def replayed(log, box, work):
    """The whole log on the empty disk is what the guest's disk is now: what is judged is what was written."""
    replay = Replay(log, box.base, work)
    replay.advance(len(log.entries))
    same = subprocess.run(["cmp", replay.current, box.data], capture_output=True, text=True)
    assert same.returncode == 0, f"the log is not the disk: {same.stdout}"


def judge_log(box, recorded, seed, most, work, package):
    """Judges up to `most` points of the log, chosen by chance: the verdicts, and the number of all points."""
    log = WriteLog(box.writes)
    replayed(log, box, work)
    every = list(log.points(log.marks()["0"], seed))
    chosen = sorted(random.Random(seed).sample(range(len(every)), min(most, len(every))))
    verdicts = Verdicts(log, *recorded)
    judges = Judges(work, package, os.cpu_count())
    try:
        try_points(log, box.base, [every[number] for number in chosen], verdicts, judges, work)
    finally:
        judges.close()
    return verdicts, len(every)


def tried(peers, work_of, rounds, most, preload=""):
    """Records a box at work, and judges its log: the seed, the verdicts, and the number of all points."""
    seed = int(os.environ.get("TALLYBOX_SEED") or time.time())
    # In memory: each point is a copy of the disk.
    work = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="unsynced-"))
    package = work / "package"
    subprocess.run(["dpkg-deb", "-x", os.environ["TALLYBOX_DEB"], package], check=True)
    box = LoggedBox(peers.work, package, preload)
    try:
        recorded = record(box, peers, work_of, rounds)
        verdicts, every = judge_log(box, recorded, seed, most, work, package)
        return seed, verdicts, every
    finally:
        box.close()
        shutil.rmtree(work, ignore_errors=True)


@scenario("a disk whose syncs do nothing: the judges of power loss notice it", kind="own", short=False)
def noticed(_, peers):
    _, verdicts, _ = tried(peers, little_work, 1, 40, "/rig/unsynced.so")
    count = sum(verdicts.kinds.values())
    assert verdicts.wrong, f"nothing was found at {count} points"
    return f"{len(verdicts.wrong)} problems at {count} points, such as: {verdicts.wrong[0][:120]}"


@scenario(
    f"{POINTS} points of power loss in a disk's log, unsynced writes dropped and torn: nothing acknowledged is lost",
    kind="own",
    short=False,
)
def points(_, peers):
    seed, verdicts, every = tried(peers, all_work, ROUNDS, POINTS)
    assert not verdicts.wrong, f"seed {seed}: {verdicts.kinds_of_wrong()}"
    assert verdicts.seen, "the search that finds no destroyed key finds it before"
    return (
        f"seed {seed}: {sum(verdicts.kinds.values())} of {every} points ({told(verdicts.kinds)}); "
        f"the box came up {told(verdicts.phases)}; {verdicts.heard()} entries acknowledged, none lost"
    )
