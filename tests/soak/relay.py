"""A TCP relay that stands for the link between box and ingest: it can be cut, and can stall."""
import socket
import struct
import threading

from waiting import free_port


class Relay:
    def __init__(self, target):
        self.target, self.port = target, free_port()
        self.whole, self.flows = True, threading.Event()
        self.flows.set()
        self.open, self.lock = set(), threading.Lock()
        # Small buffers: what is stalled is to stand at the box, and not in this program.
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=16)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            try:
                if not self.whole:
                    raise OSError
                far = socket.create_connection(("127.0.0.1", self.target), 5)
                far.settimeout(None)
            except OSError:
                reset(near)
                continue
            with self.lock:
                self.open |= {near, far}
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=pair, daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(1 << 14):
                self.flows.wait()
                sink.sendall(data)
        except OSError:
            pass
        with self.lock:
            self.open -= {source, sink}
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Resets what is open, and all that comes until `mend`."""
        self.whole = False
        with self.lock:
            for end in self.open:
                reset(end)
            self.open.clear()

    def mend(self):
        self.whole = True

    def stall(self):
        """Takes nothing more, without saying so, until `flow`."""
        self.flows.clear()

    def flow(self):
        self.flows.set()


def reset(end):
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RD)  # wakes who reads, and says nothing to the other side
    except OSError:
        pass
    end.close()
