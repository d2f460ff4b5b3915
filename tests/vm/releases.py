"""An operator who publishes software: release keys, signed release indexes, and an https server with packages."""
import base64
import hashlib
import itertools
import json
import subprocess
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netns import HOST
from waiting import wait

PORT = 8443
TOPIC = "tallybox/v1/release/stable"


class Key:
    """A key of the signed-note form (c2sp.org/signed-note)."""

    def __init__(self, name):
        self.name, self.secret = name, Ed25519PrivateKey.generate()
        self.public = b"\x01" + self.secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = hashlib.sha256(name.encode() + b"\n" + self.public).digest()[:4]

    def verifier(self):
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self.public).decode()}"

    def line(self, text):
        return f"— {self.name} {base64.b64encode(self.id + self.secret.sign(text.encode())).decode()}\n"


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


class Releases:
    """Keys, server, and what was published last."""

    # Of the channel, for all scenarios: a box remembers the highest, whoever signed it.
    serials = itertools.count(1)

    def __init__(self, peers):
        self.peers, self.folder = peers, peers.work / "packages"
        self.keys = [Key("operator.example/release-1"), Key("operator.example/release-2")]
        self.stranger = Key("somebody.example/release-1")
        if not self.folder.exists():
            self.folder.mkdir()
            self.serve()
        self.withdraw()

    def serve(self):
        work = self.peers.work
        openssl = lambda *words: subprocess.run(["openssl", *words], cwd=work, check=True, capture_output=True)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "9", "-subj", "/CN=authority of the test")
        openssl("req", *key, "-keyout", "web.key", "-out", "web.csr", "-subj", "/CN=packages")
        (work / "web.ext").write_text(f"basicConstraints=CA:FALSE\nsubjectAltName=IP:{HOST}\n")
        openssl("x509", "-req", "-in", "web.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-days", "9", "-extfile", "web.ext", "-out", "web.crt")
        (work / "web.conf").write_text(
            f"daemon off; user root; pid {work}/web.pid; error_log {work}/web.log; events {{}}\n"
            f"http {{ access_log {work}/web-access.log; client_body_temp_path {work}/body; server {{ listen {HOST}:{PORT} ssl; "
            f"ssl_certificate {work}/web.crt; ssl_certificate_key {work}/web.key; root {self.folder}; "
            f"location /slow/ {{ alias {self.folder}/; limit_rate 400k; }} }} }}\n")
        log = open(work / "web.out", "a")
        self.peers.children["web"] = subprocess.Popen(["nginx", "-p", str(work), "-c", str(work / "web.conf")], stdout=log, stderr=log)
        wait("the package server answers", lambda: subprocess.run(["curl", "-ksS", f"https://{HOST}:{PORT}/"], capture_output=True).returncode == 0)

    def settings(self):
        """What the box has to know: both keys, of which both have to sign, and where packages may come from."""
        trust = "".join(f'[[trust]]\nkey = "{key.verifier()}"\nmay = ["release"]\n' for key in self.keys)
        return trust + f'[trust-thresholds]\nrelease = 2\n[update]\nallowed-hosts = ["{HOST}"]\nnotice = "0"\n'

    def answers(self):
        """Status and bytes of each of the server's answers, in order."""
        lines = (self.peers.work / "web-access.log").read_text().splitlines()
        return [(int(code), int(sent)) for code, sent in (line.split('" ')[1].split(" ")[:2] for line in lines)]

    def release(self, deb, version, slow=False, **more):
        """A document that offers this package to everybody, from a minute ago on; `slow`: at 400 kB/s."""
        name = f"tallybox_{version}.deb"
        content = deb.read_bytes()
        (self.folder / name).write_bytes(content)
        file = {"url": f"https://{HOST}:{PORT}/{'slow/' if slow else ''}{name}", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        return {"version": version, "serial": next(self.serials), "channel": "stable", "files": {"amd64": file}, "not-after": stamp(30 * 86400),
                "wave": {"start": stamp(-60), "stages": [{"permille": 1000}]}, "security": True, **more}

    def note(self, release, *keys):
        text = f"tallybox/release/v1\n{json.dumps(release, separators=(',', ':'))}\n"
        return text + "\n" + "".join(key.line(text) for key in keys or self.keys)

    def publish(self, note):
        self.peers.publish(TOPIC, "-r", "-s", role="releases", input=note.encode())

    def withdraw(self):
        self.peers.publish(TOPIC, "-r", "-n", role="releases")
