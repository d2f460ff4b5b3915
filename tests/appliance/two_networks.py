"""A box with two networks, the second one for when the first is gone, in namespaces of their own:
two_networks.py FOLDER. In the other namespace is a server for RTMP at 10.99.0.1. Lines to standard input: what to do;
each is answered with "done"."""
import os
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(sys.argv[1])
NGINX = """load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; user root; pid {0}/pid; error_log {0}/error.log; worker_processes 1; events {{}}
rtmp {{ server {{ listen 10.99.0.1:1935; application live {{ live on; drop_idle_publisher 1s; record all; record_unique on;
record_path {0}; }} }} }}
"""


def run(*command):
    subprocess.run(command, check=True)


# The server's network is that of a process which does nothing else.
keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
own = os.readlink("/proc/self/ns/net")
while os.readlink(f"/proc/{keeper.pid}/ns/net") == own:
    pass
inside = ["nsenter", "--net", "--target", str(keeper.pid)]
run("ip", "link", "set", "lo", "up")
for number, name in enumerate(("cable", "mobile"), 1):
    run("ip", "link", "add", name, "type", "veth", "peer", "name", f"to-{name}", "netns", str(keeper.pid))
    run("ip", "address", "add", f"10.9.{number}.2/24", "dev", name)
    run("ip", "link", "set", name, "up")
    run(*inside, "ip", "address", "add", f"10.9.{number}.1/24", "dev", f"to-{name}")
    run(*inside, "ip", "link", "set", f"to-{name}", "up")
    run("ip", "route", "add", "default", "via", f"10.9.{number}.1", "metric", str(100 * number))
run(*inside, "ip", "link", "set", "lo", "up")
run(*inside, "ip", "address", "add", "10.99.0.1/32", "dev", "lo")
(FOLDER / "nginx.conf").write_text(NGINX.format(FOLDER))
server = subprocess.Popen([*inside, "/usr/sbin/nginx", "-c", FOLDER / "nginx.conf", "-e", FOLDER / "error.log"],
                          stdin=subprocess.DEVNULL)
print("ready", flush=True)
for line in sys.stdin:
    match line.split():
        # The kernel takes the routes of an interface that is down away, as it does when a cable is pulled.
        case ["down", name]:
            run("ip", "link", "set", name, "down")
        case ["up", name, number]:
            run("ip", "link", "set", name, "up")
            run("ip", "route", "add", "default", "via", f"10.9.{number}.1", "metric", str(100 * int(number)))
    print("done", flush=True)
