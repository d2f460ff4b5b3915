"""A bad day outside the box: the network is cut, slow, or loses packets, and the server restarts."""
import subprocess
import time

from waiting import wait
from scenario import scenario
from netns import HOST


RULES = """table inet cut {
  chain in {
    type filter hook input priority 0;
    iifname "tap0" tcp sport != 22 drop
    iifname "tap0" udp sport != 0 drop
  }
  chain out {
    type filter hook output priority 0;
    oifname "tap0" tcp dport != 22 drop
    oifname "tap0" udp dport != 0 drop
  }
}
"""


def link(up):
    """Cuts the wire without a word to anybody, or mends it; the harness's own ssh goes on, so that it can look."""
    subprocess.run(["nft", "-f", "-"], input="delete table inet cut\n" if up else RULES, text=True, check=True)


@scenario("the ingest restarts while live: double blink, then live again")
def ingest(box, peers):
    box.live()
    pid, mark = box.hand.now("capture"), box.hand.mark()
    peers.stop("nginx")
    box.until("reconnecting")
    double_blink(box)
    peers.start("nginx")
    before, started = peers.received(), time.monotonic()
    box.until("live", 90)
    took = time.monotonic() - started
    wait("the ingest receives again", lambda: peers.received() > before + 100_000)
    assert box.hand.now("capture") == pid and not any(pids == "" for pids in box.hand.values(mark, "capture"))
    box.touch()
    box.dark()
    return f"live {took:.1f} s after the server was back; the same capture all along"


@scenario("the network is cut without a word while live, and comes back: double blink, then live again", short=False)
def cut(box, peers):
    box.live()
    before = peers.received()
    wait("the ingest receives", lambda: peers.received() > before + 100_000)
    pid, lines, started = box.hand.now("capture"), len(box.ledger()), time.monotonic()
    link(False)
    try:
        box.until("reconnecting", 90)
        noticed = time.monotonic() - started
        double_blink(box)
        wait("systemd hears that the broker is lost", lambda: box.sh("systemctl show -P StatusText tallybox-agent").startswith("not connected"), 120)
    finally:
        link(True)
    before, started = peers.received(), time.monotonic()
    box.until("live", 120)
    took = time.monotonic() - started
    wait("the ingest receives again", lambda: peers.received() > before + 100_000, 90)
    kinds = [fact["kind"] for fact in box.facts()[lines:]]
    assert kinds == ["off-air", "on-air"], kinds
    assert box.hand.now("capture") == pid, "capture went on through it"
    wait("the broker hears the box again", lambda: peers.events() and peers.events()[-1]["seq"] >= len(box.ledger()), 120)
    box.touch()
    return f"noticed after {noticed:.0f} s; live {took:.0f} s after the network was back; {' '.join(kinds)} at the broker too"


def double_blink(box):
    rhythm = box.hand.rhythm(5)
    assert rhythm and any(600 <= span <= 900 for span in rhythm) and all(90 <= span <= 900 for span in rhythm), f"not a double blink: {rhythm}"


def shaped(box, netem, play):
    box.sh(f"tc qdisc add dev vec0 root netem {netem}")
    try:
        return play()
    finally:
        box.sh("tc qdisc del dev vec0 root", check=False)


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


@scenario("3 % loss and 200 ms of delay: on air over SRT", short=False)
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
