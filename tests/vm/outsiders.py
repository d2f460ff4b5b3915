"""Those who have no role of the box's: somebody on its network, and somebody who took its card."""

import asyncio
import socket
import ssl
import subprocess
import threading

import box as boxes
from machine import Machine
from netns import HOST, address
from scenario import scenario
from servers import NAME
from waiting import wait

# The test's own way in.
SSH = 22


async def answering(ports):
    """Which TCP ports of the box answer a connection."""
    found, gate = [], asyncio.Semaphore(200)

    async def knock(port):
        async with gate:
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(address(0), port), 10)
            except ConnectionRefusedError:
                return
            found.append(port)
            writer.close()

    await asyncio.gather(*map(knock, ports))
    return found


class Impostor:
    """Somebody at the broker's address: what it gets to read from a box. `context` None: without encryption."""

    def __init__(self, context):
        self.context, self.read, self.tried, self.over = context, b"", 0, False
        self.door = socket.create_server((HOST, 8883), reuse_port=False)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while not self.over:
            try:
                end, _ = self.door.accept()
            except OSError:
                return
            end.settimeout(10)
            try:
                with self.context.wrap_socket(end, server_side=True) if self.context else end as line:
                    self.read += line.recv(4096)
            except OSError:
                pass
            self.tried += 1

    def close(self):
        self.over = True
        self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()
        self.thread.join(15)


def presented(certificate, key, newest=None):
    """A server that shows this certificate, with TLS up to `newest`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # What nobody should speak any more is refused by the box, not by this side.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    if newest:
        context.maximum_version = newest
    context.load_cert_chain(certificate, key)
    return context


def impostors(peers):
    """Who stands at the broker's address: name and context. The last one is the broker, for all that a box can see."""
    folder = peers.certificates
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={NAME}",
            "-addext",
            f"subjectAltName=DNS:{NAME}",
            "-keyout",
            folder / "self.key",
            "-out",
            folder / "self.pem",
        ],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [boxes.REPO / "config/servers/certificates", folder, "server", "elsewhere"], check=True, capture_output=True
    )
    genuine = folder / f"{NAME}.pem", folder / f"{NAME}.key"
    return [
        ("no encryption", None),
        ("a certificate that it signed itself", presented(folder / "self.pem", folder / "self.key")),
        ("the authority's certificate for another name", presented(folder / "elsewhere.pem", folder / "elsewhere.key")),
        ("a box's certificate", presented(folder / "vm-box-1.pem", folder / "vm-box-1.key")),
        ("TLS 1.1", presented(*genuine, ssl.TLSVersion.TLSv1_1)),
        ("the broker's own", presented(*genuine)),
    ]


@scenario("network attacker: no port answers; nobody is the broker without its certificate", short=False)
def network(box, peers):
    box.live()
    assert (live := asyncio.run(answering(range(1, 65536)))) == [SSH], live
    listens = box.sh("ss -Hlun; ss -Hltn | grep -v ':22 '; true")
    assert not listens, listens
    box.touch()
    peers.stop("mosquitto")
    try:
        read = {}
        for name, context in impostors(peers):
            impostor = Impostor(context)
            try:
                box.sh("systemctl --no-block restart tallybox-agent")
                wait(f"the box has tried: {name}", lambda: impostor.tried, 60)
            finally:
                impostor.close()
            # Without encryption the box's own first words of TLS come: nothing of it is a secret.
            read[name] = b"MQTT" in impostor.read or (context is not None and bool(impostor.read))
    finally:
        peers.start("mosquitto")
        box.sh("systemctl --no-block restart tallybox-agent")
    assert read.pop("the broker's own"), "the impostor reads what a broker would"
    assert not any(read.values()), read
    wait("the broker has the box again", lambda: peers.said("availability")[-1:] == ["online"], 60)
    return f"65535 ports closed but for the test's ssh; {len(read)} impostors tried, {len(read)} read nothing"


def windows(file, count=16, width=48):
    """Pieces of a recording that are found nowhere else, from its second half: silence and padding are everywhere."""
    content = file.read_bytes()
    pieces = (content[at : at + width] for at in range(len(content) // 2, len(content) - width, 499))
    found = [piece for piece in pieces if len(set(piece)) >= 32][:count]
    assert len(found) >= 8, f"{len(found)} pieces in {len(content)} bytes"
    return found


@scenario("thief with the card of a live box: ledger and keys can be read, no frame can", short=False)
def thief(box, peers):
    box.live()
    before = peers.received()
    wait("footage goes out", lambda: peers.received() > before + 60_000)
    box.cut()
    footage = windows(peers.recordings()[-1])
    raw = box.disk.read_bytes()
    found = sum(piece in raw for piece in footage)
    other = Machine(box.work.parent, box.image, box.kernel, box.key, seat=1)
    try:
        other.boot()
        other.plug("ubdb", f"{box.disk},{box.image}")
        other.sh("mkdir -p /rig/card; mount /dev/ubdb /rig/card")
        readable = {
            name: other.ok(f"test -s /rig/card/{path}")
            for name, path in (
                ("ledger", "var/lib/tallybox/ledger.db"),
                ("box's key", "var/lib/tallybox/credentials/identity"),
                ("broker's key", "etc/tallybox/client.key"),
                ("configuration", "etc/tallybox/tallybox.toml"),
            )
        }
        kept = other.sh(
            "cd /rig/card/var; find lib/tallybox/footage cache/tallybox-capture lib/systemd/coredump -type f; true"
        )
        told = other.sh("grep -rlas the-shops-key /rig/card/var /rig/card/run; true")
        # The same search finds what is there.
        there = other.ok(
            "grep -qas vm-box /rig/card/var/lib/tallybox/ledger.db || grep -rqas session /rig/card/var/lib/tallybox"
        )
        other.sh("umount /rig/card")
    finally:
        other.close()
        box.boot()
    assert there and all(readable.values()), readable
    assert not found and not kept and not told, f"{found} pieces of footage, {kept}, {told}"
    box.until("idle", 90)
    return (
        f"readable: {', '.join(readable)}; 0 of {len(footage)} pieces of footage on the disk, the stream key in no log"
    )
