"""Nodes of an RMQTT cluster on loopback, and nginx before them as a load balancer."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from waiting import free_port

PATIENCE = 120
NGINX_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def wait_until(what, holds, seen=lambda: "", patience=PATIENCE):
    end = time.monotonic() + patience
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"FAILED: {what}: not within {patience} s; last {seen()}")
        time.sleep(0.1)


class Cluster:
    """`count` nodes; one alone is a broker without a cluster."""

    def __init__(self, program, folder, count):
        self.program, self.folder = program, pathlib.Path(folder)
        ports = [free_port() for _ in range(3 * count)]
        self.mqtt, self.grpc, self.raft = ports[:count], ports[count:2 * count], ports[2 * count:]
        self.processes = [None] * count
        # The first one leads: nodes that start together would each lead a cluster of its own.
        for node in range(count):
            self.configure(node)
            self.start(node)
            wait_until(f"node {node + 1} answers", lambda: answers(self.mqtt[node]))

    def configure(self, node):
        plugins = self.folder / f"plugins{node}"
        plugins.mkdir()
        (plugins / "rmqtt-retainer.toml").write_text('storage.type = "ram"\n')
        addresses = [[f"{number + 1}@127.0.0.1:{port}" for number, port in enumerate(ports)]
                     for ports in (self.grpc, self.raft)]
        quoted = [", ".join(f'"{address}"' for address in row) for row in addresses]
        (plugins / "rmqtt-cluster-raft.toml").write_text(
            f"node_grpc_addrs = [{quoted[0]}]\nraft_peer_addrs = [{quoted[1]}]\nleader_id = 1\n"
            "raft.grpc_reuseaddr = true\n")
        (self.folder / f"node{node}.toml").write_text(
            f'[node]\nid = {node + 1}\nbusy.check_enable = false\n[plugins]\ndir = "{plugins}/"\n'
            f'[rpc]\nserver_addr = "127.0.0.1:{self.grpc[node]}"\n'
            f'[listener.tcp.external]\naddr = "127.0.0.1:{self.mqtt[node]}"\nallow_anonymous = true\n'
            'max_connections = 100000\nmax_handshaking_limit = 10000\nmax_inflight = 1000\nmax_mqueue_len = 100000\n')

    def start(self, node):
        command = [self.program, "--config", self.folder / f"node{node}.toml", "--id", str(node + 1)]
        if len(self.mqtt) > 1:
            for option, ports in (("--node-grpc-addrs", self.grpc), ("--raft-peer-addrs", self.raft)):
                for number, port in enumerate(ports):
                    command += [option, f"{number + 1}@127.0.0.1:{port}"]
        log = open(self.folder / f"node{node}.log", "ab")
        self.processes[node] = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def restart(self, node):
        """Starts a node again; anew where it ends at once, as a service manager does."""

        def back():
            if self.processes[node].poll() is not None:
                time.sleep(1)
                self.start(node)
            return answers(self.mqtt[node])

        wait_until(f"node {node + 1} answers again", back)

    def kill(self, node):
        self.processes[node].send_signal(signal.SIGKILL)
        self.processes[node].wait()

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


class Balancer:
    """nginx: each connection to the node with the fewest, and to another one where a node does not answer."""

    def __init__(self, folder, ports):
        folder = pathlib.Path(folder)
        self.port = free_port()
        servers = "".join(f"server 127.0.0.1:{port} max_fails=1 fail_timeout=2s;" for port in ports)
        module = f"load_module {NGINX_MODULE};" if pathlib.Path(NGINX_MODULE).exists() else ""
        (folder / "nginx.conf").write_text(
            f"{module} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log; daemon off;\n"
            "events { worker_connections 60000; } worker_rlimit_nofile 60000;\n"
            f"stream {{ upstream nodes {{ least_conn; {servers} }}\n"
            f"server {{ listen 127.0.0.1:{self.port} backlog=4096; proxy_pass nodes; proxy_connect_timeout 1s; "
            "proxy_timeout 10m; } }\n")
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = subprocess.Popen([program, "-c", folder / "nginx.conf", "-p", folder],
                                        stderr=subprocess.DEVNULL)
        wait_until("nginx answers", lambda: answers(self.port))

    def end(self):
        self.process.terminate()
        self.process.wait()


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])
