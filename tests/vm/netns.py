"""The wire between host and guest, in a network namespace of its own."""
import os
import subprocess
import sys

HOST = "10.78.0.1"
# Machines that can be on at the same time.
SEATS = 3


def address(seat):
    """A machine's address at its seat, which is a tap device of the host's."""
    return f"10.78.0.{2 + seat}"


def private_network():
    """Goes on in namespaces of its own: nothing of the test meets the machine's network, and nothing outlives it."""
    if os.environ.get("TALLYBOX_VM") != "inside":
        if os.geteuid() != 0:
            sys.exit("the virtual machine needs a network namespace and a tap device: call this as root (sudo)")
        os.environ["TALLYBOX_VM"] = "inside"
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        # The namespace's first process is a shell, because it takes away what is left of the dead: a machine whose plug
        # was pulled leaves some thirty processes that nobody waits for.
        shell = ["sh", "-c", '"$@"; exit $?', "sh"]
        os.execvp("unshare", [*unshare, *shell, sys.executable, *sys.argv])
    commands = ["ip link set lo up"]
    for seat in range(SEATS):
        commands += [f"ip tuntap add tap{seat} mode tap", f"ip addr add {HOST}/32 dev tap{seat}", f"ip link set tap{seat} up",
                     f"ip route add {address(seat)}/32 dev tap{seat} src {HOST}"]
    for command in commands:
        subprocess.run(command.split(), check=True)
