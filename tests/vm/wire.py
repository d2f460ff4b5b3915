"""The wire between host and guest, in a network namespace of its own, and waiting for what comes over it."""
import os
import subprocess
import sys
import time

HOST, GUEST = "10.78.0.1", "10.78.0.2"


def private_network():
    """Goes on in namespaces of its own: nothing of the test meets the machine's network, and nothing outlives it."""
    if os.environ.get("TALLYBOX_VM") != "inside":
        if os.geteuid() != 0:
            sys.exit("the virtual machine needs a network namespace and a tap device: call this as root (sudo)")
        os.environ["TALLYBOX_VM"] = "inside"
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        os.execvp("unshare", [*unshare, sys.executable, *sys.argv])
    for command in ("ip link set lo up", "ip tuntap add tap0 mode tap", f"ip addr add {HOST}/24 dev tap0", "ip link set tap0 up"):
        subprocess.run(command.split(), check=True)


def wait(what, probe, limit=60, step=0.05):
    """What `probe` gives, once it gives something; a limit that no healthy machine comes near."""
    end = time.monotonic() + limit
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(step)
