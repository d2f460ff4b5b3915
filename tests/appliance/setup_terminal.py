"""Plays a person at a terminal: setup_terminal.py DIALOGUE COMMAND...

DIALOGUE is JSON: a list of [what is waited for, what is typed]. Typed "^C" and "^D" are those keys; "!COMMAND" is
what somebody else does meanwhile, and is not typed. Prints what the
terminal showed, then a line `ended CODE echo on|off`."""
import json, os, pty, select, signal, subprocess, sys, termios, time

dialogue, command = json.loads(sys.argv[1]), sys.argv[2:]
master, slave = pty.openpty()
child = os.fork()
if child == 0:
    os.setsid()
    import fcntl
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.closerange(3, 100)
    os.execvp(command[0], command)

shown, seen, deadline = b"", 0, time.monotonic() + 120


def read():
    global shown
    ready, _, _ = select.select([master], [], [], 0.1)
    if ready:
        try:
            shown += os.read(master, 65536)
        except OSError:
            pass
    if time.monotonic() > deadline:
        os.kill(child, signal.SIGKILL)
        print(shown.decode(errors="replace"))
        print("in vain:", waited)
        sys.exit(1)


def ended():
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


code = None
for waited, typed in dialogue:
    while waited.encode() not in shown[seen:]:
        read()
        code = ended()
        if code is not None:
            break
    if code is not None:
        break
    seen = shown.index(waited.encode(), seen) + len(waited)
    if typed.startswith("!"):
        subprocess.run(typed[1:], shell=True, stdin=subprocess.DEVNULL, timeout=100)
        continue
    keys = {"^C": b"\x03", "^D": b"\x04"}
    os.write(master, keys.get(typed, typed.encode() + b"\n"))
waited = "its end"
while code is None:
    read()
    code = ended()
read()
echo = termios.tcgetattr(slave)[3] & termios.ECHO
print(shown.decode(errors="replace"))
print(f"ended {code} echo {'on' if echo else 'off'}")
