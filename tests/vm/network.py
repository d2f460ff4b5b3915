"""A bad day outside the box: the network is cut, slow, or loses packets, and the server restarts."""
import subprocess
import time

from scenario import scenario
from wire import HOST, wait


def link(state):
    """The host's end of the wire: nothing gets across while it is down, and nobody is told."""
    subprocess.run(["ip", "link", "set", "tap0", state], check=True)


@scenario("the ingest restarts while live: double blink, then live again")
def ingest(box, peers):
    box.live()
    pid, mark = box.hand.now("capture"), box.hand.mark()
    peers.stop("nginx")
    box.until("reconnecting")
    rhythm = box.hand.rhythm(5)
    assert rhythm and any(600 <= span <= 900 for span in rhythm) and all(100 <= span <= 900 for span in rhythm), f"not a double blink: {rhythm}"
    peers.start("nginx")
    before, started = peers.received(), time.monotonic()
    box.until("live", 90)
    took = time.monotonic() - started
    wait("the ingest receives again", lambda: peers.received() > before + 100_000)
    assert box.hand.now("capture") == pid and not any(pids == "" for pids in box.hand.values(mark, "capture"))
    box.touch()
    box.dark()
    return f"live {took:.1f} s after the server was back; the same capture all along"


@scenario("the network is cut without a word while live, and comes back")
def cut(box, peers):
    box.live()
    wait("the ingest receives", lambda: peers.recordings() and peers.received() > 100_000)
    pid, lines = box.hand.now("capture"), len(box.ledger())
    box.sh("(sleep 1; for i in $(seq 300); do tallybox status --json | tr -d '\\n' ; echo; sleep 0.2; done) >/run/rig-status 2>&1 &")
    link("down")
    try:
        time.sleep(15)
    finally:
        link("up")
    before = peers.received()
    box.until("live", 120)
    wait("the ingest receives again", lambda: peers.received() > before + 100_000, 90)
    kinds = [fact["kind"] for fact in box.facts()[lines:]]
    said = box.sh("grep -c '\"phase\": *\"reconnecting\"' /run/rig-status", check=False)
    assert "off-air" in kinds and int(said) > 0, f"{kinds}; reconnecting seen {said} times"
    assert box.hand.now("capture") == pid, "capture went on through it"
    wait("the broker hears the box again", lambda: peers.state() == "live", 90)
    box.touch()
    return f"cut for 15 s; {' '.join(kinds)}"


def shaped(box, netem, play):
    box.sh(f"tc qdisc add dev vec0 root netem {netem}")
    try:
        return play()
    finally:
        box.sh("tc qdisc del dev vec0 root", check=False)


def drops(box):
    return box.status()["stream"]["dropped-frames"]


@scenario("3 % loss and 200 ms of delay: on air over RTMP")
def rtmp_loss(box, peers):
    box.idle()

    def play():
        before = peers.received()
        box.live()
        wait("stream arrives", lambda: peers.received() > before + 500_000, 120)
        time.sleep(5)
        status = box.status()
        assert status["phase"] == "live", status
        seen = f"{(peers.received() - before) // 1000} kB received; {status['stream']}"
        box.touch()
        return seen
    return shaped(box, "delay 200ms loss 3%", play)


@scenario("3 % loss and 200 ms of delay: on air over SRT")
def srt_loss(box, peers):
    target = peers.work / "srt.ts"
    server = subprocess.Popen(["srt-live-transmit", "-q", f"srt://{HOST}:9000?mode=listener&latency=1000", "file://con"], stdin=subprocess.DEVNULL,
                              stdout=open(target, "wb"), stderr=subprocess.DEVNULL)
    try:
        box.configure(ingest={"url": f"srt://{HOST}:9000?streamid=${{STREAM_KEY}}&latency=1000"})

        def play():
            box.live()
            wait("stream arrives", lambda: target.stat().st_size > 500_000, 120)
            status = box.status()
            assert status["phase"] == "live", status
            box.touch()
            return f"{target.stat().st_size // 1000} kB received; {status['stream']}"
        return shaped(box, "delay 200ms loss 3%", play)
    finally:
        server.kill()
        server.wait()
        box.configure()
        box.until("idle")
