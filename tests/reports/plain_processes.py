# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports about plain processes and services of systemd."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from containers import READY
from host import (
    COUNTER,
    NotHereError,
    changed,
    command,
    daemon,
    failed,
    goes_on,
    kill,
    number_in,
    processes,
    refused,
    report,
    run_task,
    service,
    until,
)
from world import FOLDER

CHECKPOINT, RESTORE = "process_checkpoint", "process_restore"
IMAGES = str(FOLDER / "images")


def file_of(name: str) -> Path:
    return FOLDER / name


def runs(name: str, least: int = 1) -> list[str]:
    """Return what is wrong with a process that should run on from a count."""
    return goes_on(lambda: number_in(file_of(name)), least, f"process {name}")


def there_and_back(name: str, pid: int, **options: object) -> list[str]:
    """Checkpoint and restore a process; return what is wrong."""
    seen = number_in(file_of(name))
    found = changed(CHECKPOINT, pid=pid, images_path=IMAGES, **options)
    found += [f"it runs on after the checkpoint: {processes(f'report-{name}')}"] if processes(f"report-{name}") else []
    return found + changed(RESTORE, images_path=IMAGES, **options) + runs(name, seen)


def ran_on(name: str, reason: str, *words: str, pid: int, **options: object) -> list[str]:
    """Return what is wrong with a process that should be refused, and should run on."""
    return failed(run_task(CHECKPOINT, pid=pid, images_path=IMAGES, **options), reason, *words) + runs(name)


@report("basic")
def a_daemon_comes_back_and_both_tasks_know_it() -> list[str]:
    return there_and_back("basic", daemon("basic"))


@report("two programs of one interpreter")
def images_of_a_stopped_program_are_not_replaced_by_another() -> list[str]:
    first = daemon("first")
    seen = number_in(file_of("first"))
    found = changed(CHECKPOINT, pid=first, images_path=IMAGES)
    second = daemon("second", COUNTER + "# another program\n")
    found += refused(CHECKPOINT, "images_mismatch", pid=second, images_path=IMAGES) + runs("second")
    return found + changed(RESTORE, images_path=IMAGES) + runs("first", seen)


@report("checkpoint-restore/criu#232, #593: a background job without a terminal")
def a_job_of_a_shell_without_a_terminal_comes_back() -> list[str]:
    file, pids = file_of("job"), FOLDER / "pid"
    script = FOLDER / "job.py"
    script.write_text(COUNTER)
    shell = (
        f"nohup python3 -IS {script} {file} report-job >/dev/null 2>&1 </dev/null & echo $! > {pids}; exec sleep 7777"
    )
    null = subprocess.DEVNULL
    subprocess.Popen(["setsid", "bash", "-c", shell, "report-shell"], stdin=null, stdout=null, stderr=null, cwd="/")
    until("the job", lambda: number_in(file))
    pid = int(pids.read_text())
    found = refused(CHECKPOINT, "shell_job_needed", "shell_job", pid=pid, images_path=IMAGES) + runs("job")
    seen = number_in(file)
    found += changed(CHECKPOINT, pid=pid, images_path=IMAGES, shell_job=True)
    for one in processes("7777"):
        kill(one)
    return found + changed(RESTORE, images_path=IMAGES, shell_job=True) + runs("job", seen)


@report("checkpoint-restore/criu#796: a stream connection to a service outside")
def a_connection_named_as_advised_can_be_restored() -> list[str]:
    path = FOLDER / "sock"
    server = """
import socket, sys
s = socket.socket(1)
s.bind(sys.argv[3])
s.listen(9)
open(sys.argv[1], "w").write("1")
accepted = []
while True:
    accepted.append(s.accept())
"""
    daemon("server", server, str(path))
    client = "import socket, sys, time\ns = socket.socket(1)\ns.connect(sys.argv[3])" + READY
    pid = daemon("client", client, str(path))
    result = run_task(CHECKPOINT, pid=pid, images_path=IMAGES)
    found = failed(result, "external_needed", "unix[") + runs("client")
    inode = os.readlink(next(str(one) for one in Path(f"/proc/{pid}/fd").iterdir() if "socket" in os.readlink(one)))
    name = f"unix[{inode.partition('[')[2]}"
    seen = number_in(file_of("client"))
    found += changed(CHECKPOINT, pid=pid, images_path=IMAGES, external=[name])
    return found + changed(RESTORE, images_path=IMAGES, external=[name]) + runs("client", seen)


LOCK = "import fcntl, sys, time\nf = open(sys.argv[3], 'w')\nfcntl.flock(f, 2)" + READY


def locks(path: Path) -> int:
    """Return how many locks there are on a file."""
    inode = f":{path.stat().st_ino} "
    return sum(inode in line for line in Path("/proc/locks").read_text().splitlines())


@report("two instances may write one file")
def a_lock_comes_back_without_being_asked_for() -> list[str]:
    file = FOLDER / "locked"
    pid = daemon("lock", LOCK, str(file))
    found = ran_on("lock", "file_locks_needed", "file_locks", pid=pid)
    found += changed(CHECKPOINT, pid=pid, images_path=IMAGES, file_locks=True)
    found += changed(RESTORE, images_path=IMAGES) + runs("lock")
    return found + ([] if locks(file) == 1 else [f"{locks(file)} locks are held after the restore"])


@report("a lock held by another at the restore")
def a_lock_that_somebody_holds_ends_the_restore_at_once() -> list[str]:
    file = FOLDER / "locked"
    pid = daemon("lock", LOCK, str(file))
    found = changed(CHECKPOINT, pid=pid, images_path=IMAGES, file_locks=True)
    daemon("holder", LOCK, str(file))
    return found + refused(RESTORE, "file_lock_held", "python3", images_path=IMAGES)


@report("prog | tee")
def output_to_a_pipe_of_another_process_is_refused() -> list[str]:
    file = file_of("piped")
    script = FOLDER / "piped.py"
    script.write_text(
        "import sys, time" + READY.replace("time.sleep(0.05)", "time.sleep(0.05)\n    print(n, flush=True)")
    )
    shell = f"setsid python3 -IS {script} {file} report-piped | cat > /dev/null"
    subprocess.Popen(["bash", "-c", shell], stdin=subprocess.DEVNULL, cwd="/")
    until("the program", lambda: number_in(file))
    pid = next(
        one
        for one in processes("report-piped")
        if os.path.basename(os.readlink(f"/proc/{one}/exe")).startswith("python")
    )
    return refused(CHECKPOINT, "pipe_outside", "cat", pid=pid, images_path=IMAGES) + runs("piped")


@report("checkpoint-restore/criu#2190, #807: the parent does not reap")
def a_parent_that_does_not_reap_is_named() -> list[str]:
    file, script = file_of("child"), FOLDER / "child.py"
    script.write_text(COUNTER)
    parent = """
import subprocess, sys, time
argv = ["setsid", "python3", "-IS", sys.argv[3], sys.argv[4], "report-child"]
p = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
open(sys.argv[1], "w").write("1")
time.sleep(9999)
"""
    daemon("parent", parent, str(script), str(file))
    until("the child", lambda: number_in(file))
    pid = next(one for one in processes("report-child"))
    found = changed(CHECKPOINT, pid=pid, images_path=IMAGES)
    return found + refused(RESTORE, "pid_in_use", "parent", images_path=IMAGES)


@report("traced by another: checkpoint-restore/criu#1753")
def a_traced_process_names_its_tracer() -> list[str]:
    pid = daemon("traced")
    tracer = "import ctypes, sys, time\nctypes.CDLL(None).ptrace(0x4206, int(sys.argv[3]), 0, 0)" + READY
    daemon("tracer", tracer, str(pid))
    return refused(CHECKPOINT, "process_traced", "python3", pid=pid, images_path=IMAGES)


@report("checkpoint-restore/criu#428, #2173: System V shared memory")
def memory_of_system_v_is_refused_beforehand() -> list[str]:
    program = (
        "import ctypes, sys, time\nc = ctypes.CDLL(None)\nc.shmat.restype = ctypes.c_void_p\n"
        "c.shmat(c.shmget(0, 4096, 0o1600), None, 0)" + READY
    )
    pid = daemon("sysv", program)
    return refused(CHECKPOINT, "sysv_memory", pid=pid, images_path=IMAGES) + runs("sysv")


@report("checkpoint-restore/criu#202, #2543")
def a_large_deleted_file_is_refused_beforehand() -> list[str]:
    program = (
        "import os, sys, time\nf = open(sys.argv[3], 'wb')\nf.write(bytes(2 << 20))\nf.flush()\nos.unlink(sys.argv[3])"
        + READY
    )
    pid = daemon("ghost", program, str(FOLDER / "big"))
    found = refused(CHECKPOINT, "ghost_limit", "ghost-limit", pid=pid, images_path=IMAGES) + runs("ghost")
    Path("/etc/criu/default.conf").write_text("ghost-limit 8M\n")
    return found + there_and_back("ghost", pid)


@report("checkpoint-restore/criu#1972, #1756, #2367, #650")
def a_file_that_changed_is_named_and_the_images_are_kept() -> list[str]:
    data = FOLDER / "data"
    data.write_text("x" * 100)
    program = "import sys, time\nf = open(sys.argv[3])\nf.read(3)" + READY
    pid = daemon("files", program, str(data))
    found = changed(CHECKPOINT, pid=pid, images_path=IMAGES)
    data.rename(FOLDER / "kept")
    data.write_text("y" * 10)
    found += refused(RESTORE, "files_changed", "data", images_path=IMAGES)
    (FOLDER / "kept").rename(data)
    return found + changed(RESTORE, images_path=IMAGES) + runs("files")


@report("SIGSTOP")
def a_stopped_process_goes_on_when_it_is_continued() -> list[str]:
    pid = daemon("stopped")
    kill(pid, signal.SIGSTOP)
    found = changed(CHECKPOINT, pid=pid, images_path=IMAGES) + changed(RESTORE, images_path=IMAGES)
    kill(pid, signal.SIGCONT)
    return found + runs("stopped")


@report("checkpoint-restore/criu#457, #1773, #983")
def an_established_connection_goes_on() -> list[str]:
    port = str(20000 + os.getpid() % 10000)
    server = """
import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[3])))
open(sys.argv[1], "w").write("1")
c = s.accept()[0]
n = 1
while True:
    if c.recv(1):
        n += 1
        open(sys.argv[1], "w").write(str(n))
    else:
        time.sleep(1)
"""
    client = """
import socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
open(sys.argv[1], "w").write("1")
while True:
    s.send(b"x")
    time.sleep(0.05)
"""
    pid = daemon("tcp", server, port)
    daemon("client", client, port)
    until("the connection", lambda: number_in(file_of("tcp")) > 3)
    found = ran_on("tcp", "tcp_established_needed", "tcp_established", pid=pid)
    return found + there_and_back("tcp", pid, tcp_established=True)


@report("a port taken at the restore: checkpoint-restore/criu#796")
def a_port_that_is_taken_is_named() -> list[str]:
    port = str(20000 + (os.getpid() + 7) % 10000)
    server = "import socket, sys, time\ns = socket.create_server(('127.0.0.1', int(sys.argv[3])))" + READY
    pid = daemon("port", server, port)
    found = changed(CHECKPOINT, pid=pid, images_path=IMAGES)
    daemon("taker", server, port)
    return found + failed(run_task(RESTORE, images_path=IMAGES), "port_in_use")


KINDS = {
    "inotify": "import ctypes, sys, time\nc = ctypes.CDLL(None)\nc.inotify_add_watch(c.inotify_init(), b'/etc', 2)",
    "memfd": "import os, sys, time\nf = os.memfd_create('x')",
    "epoll": "import select, socket, sys, time\ne = select.epoll()\ns = socket.socketpair()\ne.register(s[0])",
    "datagram": "import socket, sys, time\ns = socket.socketpair(1, socket.SOCK_DGRAM)",
    "netlink": "import socket, sys, time\ns = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\ns.bind((0, 0))",
    "raw": "import socket, sys, time\ns = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "nnp": "import ctypes, sys, time\nctypes.CDLL(None).prctl(38, 1, 0, 0, 0)",
    "name": "import sys, time\nopen('/proc/self/comm', 'w').write('od)d (x')",
    "pipe": "import os, sys, time\np = os.pipe()\nif os.fork() == 0:\n    time.sleep(9999)",
}


@report("inotify, memfd, epoll, datagram, netlink, raw, no_new_privs, odd names, pipes in the tree")
def unusual_descriptors_come_back() -> list[str]:
    found = []
    for name, program in KINDS.items():
        found += [f"{name}: {problem}" for problem in there_and_back(name, daemon(name, program + READY))]
        for pid in processes(f"report-{name}"):
            kill(pid)
        shutil.rmtree(IMAGES)
    return found


@report("a terminal: checkpoint-restore/criu#593")
def a_job_with_a_terminal_needs_shell_job() -> list[str]:
    script, file = FOLDER / "tty.py", file_of("tty")
    script.write_text(COUNTER)
    line = f"python3 -IS {script} {file} report-tty"
    subprocess.Popen(
        ["setsid", "script", "-qec", line, "/dev/null"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/"
    )
    until("the job", lambda: number_in(file))
    pid = next(
        one for one in processes("report-tty") if os.path.basename(os.readlink(f"/proc/{one}/exe")).startswith("python")
    )
    return ran_on("tty", "shell_job_needed", "shell_job", pid=pid)


@report("checkpoint-restore/criu#2225: a word that CRIU does not know")
def a_broken_configuration_is_named() -> list[str]:
    pid = daemon("config")
    Path("/etc/criu/default.conf").write_text("no-such-word\n")
    found = refused(CHECKPOINT, "config_broken", "/etc/criu/default.conf", pid=pid, images_path=IMAGES) + runs("config")
    Path("/etc/criu/default.conf").write_text("help\n")
    return (
        found
        + refused(CHECKPOINT, "config_broken", "/etc/criu/default.conf", pid=pid, images_path=IMAGES)
        + runs("config")
    )


def service_there_and_back(name: str, *settings: str, program: str = COUNTER) -> list[str]:
    """Checkpoint and restore a service; return what is wrong."""
    unit = service(name, *settings, program=program)
    command("systemctl", "start", unit)
    until(f"service {name}", lambda: number_in(file_of(name)))
    seen = number_in(file_of(name))
    found = changed(CHECKPOINT, unit=unit, images_path=IMAGES)
    state = command("systemctl", "is-active", unit, check=False)
    found += [] if state == "inactive" else [f"the unit is {state} after the checkpoint"]
    found += changed(RESTORE, unit=unit, images_path=IMAGES) + runs(name, seen)
    state = command("systemctl", "is-active", unit, check=False)
    return found + ([] if state == "active" else [f"the unit is {state} after the restore"])


@report("services: simple, Restart=always, no new privileges, limits, no output")
def services_come_back() -> list[str]:
    rows = {
        "simple": (),
        "always": ("Restart=always",),
        "nnp": ("NoNewPrivileges=yes",),
        "limits": ("LimitNOFILE=512",),
        "silent": ("StandardOutput=null", "StandardError=null"),
    }
    found = []
    for name, settings in rows.items():
        found += [f"{name}: {problem}" for problem in service_there_and_back(name, *settings)]
        command("systemctl", "stop", f"report-{name}.service")
        shutil.rmtree(IMAGES, ignore_errors=True)
    return found


@report("services: notify with a watchdog")
def a_service_with_a_watchdog_comes_back() -> list[str]:
    program = """
import os, socket, sys, time
address = os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1)
def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s: s.sendto(text, address)
notify(b"READY=1")
n = 0
while True:
    n += 1
    open(sys.argv[1], "w").write(str(n))
    notify(b"WATCHDOG=1")
    time.sleep(0.1)
"""
    return service_there_and_back("watched", "Type=notify", "WatchdogSec=20", program=program)


@report("checkpoint-restore/criu#2576: PrivateTmp, ProtectSystem")
def a_service_with_mounts_of_its_own_is_refused() -> list[str]:
    unit = service("private", "PrivateTmp=yes")
    command("systemctl", "start", unit)
    until("the service", lambda: number_in(file_of("private")))
    found = refused(CHECKPOINT, "mount_namespace", "PrivateTmp", unit=unit, images_path=IMAGES) + runs("private")
    dropped = [str(path) for path in Path("/run/systemd/system").glob("report-private.service.d/*")]
    return found + [f"left over: {path}" for path in dropped]


@report("socket activation")
def a_service_with_an_active_socket_is_refused() -> list[str]:
    path = FOLDER / "activated.sock"
    socket_unit = f"[Socket]\nListenStream={path}\n"
    program = "import socket, sys, time\ns = socket.socket(fileno=3)" + READY
    unit = service("activated", program=program, files={"report-activated.socket": socket_unit})
    command("systemctl", "start", "report-activated.socket", unit)
    until("the service", lambda: number_in(file_of("activated")))
    return refused(CHECKPOINT, "socket_activated", "report-activated.socket", unit=unit, images_path=IMAGES) + runs(
        "activated"
    )


@report("checkpoint-restore/criu#287, #239: a tree of processes")
def a_tree_of_processes_comes_back() -> list[str]:
    program = "import os, sys, time\nfor i in range(40):\n    if os.fork() == 0:\n        time.sleep(9999)" + READY
    pid = daemon("tree", program)
    found = there_and_back("tree", pid)
    left = len(processes("report-tree"))
    return found + ([] if left == 41 else [f"{left} of 41 processes are there"])


@report("checkpoint-restore/criu#1258: output that grew after leave_running")
def output_that_grew_in_append_mode_is_no_failure() -> list[str]:
    program = "import sys, time\nf = open(sys.argv[3], 'a', buffering=1)" + READY.replace(
        "time.sleep(0.05)", "time.sleep(0.05)\n    f.write('x')"
    )
    pid = daemon("append", program, str(FOLDER / "out"))
    found = changed(CHECKPOINT, pid=pid, images_path=IMAGES, leave_running=True)
    time.sleep(0.5)
    kill(pid)
    until("its end", lambda: not processes("report-append"))
    return found + changed(RESTORE, images_path=IMAGES) + runs("append")


@report("checkpoint-restore/criu#2131, #2673, #3070")
def io_uring_is_named_beforehand() -> list[str]:
    # 425 is io_uring_setup; its second argument is a structure of 120 bytes.
    program = (
        "import ctypes, sys, time\nf = ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120))" + READY
    )
    pid = daemon("uring", program)
    if not any("io_uring" in os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()):
        raise NotHereError("this kernel has no io_uring")
    return refused(CHECKPOINT, "io_uring", pid=pid, images_path=IMAGES) + runs("uring")
