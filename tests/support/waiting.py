"""Waiting for what comes, and ports that nobody has: for the soak, the benches and the virtual machine's scenarios, all
of them on the host."""
import socket
import time


def wait(what, probe, limit=60, step=0.02):
    """What `probe` gives, once it gives something; looked at each `step` seconds, for `limit` seconds at most, which no
    healthy machine comes near."""
    end = time.monotonic() + limit
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(step)


def free_port():
    """A port on loopback that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
