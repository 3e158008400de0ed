# SPDX-License-Identifier: GPL-3.0-or-later
"""Run plain processes to dump, and observe them for the tests, without the modules under test.

plain.py start NAME count|server|client|job|family [ARGUMENT]    start a process; write its pid to NAME.pid
plain.py run NAME count [ARGUMENT]                        the same in the foreground, for a service
plain.py occupy PID                                       start a sleeping process with this id
plain.py observe NAME [PID]                               JSON: pid, threads with labels, counters, locks, session
plain.py end NAME...                                      kill these processes
"""

import json
import os
import sys

FOLDER = "/var/lib/lab/plain"
TERMINAL = "/run/lab-terminal"
# This program, in a file whose label makes it start in a different domain
OTHER = "/usr/local/bin/lab-other-domain"
CLONE3 = 435


def path(name, kind):
    return os.path.join(FOLDER, f"{name}.{kind}")


def write(name, kind, text):
    """Replace a file in one rename, so that a reader gets either the old or the new text."""
    part = path(name, f"{kind}.part")
    with open(part, "w", encoding="utf-8") as out:
        out.write(text)
    os.replace(part, path(name, kind))


def read(file):
    with open(file, encoding="utf-8", errors="replace") as handle:
        return handle.read()


def tick(name, number):
    import time  # imported where it is needed: on an emulated machine, each import takes noticeable time

    value = 0
    while True:
        value += 1
        write(name, f"count-{number}", str(value))
        time.sleep(0.5)


def count(name, lock=None):
    """Count in four threads, and hold a lock."""
    import fcntl
    import threading

    held = None
    if lock:
        held = open(path(name, "lock"), "a+", encoding="utf-8")  # noqa: SIM115
        fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for number in range(1, 4):
        threading.Thread(target=tick, args=(name, number), daemon=True).start()
    tick(name, 0)


def server(name, port):
    """Answer each number with the same number."""
    import socket

    listening = socket.create_server(("127.0.0.1", int(port)))
    write(name, "ready", "yes")
    connection, dummy_address = listening.accept()
    while True:
        connection.sendall(connection.recv(16))


def client(name, port):
    """Send numbers over one connection; end if an answer is wrong."""
    import socket
    import time

    connection = socket.create_connection(("127.0.0.1", int(port)))
    local = connection.getsockname()[1]
    value = 0
    while True:
        value += 1
        connection.sendall(b"%016d" % value)
        answer = b""
        while len(answer) < 16:
            answer += connection.recv(16 - len(answer))
        assert int(answer) == value
        write(name, "count-0", f"{value}")
        write(name, "port", f"{local}")
        time.sleep(0.5)


def job(name, dummy_argument=None):
    """Run a job of a shell: the shell owns the session and the terminal, and is not part of the dump.

    The terminals outlive the job; the second one is for its restore.
    """
    import fcntl
    import pty
    import select
    import signal
    import termios

    (master, slave), (waiting, free) = pty.openpty(), pty.openpty()
    if os.path.lexists(TERMINAL):
        os.unlink(TERMINAL)
    os.symlink(os.ttyname(free), TERMINAL)
    if os.fork():
        while True:
            for ready in select.select([master, waiting], [], [])[0]:
                os.read(ready, 4096)
    os.close(waiting)
    os.close(free)
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if child:
        os.setpgid(child, child)
        os.waitpid(child, 0)
        signal.pause()
    os.setpgid(0, 0)
    for descriptor in range(3):
        os.dup2(slave, descriptor)
    os.close(master)
    os.close(slave)
    write(name, "pid", str(os.getpid()))
    tick(name, 0)


def family(name, domain):
    """Count, with a child in a different domain that counts as well."""
    if os.fork():
        tick(name, 0)
    os.execvp("runcon", ["runcon", "-t", domain, OTHER, "run", f"{name}-child", "count"])


KINDS = {"count": count, "server": server, "client": client, "job": job, "family": family}


def start(name, kind, *arguments):
    """Start a process in a session of its own, without open files of the caller."""
    os.makedirs(FOLDER, exist_ok=True)
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.closerange(3, 64)
    if kind != "job":
        write(name, "pid", str(os.getpid()))
    KINDS[kind](name, *arguments)


def occupy(pid):
    """Start a child with exactly this id, by clone3 with set_tid."""
    import ctypes
    import signal
    import struct

    wanted = ctypes.c_int(int(pid))
    data = struct.pack("<11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1, 0)
    got = ctypes.CDLL(None, use_errno=True).syscall(CLONE3, data, len(data))
    if got == 0:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.execv("/usr/bin/sleep", ["sleep", "600"])
    if got < 0:
        sys.exit(f"clone3: {os.strerror(ctypes.get_errno())}")


def observe(name, pid=None):
    pid = int(pid or read(path(name, "pid")))
    seen = {"pid": pid, "alive": os.path.isdir(f"/proc/{pid}"), "threads": [], "counters": {}}
    if seen["alive"]:
        for tid in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
            label = read(f"/proc/{pid}/task/{tid}/attr/current").strip("\0\n")
            seen["threads"].append({"tid": int(tid), "label": label})
        seen["session"] = os.getsid(pid)
        seen["cgroup"] = read(f"/proc/{pid}/cgroup").strip().rpartition("::")[2]
        seen["files"] = [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]
        seen["locks"] = len([line for line in read("/proc/locks").splitlines() if f" {pid} " in line])
    for number in range(4):
        if os.path.exists(path(name, f"count-{number}")):
            seen["counters"][str(number)] = int(read(path(name, f"count-{number}")) or 0)
    if os.path.exists(path(name, "port")):
        seen["port"] = int(read(path(name, "port")) or 0)
    print(json.dumps(seen))


def end(*names):
    for name in names:
        try:
            os.kill(int(read(path(name, "pid"))), 9)
        except (OSError, ValueError):
            pass


def run(name, kind, *arguments):
    os.makedirs(FOLDER, exist_ok=True)
    write(name, "pid", str(os.getpid()))
    print("counting", flush=True)
    KINDS[kind](name, *arguments)


if __name__ == "__main__":
    {"start": start, "run": run, "occupy": occupy, "observe": observe, "end": end}[sys.argv[1]](*sys.argv[2:])
