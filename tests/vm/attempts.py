"""What an attacker tries in a role's place, as data: each attempt's name, its script, and what undoes it.

A script's exit code is 0 if it could. Each is also run by root outside of the role's unit, where it has to work: an
attempt that fails everywhere shows nothing. Where that would do harm, or root has the right by no other way, `control`
shows that what the attempt is about is there."""

from dataclasses import dataclass

CAMERA = "$(readlink -f /dev/shopcam)"
# The roles' processes, which takeover.py puts in: who sees no others could still guess their ids.
GUARD, AGENT = "GUARD_PID", "AGENT_PID"
BUS = "busctl --timeout=5 call"
SYSTEMD = f"{BUS} org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager"
LOGIND = f"{BUS} org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager"
UNIT = "[Service]\\nExecStart=/bin/sleep 300\\n"
GUARD_SOCKET = "/run/tallybox/guard.sock"


@dataclass(frozen=True)
class Attempt:
    name: str
    script: str
    undo: str = "true"
    # What root runs in its place; the script itself where this is empty.
    control: str = ""


def writes(path):
    """A file that somebody runs as root or as the role later."""
    return Attempt(f"writes {path}", f"mkdir -p {path.rpartition('/')[0]} && printf '{UNIT}' >{path}", f"rm -f {path}")


# To be run by somebody else than the unit that the role is in, now or later.
ELSEWHERE = [
    Attempt(
        "systemd-run", "systemd-run -q --no-ask-password --unit=attack-run /bin/sleep 300", "systemctl stop attack-run"
    ),
    Attempt("systemd-run --scope", "systemd-run -q --no-ask-password --scope --unit=attack-scope /bin/true"),
    Attempt(
        "StartTransientUnit over D-Bus",
        f"{SYSTEMD} StartTransientUnit 'ssa(sv)a(sa(sv))' attack-bus.service replace 1 "
        "ExecStart 'a(sasb)' 1 /bin/sleep 2 sleep 300 false 0",
        "systemctl stop attack-bus",
    ),
    Attempt(
        "its own user manager, by lingering",
        f"{LOGIND} SetUserLinger ubb $(id -u) true false",
        "loginctl disable-linger",
    ),
    Attempt("systemd's private socket", "/rig/connect /run/systemd/private 0"),
    Attempt("D-Bus at all", f"{SYSTEMD} GetUnit s dbus.service"),
    Attempt(
        "at",
        "mkdir -p /var/spool/cron/atjobs && echo 'sleep 300' >/var/spool/cron/atjobs/a0000101",
        "rm -f /var/spool/cron/atjobs/a0000101",
    ),
    *map(
        writes,
        [
            "/var/spool/cron/crontabs/attack",
            "/etc/cron.d/attack",
            "/etc/systemd/system/attack.service",
            "/run/systemd/system/attack.service",
            "/run/systemd/transient/attack.service",
            "/run/systemd/generator/attack.service",
            "/etc/systemd/user/attack.service",
            "/run/udev/rules.d/99-attack.rules",
            "/etc/udev/rules.d/99-attack.rules",
            "/etc/tallybox/conf.d/99-attack.toml",
            "/usr/lib/systemd/system/tallybox-capture@.service.d/attack.conf",
            "/etc/ld.so.attack",
            "/var/lib/systemd/linger/attack",
            "/run/user/attack/systemd/user/attack.service",
            "/etc/profile.d/attack.sh",
            "/usr/libexec/attack",
        ],
    ),
    Attempt("the program itself", "exec 3<>/usr/libexec/tallybox-capture"),
    Attempt(
        "its control group",
        "echo $BASHPID >/sys/fs/cgroup/system.slice/cgroup.procs",
        control="test -w /sys/fs/cgroup/system.slice/cgroup.procs",
    ),
    Attempt("a control group of its own", "mkdir /sys/fs/cgroup/attack", "rmdir /sys/fs/cgroup/attack"),
    Attempt("a user namespace", "unshare -U true"),
    Attempt("a mount namespace", "unshare -m true"),
    Attempt("another's namespaces", "nsenter -t 1 -m true"),
    Attempt("sudo", "sudo -n true", control="test -u /usr/bin/sudo"),
    Attempt("core_pattern", "exec 3<>/proc/sys/kernel/core_pattern"),
    Attempt("the kernel's settings", "exec 3<>/proc/sys/kernel/printk"),
    Attempt("io_uring", "/rig/attack ring"),
    Attempt("the guard: SIGKILL", f"kill -9 {GUARD}", control=f"kill -0 {GUARD}"),
    Attempt("the guard: SIGSTOP", f"kill -STOP {GUARD}", control=f"kill -0 {GUARD}"),
    Attempt("the guard: ptrace", f"/rig/attack trace {GUARD}"),
    Attempt("the guard: its memory", f"/rig/attack memory {GUARD}"),
    Attempt("the guard: a descriptor of its", f"/rig/attack descriptor {GUARD}"),
    Attempt("the guard: its memory as a file", f"exec 3<>/proc/{GUARD}/mem"),
    Attempt("the guard: its environment", f"cat /proc/{GUARD}/environ"),
    Attempt("the guard: its folder by /proc", f"ls /proc/{GUARD}/root/"),
    Attempt("the ledger", "cat /var/lib/tallybox/ledger.db"),
    Attempt("the ledger's folder", "touch /var/lib/tallybox/attack", "rm -f /var/lib/tallybox/attack"),
    Attempt("the box's key", "cat /var/lib/tallybox/credentials/identity"),
    Attempt("the broker's key", "cat /etc/tallybox/client.key"),
    Attempt("the kernel's log", "dmesg"),
    Attempt("the clock", "date -s \"$(date -Is)\"", control="date"),
    Attempt("a device node of its own", "mknod /tmp/attack-node c 81 0", "rm -f /tmp/attack-node"),
    Attempt("keystrokes", "exec 3<>/dev/uinput"),
    Attempt("the lamp's line", "exec 3<>/dev/gpiochip0"),
]

# What capture hands to others, who keep it when capture is gone. The others are ready: see takeover.py.
HANDED_OVER = [
    Attempt("the camera to another user, abstract socket", f"/rig/attack give stream @accomplice {CAMERA} here"),
    Attempt(
        "the camera to another user, socket in its own folder",
        f"/rig/attack give stream /var/cache/tallybox-capture/open/accomplice {CAMERA} here",
    ),
    Attempt("the camera to the agent", f"/rig/attack give stream @agent {CAMERA} here"),
    Attempt("the camera to systemd's store", f"/rig/attack give dgram /run/systemd/notify {CAMERA} 'FDSTORE=1'"),
    Attempt(
        "the camera into the journal's queue",
        f"/rig/attack give dgram /run/systemd/journal/socket {CAMERA} 'MESSAGE=here'",
    ),
    Attempt("the camera to D-Bus", f"/rig/attack give stream /run/dbus/system_bus_socket {CAMERA} here"),
    Attempt("a socket that others can reach", "timeout 2 /rig/attack take @attack 1"),
    Attempt("a message to the kernel's device manager", "/rig/attack family 16"),
    Attempt(
        "a connection that starts a capture",
        "/rig/connect /run/tallybox-capture.sock 0",
        control="test -S /run/tallybox-capture.sock",
    ),
    Attempt("a word with the guard", f"/rig/connect {GUARD_SOCKET} 0"),
]

# Processes that would outlive capture; each keeps the camera open. The camera's node is the last argument.
SURVIVORS = [
    Attempt("a child", "/rig/attack keep $0 &"),
    Attempt("a child in a session of its own", "setsid -f /rig/attack keep $0"),
    Attempt("a grandchild that nobody waits for", "(setsid sh -c '/rig/attack keep $0 & exit' $0 &)"),
    Attempt("one that was told to survive a hangup", "nohup /rig/attack keep $0 >/dev/null 2>&1 &"),
    Attempt("one under the guard's name", "(exec -a '/usr/bin/tallybox guard' /rig/attack keep $0) &"),
    Attempt("one that holds capture's socket", "/rig/attack keep $0 7<&9 &"),
    Attempt("one that stands still", "/rig/attack keep $0 & sleep 1; kill -STOP $!"),
    Attempt("one that is another process five times a second", "/rig/attack bomb $0 1 200 &"),
    Attempt("one that opens it again and again", "while :; do (exec 3<$0; sleep 1); done &"),
    Attempt(
        "one that opens it once capture is gone",
        "(while kill -0 $MAIN; do sleep 0.5; done; exec /rig/attack keep $0) &",
    ),
]


# How the agent would have a capture started. Judged from outside too: no process of capture's, no device opened, and
# the lamp dark throughout.
def asks(request):
    return f"""/rig/attack ask {GUARD_SOCKET} '{{"call":1,"request":{request}}}'"""


WORKS = asks('{"ask":"status"}')
STARTS = [
    Attempt(
        "connects to the capture socket",
        "/rig/connect /run/tallybox-capture.sock 0",
        control="test -S /run/tallybox-capture.sock",
    ),
    Attempt(
        "the same by the guard's view of the files",
        f"/rig/connect /proc/{GUARD}/root/run/tallybox-capture.sock 0",
        control=f"test -S /proc/{GUARD}/root/run/tallybox-capture.sock",
    ),
    Attempt(
        "removes what hides the socket",
        "umount /run/tallybox-capture.sock",
        control="test -S /run/tallybox-capture.sock",
    ),
    Attempt(
        "systemctl start",
        "systemctl --no-ask-password start tallybox-capture@attack.service",
        control="systemctl is-active tallybox-capture.socket",
    ),
    Attempt(
        "StartUnit over D-Bus",
        f"{SYSTEMD} StartUnit ss tallybox-capture@attack.service replace",
        control=f"{SYSTEMD} GetUnit s tallybox-capture.socket",
    ),
    Attempt(
        "stops the guard",
        "systemctl --no-ask-password stop tallybox-guard",
        control="systemctl is-active tallybox-guard",
    ),
    Attempt(
        "runs capture itself, without the unit",
        "/usr/libexec/tallybox-capture </dev/null",
        control="test -x /usr/libexec/tallybox-capture",
    ),
    Attempt("the camera", f"exec 3<{CAMERA}"),
    Attempt("the microphone", "exec 3</dev/snd/pcmC0D0c"),
    Attempt(
        "the button's pull",
        "echo pull-down >/run/rig/button/pull",
        "echo pull-up >/run/rig/button/pull",
        control="test -w /run/rig/button/pull",
    ),
    Attempt("the installer's request", "touch /var/lib/tallybox/update-request", control="test -w /var/lib/tallybox"),
    Attempt("the eraser's request", "touch /var/lib/tallybox/credentials-erasure", control="test -w /var/lib/tallybox"),
    Attempt("the TPM's helper", "/rig/connect /run/tallybox-sealing.sock 0"),
    *[
        Attempt(f"asks the guard: {name}", asks(request), control=WORKS)
        for name, request in (
            ("start", '{"ask":"start"}'),
            ("grant", '{"ask":"grant"}'),
            ("launch", '{"ask":"launch","grant":{}}'),
            ("the button", '{"ask":"button","down":true}'),
            ("the button is let go", '{"ask":"button","down":false}'),
            ("the mute button", '{"ask":"mute-button","down":true}'),
            ("a probe", '{"ask":"probe"}'),
            ("an update now", '{"ask":"update-now","version":"9"}'),
            ("postpone updates", '{"ask":"update-postpone","hours":168}'),
            ("credentials are erased", '{"ask":"credentials-erased","deleted":[],"failed":[]}'),
            ("an unsigned command", '{"ask":"command","verb":"unbind","payload":"{}"}'),
            ("an unsigned policy", '{"ask":"policy","note":"{}"}'),
            ("an unsigned configuration", '{"ask":"desired","note":"{}"}'),
            ("two requests in one", '{"ask":"identify","and":{"ask":"start"}}'),
        )
    ],
]

# What a user of the machine who is none of the box's would reach. Read-only paths that anybody may read are not here.
LOCAL_USER = [
    *[
        Attempt(f"connects to {path}", f"/rig/connect {path} 0", control=f"test -S {path}")
        for path in ("/run/tallybox-capture.sock", "/run/tallybox-sealing.sock", GUARD_SOCKET)
    ],
    *[
        Attempt(f"reads {path}", f"cat {path}")
        for path in (
            "/etc/tallybox/tallybox.toml",
            "/etc/tallybox/client.key",
            "/var/lib/tallybox/ledger.db",
            "/var/lib/tallybox/credentials/identity",
            "/run/credentials/tallybox-agent.service/MQTT_KEY",
        )
    ],
    *[
        Attempt(f"lists {path}", f"ls {path}")
        for path in (
            "/etc/tallybox",
            "/var/lib/tallybox",
            "/var/lib/tallybox/agent",
            "/var/lib/tallybox/footage",
            "/run/credentials/tallybox-agent.service",
        )
    ],
    *[
        Attempt(f"{name} of the {role}", f"{command} /proc/{pid}/{file}")
        for role, pid in (("guard", GUARD), ("agent", AGENT))
        for name, command, file in (
            ("environment", "cat", "environ"),
            ("descriptors", "ls", "fd/"),
            ("memory map", "cat", "maps"),
        )
    ],
    *[
        Attempt(f"{how} on the {role}", f"/rig/attack {how} {pid}")
        for role, pid in (("guard", GUARD), ("agent", AGENT))
        for how in ("trace", "memory", "descriptor")
    ],
    *[
        Attempt(
            f"{verb} the {role}",
            f"systemctl --no-ask-password {verb} tallybox-{role}",
            control=f"systemctl is-active tallybox-{role}",
        )
        for role in ("guard", "agent")
        for verb in ("stop", "restart", "kill", "mask")
    ],
    Attempt(
        "a property of the guard's unit",
        f"{BUS} org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/tallybox_2dguard_2eservice "
        "org.freedesktop.systemd1.Unit SetProperties 'ba(sv)' true 1 CPUWeight t 1",
        control="systemctl is-active tallybox-guard",
    ),
    Attempt("the whole journal", "journalctl -q -u tallybox-guard -n 1 -o cat | grep -q ."),
    Attempt("tallybox status", "tallybox status"),
    Attempt("tallybox ledger show", "tallybox ledger show"),
    Attempt("tallybox press", "tallybox press", control="test -x /usr/bin/tallybox"),
]
