"""One end of a tunnel over UDP, unencrypted: vpn.py INTERFACE ADDRESS/LENGTH [PEER]. Without PEER its peer is whoever
sent last, so that the tunnel goes on when the other end has moved to another network."""
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys

PORT = 5555
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

name, address, *peer = sys.argv[1:]
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
subprocess.run(["ip", "address", "add", address, "dev", name], check=True)
# What it carries gets a header more.
subprocess.run(["ip", "link", "set", name, "mtu", "1400", "up"], check=True)
outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
outer.bind(("0.0.0.0", PORT))
known = (peer[0], PORT) if peer else None
while True:
    for ready in select.select([tun, outer], [], [])[0]:
        try:
            if ready is outer:
                packet, sender = outer.recvfrom(2048)
                known = known if peer else sender
                os.write(tun, packet)
            elif packet := os.read(tun, 2048):
                outer.sendto(packet, known)
        except (OSError, TypeError):
            pass  # nobody is known yet, or there is no way to it at the moment
