"""Waiting for what comes, and ports that nobody has: for the soak, the benches and the virtual machine's scenarios, all
of them on the host."""
import socket
import time

# The names of the ports that this process was given: the kernel gives each of them once.
RESERVED = []


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
    """A port on loopback that nobody listens on. It stays this process's own, as in tests/support/ports.rs."""
    for port in range(15000, 32000):
        reserved = socket.socket(socket.AF_UNIX)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                reserved.bind(f"\0tallybox-test-port-{port}")
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        RESERVED.append(reserved)
        return port
    raise AssertionError("no free port from 15000 to 31999")
