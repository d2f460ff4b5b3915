"""An SRT server that takes several streams at once, as ingest servers do and srt-live-transmit does not:
srt_server.py ADDRESS PORT FOLDER. Each stream comes into a file of its own, FOLDER/N.ts."""
import ctypes
import pathlib
import socket
import struct
import sys
import threading

address, port, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
for name in ("libsrt-openssl.so.1.5", "libsrt-gnutls.so.1.5"):
    try:
        srt = ctypes.CDLL(name)
        break
    except OSError:
        continue
srt.srt_startup()
where = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(address))
listener = srt.srt_create_socket()
if srt.srt_bind(listener, where, len(where)) or srt.srt_listen(listener, 8):
    sys.exit("srt_server.py: cannot listen")


def keep(stream, file):
    data = ctypes.create_string_buffer(2048)
    while (size := srt.srt_recvmsg(stream, data, len(data))) > 0:
        file.write(data.raw[:size])
    srt.srt_close(stream)


number = 0
while (stream := srt.srt_accept(listener, None, None)) >= 0:
    number += 1
    threading.Thread(target=keep, args=(stream, open(folder / f"{number}.ts", "wb", buffering=0)), daemon=True).start()
