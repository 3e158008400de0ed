# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases that run while a rule is switched off: dumps and restores of containers, processes and users' processes.

Runs on the machine. A case raises Failed, or returns the denials that were logged while it ran.
"""

import contextlib
import glob
import itertools
import json
import os
import re
import subprocess
import time

HERE = "/var/lib/lab"
RESTORE, DYNTRANS = "criu_container_restore", "unconfined_dyntrans_all"
BOOLEANS = "/sys/fs/selinux/booleans"
SECONDS = 60
NULL = subprocess.DEVNULL
AUDIT = "/var/log/audit/audit.log"
DENIAL = re.compile(
    r"avc:\s+denied\s+\{ (?P<permissions>[\w ]+) \}.*\bscontext=\w+:\w+:(?P<source>\w+)\S*"
    r" tcontext=\w+:\w+:(?P<target>\w+)\S* tclass=(?P<class>\w+)"
)
NUMBERS = itertools.count(time.time_ns())

# Slow programs: on an emulated machine, the work of all of them between two cases takes noticeable time.
DESCRIPTORS = ["python3", "/app/descriptors.py", "--interval", "2"]
# Without Podman there is no conmon that reads its error output.
ERRORS_KEPT = ["sh", "-c", f"exec {' '.join(DESCRIPTORS)} 2>/app/state/errors"]
THREADS = ["python3", "/app/threads.py", "--interval", "2"]
# A client of the Unix socket that DESCRIPTORS listens on. It runs in a unit: SELinux gives the connection the client's
# categories, and a container may not use one with all of them.
CLIENT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(30)
    client.connect(sys.argv[1])
    client.sendall(b"x")
    if client.recv(1) != b"x":
        raise SystemExit("no answer through the Unix socket")
"""
# A program that holds a connection which the other side has closed
CLOSED_PROGRAM = """
import socket, time
listening = socket.create_server(("127.0.0.1", 0))
near = socket.create_connection(listening.getsockname())
listening.accept()[0].close()
for count in range(1, 100000):
    if near.recv(1):
        raise SystemExit("it is open")
    with open("/app/state/thread-0", "w") as out:
        print(0, 1, count, file=out)
    time.sleep(2)
"""
CLOSED = ["python3", "-c", CLOSED_PROGRAM]
# A case whose processes are not root's and have higher limits than CRIU in a unit
USER_CASE = "unit-user-crun"
USER_ID, FILES = 65534, 1200000
# The kernel loads these modules when a process requests them; that process may need a rule for it.
MODULES = ["unix_diag", "tcp_diag", "udp_diag", "netlink_diag", "af_packet_diag"]
ROOT = "/var/lib/containers/lab-rules"
PODMAN_DOMAIN = "system_u:system_r:podman_t:s0"


def redis(port):
    return ["redis-server", "--save", "", "--port", port]


# Containers that the OCI runtime starts without Podman, in the domain that Podman gives to the runtime: on an emulated
# machine, Podman takes most of the time. name -> started by, runtime, command, port of Redis (on the host's network);
# the cheapest case first
CONTAINERS = {
    "shell-threads-runc": ("shell", "runc", THREADS, None),
    "unit-threads-crun": ("unit", "crun", THREADS, None),
    "unit-threads-runc": ("unit", "runc", THREADS, None),
    "shell-descriptors-crun": ("shell", "crun", ERRORS_KEPT, None),
    "unit-descriptors-crun": ("unit", "crun", ERRORS_KEPT, None),
    "unit-descriptors-runc": ("unit", "runc", ERRORS_KEPT, None),
    "shell-redis-runc": ("shell", "runc", redis("6502"), "6502"),
    "unit-redis-crun": ("unit", "crun", redis("6501"), "6501"),
    "unit-closed-crun": ("unit", "crun", CLOSED, None),
    USER_CASE: ("unit", "crun", [*THREADS, "--folder", "/app/state"], None),
}
# Containers that Podman starts, dumps, restores and removes. name -> started by, runtime, network
PODMAN = {
    "podman-shell": ("shell", "runc", "podman"),
    "podman-unit": ("unit", "crun", "podman"),
    "podman-unit-runc": ("unit", "runc", "podman"),
}
PROCESSES = {"process-shell": "shell", "process-unit": "unit"}
USERS = {"user-unconfined": "lab-member", "user-confined": "lab-confined"}


class Failed(Exception):
    """A case failed; the text is one line with the reason."""


def call(argv):
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        subprocess.run(["pkill", "-9", "-x", "criu"], check=False)
        raise Failed(f"{' '.join(argv[:6])}: did not end within {SECONDS} s") from error


def require(argv, way="shell", label=""):
    """Run a command in this shell or in a unit; the unit remains active, so that systemd does not end its processes."""
    unit = f"rules-{next(NUMBERS)}"
    by = ["systemd-run", "--quiet", "--service-type=oneshot", "--remain-after-exit", f"--unit={unit}"]
    by += [f"--property=SELinuxContext={label}", "--property=StandardOutput=null"] if label else []
    done = call([*(by if way == "unit" else []), *argv])
    if done.returncode:
        said = done.stderr + done.stdout
        if way == "unit":
            said += call(["journalctl", "--unit", unit, "--output=cat", "--lines=6"]).stdout
        lines = [line for line in said.splitlines() if line.startswith("Error: ")] or said.splitlines() or ["no output"]
        raise Failed(f"{' '.join(argv[:6])}: {lines[-1].strip()}")
    return done.stdout


def switch(values):
    """Set SELinux booleans, all at once."""
    changed = False
    for name, value in values.items():
        with open(f"{BOOLEANS}/{name}", "r+", encoding="ascii") as handle:
            if handle.read().split()[1] != str(int(value)):
                handle.seek(0)
                handle.write(str(int(value)))
                changed = True
    if changed:
        with open("/sys/fs/selinux/commit_pending_bools", "w", encoding="ascii") as handle:
            handle.write("1")


@contextlib.contextmanager
def switched_on(boolean):
    switch({boolean: True})
    try:
        yield
    finally:
        switch({boolean: False})


def denials(place):
    """Return the denials after this place in the audit log, as dictionaries."""
    with open(AUDIT, encoding="utf-8", errors="replace") as handle:
        handle.seek(place)
        found = [(DENIAL.search(line), line.strip()) for line in handle if line.startswith("type=AVC ")]
    return [{**match.groupdict(), "line": line[line.index("avc:") :]} for match, line in found if match]


def label_of(folder):
    with open(f"{folder}/attr/current", encoding="utf-8") as handle:
        return handle.read().strip("\0\n")


def threads(pid):
    space = os.readlink(f"/proc/{pid}/ns/pid")
    found = []
    for task in glob.glob("/proc/[0-9]*/task/[0-9]*"):
        try:
            if os.readlink(f"{task}/ns/pid") == space:
                found.append(label_of(task))
        except OSError:
            continue
    return sorted(found)


def place_of(name, *parts):
    return os.path.join(ROOT, name, *parts)


def write(path, text):
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(text)


def bundle(name, number):
    """Make an OCI bundle like Podman's, from the configuration of a container that Podman started."""
    dummy_way, dummy_program, command, port = CONTAINERS[name]
    with open(f"{ROOT}/config.json", encoding="utf-8") as handle:
        config = json.load(handle)
    kept = [mount for mount in config["mounts"] if mount["type"] != "bind"]
    folders = {"/dev/shm": place_of(name, "shm"), "/app/state": place_of(name, "state")}
    for inside, folder in folders.items():
        kept.append({"destination": inside, "type": "bind", "source": folder, "options": ["bind", "rprivate"]})
    categories = f"s0:c{number},c{number + 500}"
    config.update(root={"path": f"{ROOT}/rootfs"}, mounts=kept, annotations={}, hostname=name)
    config["process"].update(args=command, selinuxLabel=f"system_u:system_r:container_t:{categories}", terminal=False)
    linux = config["linux"]
    linux.update(cgroupsPath=f"/lab-{name}", mountLabel=f"system_u:object_r:container_file_t:{categories}")
    # runc does not restore the loopback interface of a container without a network.
    if port or name == "unit-descriptors-runc":
        linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "network"]
        linux.pop("sysctl", None)
    for folder in (*folders.values(), place_of(name, "log")):
        os.makedirs(folder, exist_ok=True)
    if name == USER_CASE:
        config["process"]["user"] = {"uid": USER_ID, "gid": USER_ID, "additionalGids": [USER_ID]}
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": FILES}]
        os.chown(place_of(name, "state"), USER_ID, USER_ID)
    write(place_of(name, "config.json"), json.dumps(config))
    require(["chcon", f"system_u:object_r:container_file_t:{categories}", *folders.values()])


def make_bundles():
    """Make the common root file system and a bundle for each case."""
    if not os.path.exists(f"{ROOT}/config.json"):
        name = "rules-pattern"
        call(["podman", "rm", "--force", "--ignore", "--time", "0", name])
        require(["podman", "run", "-d", "--name", name, "--network", "none", "lab-workload", *THREADS])
        found = require(["podman", "container", "inspect", "-f", "{{.Id}}", name]).strip()
        os.makedirs(f"{ROOT}/rootfs", exist_ok=True)
        require(["tar", "-C", f"{ROOT}/rootfs", "-xf", f"{HERE}/workload.tar"])
        os.makedirs(f"{ROOT}/rootfs/app/state", exist_ok=True)
        require(["chcon", "-R", "system_u:object_r:container_file_t:s0", f"{ROOT}/rootfs"])
        with open(
            f"/var/lib/containers/storage/overlay-containers/{found}/userdata/config.json", encoding="utf-8"
        ) as made:
            write(f"{ROOT}/config.json", made.read())
        call(["podman", "rm", "--force", "--time", "0", name])
    # The root must be a mount, as Podman's overlay is one: runc makes the mount below it private. os.path.ismount does
    # not detect such a mount.
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        if not any(line.split()[4] == f"{ROOT}/rootfs" for line in mounts):
            require(["mount", "--bind", "--make-private", f"{ROOT}/rootfs", f"{ROOT}/rootfs"])
    for number, name in enumerate(CONTAINERS, 1):
        bundle(name, number)


def runtime(name, action, *arguments):
    way, program, command, port = CONTAINERS[name]
    flags = ["--tcp-established"] if (port or command is CLOSED) and action != "run" else []
    argv = [f"/usr/{'sbin' if program == 'runc' else 'bin'}/{program}", "--log", place_of(name, "log/runtime.log")]
    argv += [action, *flags, *arguments]
    if way == "unit":
        require(argv, way, PODMAN_DOMAIN)
    # A pipe of this shell would have all categories, so the container could not use it.
    elif subprocess.run(argv, stdin=NULL, stdout=NULL, stderr=NULL, timeout=SECONDS, check=False).returncode:
        raise Failed(" ".join(argv[3:5]))


def delete(name):
    call([CONTAINERS[name][1], "delete", "--force", name])


def pid_of(name):
    try:
        with open(place_of(name, "pid"), encoding="ascii") as handle:
            pid = int(handle.read())
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as handle:
            if f"/lab-{name}" in handle.read():
                return pid
    except (OSError, ValueError):
        pass
    raise Failed(f"{name} is not running")


def runs(name):
    try:
        return bool(pid_of(name))
    except Failed:
        return False


def count(name):
    if CONTAINERS[name][3]:
        with open(f"{HERE}/{name}.log", encoding="utf-8") as handle:
            line = handle.read().splitlines()[-1]
        if not line.startswith("count "):
            raise Failed(f"the Redis client reports: {line}")
        return int(line.split()[1])
    with open(place_of(name, "state/thread-0"), encoding="utf-8") as handle:
        return int(handle.read().split()[2])


def wait_for_more(name, counted):
    # A TCP client that has long had no answer waits as long again before it sends the next packet.
    for dummy in range(450):
        time.sleep(0.2)
        try:
            if count(name) > counted:
                return
        except (IndexError, FileNotFoundError):
            continue
    raise Failed("it does not continue to count")


def start(name):
    """Start a new container, and its client."""
    port = CONTAINERS[name][3]
    delete(name)
    subprocess.run(["rm", "-rf", place_of(name, "images"), place_of(name, "state/thread-0")], check=True)
    runtime(name, "run", "--detach", "--bundle", place_of(name), "--pid-file", place_of(name, "pid"), name)
    if port:
        call(["systemctl", "stop", f"client-{name}"])
        client = ["systemd-run", "--quiet", "--collect", f"--unit=client-{name}", "python3", f"{HERE}/client.py"]
        require([*client, "--port", port, "--interval", "1", "--log", f"{HERE}/{name}.log"])
    pid_of(name)
    wait_for_more(name, 0)


def dump(name):
    subprocess.run(["rm", "-rf", place_of(name, "images")], check=True)
    run(name, "checkpoint", "--image-path", place_of(name, "images"), "--work-path", place_of(name, "log"), name)
    if runs(name):
        raise Failed("checkpoint: the container is still running")


def restore(name):
    delete(name)
    paths = ["--image-path", place_of(name, "images"), "--work-path", place_of(name, "log")]
    bundle_path = ["--bundle", place_of(name), "--pid-file", place_of(name, "pid")]
    run(name, "restore", "--detach", *bundle_path, *paths, name)


def run(name, action, *arguments):
    """Dump or restore; a failure is reported by CRIU's first error."""
    began = time.time()
    with switched_on(RESTORE):
        try:
            runtime(name, action, *arguments)
        except Failed as error:
            said = first_error(glob.glob(place_of(name, "log", "*.log")), began)
            raise Failed(f"{action}: {said or last_line(place_of(name, 'log/runtime.log')) or error}") from error


def first_error(logs, began):
    for path in logs:
        if os.path.getmtime(path) >= began:
            with open(path, encoding="utf-8", errors="replace") as handle:
                for line in handle:
                    if "Error (" in line and "tables" not in line:  # CRIU searches for iptables, which is not installed
                        return line.strip()
    return ""


def last_line(path):
    with contextlib.suppress(OSError, IndexError), open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read().splitlines()[-1].strip()
    return ""


def container_case(name):
    """Dump and restore a container; check that every thread has its label and that the program continues."""
    before, counted = threads(pid_of(name)), count(name)
    dump(name)
    restore(name)
    after = threads(pid_of(name))
    if set(after) != set(before):
        raise Failed(f"labels: {sorted(set(before))} before, {sorted(set(after))} after")
    wait_for_more(name, counted)
    if CONTAINERS[name][2] is ERRORS_KEPT:
        require(["python3", "-c", CLIENT, place_of(name, "state/echo")], "unit")


def repair(name):
    """Run the container again, with every rule on: restore it from its images, or start a new one."""
    try:
        if not runs(name) and os.path.exists(place_of(name, "images/inventory.img")):
            restore(name)
        pid_of(name)
        wait_for_more(name, count(name))
    except (Failed, OSError):
        start(name)


def podman_case(name):
    """Start, dump, restore and remove a container with Podman."""
    way, program, network = PODMAN[name]
    try:
        run_argv = ["podman", "--runtime", program, "run", "-d", "--name", name, "--network", network, "lab-workload"]
        require([*run_argv, *DESCRIPTORS], way)
        time.sleep(3)
        for action in ("checkpoint", "restore"):
            began = time.time()
            with switched_on(RESTORE):
                try:
                    require(["podman", "--runtime", program, "container", action, name], way)
                except Failed as error:
                    logs = glob.glob("/var/lib/containers/storage/overlay-containers/*/userdata/*.log")
                    raise Failed(f"{action}: {first_error(logs, began) or error}") from error
        status = require(["podman", "container", "inspect", "-f", "{{.State.Status}} {{.ProcessLabel}}", name])
        if not status.startswith("running "):
            raise Failed(f"{name} is {status}")
    finally:
        call(["podman", "rm", "--force", "--ignore", "--time", "0", name])


def process_case(way):
    """Dump and restore the process of a service with criu, from a shell or from a unit."""
    folder = f"{HERE}/rules-process"
    subprocess.run(["rm", "-rf", folder], check=True)
    os.makedirs(f"{folder}/images", mode=0o700)
    program = ["python3", f"{HERE}/threads.py", "--interval", "1", "--folder", f"{folder}/state"]
    call(["systemctl", "stop", "rules-process"])
    require(["systemd-run", "--quiet", "--collect", "--property=StandardOutput=null", "--unit=rules-process", *program])
    time.sleep(2)
    pid = require(["systemctl", "show", "--property=MainPID", "--value", "rules-process"]).strip()
    label = label_of(f"/proc/{pid}")
    images = ["-D", f"{folder}/images"]
    try:
        with switched_on(DYNTRANS):
            for action, *more in (["dump", "-t", pid], ["restore", "-d"]):
                try:
                    require(["criu", action, *more, *images, "-o", f"{action}.log"], way)
                except Failed as error:
                    with open(f"{folder}/images/{action}.log", encoding="utf-8", errors="replace") as handle:
                        errors = [line.strip() for line in handle if "Error (" in line]
                    raise Failed(f"{action}: {errors[0] if errors else error}") from error
        time.sleep(1)
        after = label_of(f"/proc/{pid}")
    except FileNotFoundError as error:
        raise Failed(f"the process has disappeared: {error}") from error
    finally:
        subprocess.run(["pkill", "-9", "-f", f"{HERE}/threads.py"], check=False)
    if after != label:
        raise Failed(f"label: {label} before, {after} after")


def user_case(user):
    """Dump and restore a user's own process in a login session of this user."""
    done = call(["python3", "/usr/local/bin/without_root.py", "login", user])
    try:
        seen = json.loads(done.stdout)
    except ValueError as error:
        raise Failed(f"no JSON in the output: {done.stderr[-200:]}") from error
    for action in ("dump", "restore"):
        found = seen.get(action, {"rc": -1, "errors": [], "err": str(seen)[-200:]})
        if found["rc"]:
            raise Failed(f"{action}: {(found['errors'] or [found['err']])[0].strip()}")
    if seen["after"] != seen["before"]:
        raise Failed(f"labels: {seen['before']} before, {seen['after']} after")


def run_case(case):
    """Run a case; return the denials."""
    # CRIU caches what it learns of the kernel, and would not probe it again.
    with contextlib.suppress(FileNotFoundError):
        os.unlink("/run/criu.kdat")
    call(["modprobe", "--remove", "--quiet", *MODULES, "raw_diag", "inet_diag"])
    if case in USERS:
        call(["modprobe", "--all", *MODULES])  # as the role criu does
    place = os.path.getsize(AUDIT)
    try:
        if case in CONTAINERS:
            container_case(case)
        elif case in PODMAN:
            podman_case(case)
        elif case in PROCESSES:
            process_case(PROCESSES[case])
        else:
            user_case(USERS[case])
    except OSError as error:
        raise Failed(f"a file or process has disappeared: {error}") from error
    time.sleep(0.7)  # auditd needs time to write
    return denials(place)


CASES = (*CONTAINERS, *PROCESSES, *USERS, *PODMAN)
