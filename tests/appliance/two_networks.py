"""A box with two networks, the second one for when the first is gone, in namespaces of their own:
two_networks.py FOLDER SERVER. In the other namespace is a server at 10.99.0.1 and fd00:99::1, which is also
ingest.example: "rtmp" (1935), "srt" (9000) or "whip" (8000); with "vpn" it is one for RTMP at 10.97.0.1, behind a
tunnel. What the server is sent comes into FOLDER. Lines to standard input: what to do; each is answered with "done".

The kernel's two networks are virtual Ethernet. In this mount namespace's sysfs the second one has the DEVTYPE that the
kernel gives to modems."""
import os
import pathlib
import socket
import subprocess
import sys

FOLDER, SERVER = pathlib.Path(sys.argv[1]), sys.argv[2]
HERE = pathlib.Path(__file__).parent
NGINX = """load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; user root; pid {0}/pid; error_log {0}/error.log; worker_processes 1; events {{}}
rtmp {{ server {{ listen 1935; listen [::]:1935 ipv6only=on; application live {{ live on; drop_idle_publisher 500ms;
record all; record_unique on; record_path {0}; }} }} }}
"""
NETWORKS = {"cable": 1, "mobile": 2}


def run(*command):
    subprocess.run(command, check=True)


def start(*command):
    # Its mistakes are for whoever looks at the test's folder.
    log = open(FOLDER / "servers.log", "a")
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def await_router(router):
    """Until it answers, be it with a refusal: a link is up some time before it carries anything."""
    while True:
        try:
            socket.create_connection((router, 1), timeout=0.2)
        except ConnectionRefusedError:
            return
        except OSError:
            continue


def routes(name):
    """Addresses and default routes of the interface `name`. It is up; the first one's routes are preferred."""
    number = NETWORKS[name]
    run("ip", "-6", "address", "replace", f"fd00:9:{number}::2/64", "dev", name, "nodad")
    routers = (("-4", f"10.9.{number}.1"), ("-6", f"fd00:9:{number}::1"))
    # Default routes come from routers that have answered, by DHCP and as advertisements.
    for _, router in routers:
        await_router(router)
    for family, router in routers:
        run("ip", family, "route", "add", "default", "via", router, "metric", str(100 * number))


# The server's network is that of a process which does nothing else.
keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
own = os.readlink("/proc/self/ns/net")
while os.readlink(f"/proc/{keeper.pid}/ns/net") == own:
    pass
inside = ["nsenter", "--net", "--target", str(keeper.pid)]
run("ip", "link", "set", "lo", "up")
for name, number in NETWORKS.items():
    run("ip", "link", "add", name, "type", "veth", "peer", "name", f"to-{name}", "netns", str(keeper.pid))
    run("ip", "address", "add", f"10.9.{number}.2/24", "dev", name)
    run(*inside, "ip", "address", "add", f"10.9.{number}.1/24", "dev", f"to-{name}")
    run(*inside, "ip", "-6", "address", "add", f"fd00:9:{number}::1/64", "dev", f"to-{name}", "nodad")
    run(*inside, "ip", "link", "set", f"to-{name}", "up")
    run("ip", "link", "set", name, "up")
    routes(name)
run(*inside, "ip", "link", "set", "lo", "up")
run(*inside, "ip", "address", "add", "10.99.0.1/32", "dev", "lo")
run(*inside, "ip", "-6", "address", "add", "fd00:99::1/128", "dev", "lo")
# sysfs shows the interfaces of the namespace in which it was mounted.
run("mount", "-t", "sysfs", "sysfs", "/sys")
(FOLDER / "uevent").write_text("DEVTYPE=wwan\nINTERFACE=mobile\n")
run("mount", "--bind", FOLDER / "uevent", "/sys/class/net/mobile/uevent")

(FOLDER / "hosts").write_text("127.0.0.1 localhost\n10.99.0.1 ingest.example\nfd00:99::1 ingest.example\n")
run("mount", "--bind", FOLDER / "hosts", "/etc/hosts")

if SERVER == "vpn":
    start(*inside, sys.executable, HERE / "vpn.py", "far", "10.97.0.1/30")
    start(sys.executable, HERE / "vpn.py", "vpn", "10.97.0.2/30", "10.99.0.1")
if SERVER in ("rtmp", "vpn"):
    (FOLDER / "nginx.conf").write_text(NGINX.format(FOLDER))
    start(*inside, "/usr/sbin/nginx", "-c", FOLDER / "nginx.conf", "-e", FOLDER / "error.log")
elif SERVER == "srt":
    start(*inside, sys.executable, HERE / "srt_server.py", "10.99.0.1", "9000", FOLDER)
elif SERVER == "whip":
    start(*inside, "/usr/bin/python3", HERE / "whip_server.py", "8000", FOLDER / "whip.log", "100", "", "--media", "10.99.0.1")
print("ready", flush=True)
for line in sys.stdin:
    match line.split():
        # The kernel takes the routes of an interface that is down away, as it does when a cable is pulled.
        case ["down", name]:
            run("ip", "link", "set", name, "down")
        case ["up", name]:
            run("ip", "link", "set", name, "up")
            routes(name)
    print("done", flush=True)
