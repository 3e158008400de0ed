# SPDX-License-Identifier: GPL-3.0-or-later
"""What is dumped and restored while a rule is switched off: containers, processes, and what users do.

Runs on the machine. A case raises Failed, or returns the denials that were logged meanwhile.
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
SECONDS = 120
AUDIT = "/var/log/audit/audit.log"
DENIAL = re.compile(
    r"avc:\s+denied\s+\{ (?P<permissions>[\w ]+) \}.*\bscontext=\w+:\w+:(?P<source>\w+)\S*"
    r" tcontext=\w+:\w+:(?P<target>\w+)\S* tclass=(?P<class>\w+)"
)
NUMBERS = itertools.count(time.time_ns())

DESCRIPTORS = ["python3", "/app/descriptors.py"]
THREADS = ["python3", "/app/threads.py", "--interval", "0.2"]


def redis(port):
    return ["redis-server", "--save", "", "--port", port]


# name -> started by, runtime, network, command, port of redis; the cheapest case first
CONTAINERS = {
    "shell-threads-runc": ("shell", "runc", "none", THREADS, None),
    "unit-threads-runc": ("unit", "runc", "none", THREADS, None),
    "unit-threads-crun": ("unit", "crun", "none", THREADS, None),
    "unit-descriptors-runc": ("unit", "runc", "host", DESCRIPTORS, None),
    "shell-descriptors-crun": ("shell", "crun", "podman", DESCRIPTORS, None),
    "unit-descriptors-crun": ("unit", "crun", "podman", DESCRIPTORS, None),
    "shell-redis-crun": ("shell", "crun", "host", redis("6502"), "6502"),
    "unit-redis-runc": ("unit", "runc", "host", redis("6501"), "6501"),
}
# name -> started by, runtime, network: a container that is started, and removed again
STARTS = {"start-unit": ("unit", "crun", "podman"), "start-shell": ("shell", "runc", "none")}
PROCESSES = {"process-shell": "shell", "process-unit": "unit"}
USERS = {"user-unconfined": "lab-member", "user-confined": "lab-confined"}


class Failed(Exception):
    """A case failed; the text is the line that says why."""


def call(argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        subprocess.run(["pkill", "-9", "-x", "criu"], check=False)
        raise Failed(f"{' '.join(argv[:6])}: no end after {SECONDS} s") from error


def require(argv, way="shell"):
    """Run it in this shell or by systemd, in a unit that stays: systemd ends what others leave behind, conmon too."""
    unit = f"rules-{next(NUMBERS)}"
    by = ["systemd-run", "--quiet", "--service-type=oneshot", "--remain-after-exit", f"--unit={unit}"]
    done = call([*(by if way == "unit" else []), *argv])
    if done.returncode:
        said = done.stderr + done.stdout
        if way == "unit":
            said += call(["journalctl", "--unit", unit, "--output=cat", "--lines=6"]).stdout
        lines = [line for line in said.splitlines() if line.startswith("Error: ")] or said.splitlines() or ["no word"]
        raise Failed(f"{' '.join(argv[:6])}: {lines[-1].strip()}")
    return done.stdout


def switch(values):
    """Give booleans their values, all at once."""
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
def lent(boolean):
    switch({boolean: True})
    try:
        yield
    finally:
        switch({boolean: False})


def denials(place):
    """The denials since then, as dictionaries."""
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


def pid_of(name):
    status, pid = require(["podman", "container", "inspect", "-f", "{{.State.Status}} {{.State.Pid}}", name]).split()
    if status != "running":
        raise Failed(f"{name} is {status}")
    return int(pid)


def count(name, pid):
    if CONTAINERS[name][4]:
        with open(f"{HERE}/{name}.log", encoding="utf-8") as handle:
            line = handle.read().splitlines()[-1]
        if not line.startswith("count "):
            raise Failed(f"the client of redis says: {line}")
        return int(line.split()[1])
    with open(f"/proc/{pid}/root/app/state/thread-0", encoding="utf-8") as handle:
        return int(handle.read().split()[2])


def wait_for_more(name, pid, counted):
    for _ in range(100):
        time.sleep(0.2)
        try:
            if count(name, pid) > counted:
                return
        except (IndexError, FileNotFoundError):
            continue
    raise Failed("it does not go on")


def remove(name):
    call(["podman", "rm", "--force", "--ignore", "--time", "0", name])


def start(name):
    """Start the container anew, and its client."""
    way, runtime, network, command, port = CONTAINERS[name]
    remove(name)
    run = ["podman", "--runtime", runtime, "run", "-d", "--name", name, "--network", network, "lab-workload", *command]
    require(run, way)
    if port:
        call(["systemctl", "stop", f"client-{name}"])
        client = ["systemd-run", "--quiet", "--collect", f"--unit=client-{name}", "python3", f"{HERE}/client.py"]
        require([*client, "--port", port, "--log", f"{HERE}/{name}.log"])
    wait_for_more(name, pid_of(name), 1)


def podman(name, action):
    """`podman container checkpoint` or `restore`; a failure is told by CRIU's first error."""
    way, runtime, _, _, port = CONTAINERS[name]
    began = time.time()
    with lent(RESTORE):
        try:
            flags = ["--tcp-established"] if port else []
            require(["podman", "--runtime", runtime, "container", action, *flags, name], way)
        except Failed as error:
            log = "dump.log" if action == "checkpoint" else "restore.log"
            raise Failed(f"{action}: {first_error(log, began) or error}") from error


def first_error(log, began):
    for path in glob.glob(f"/var/lib/containers/storage/overlay-containers/*/userdata/{log}"):
        if os.path.getmtime(path) >= began:
            with open(path, encoding="utf-8", errors="replace") as handle:
                for line in handle:
                    if "Error (" in line:
                        return line.strip()
    return ""


def container_case(name):
    """Dump and restore in place; every thread has its label again, and it works on."""
    pid = pid_of(name)
    before, counted = threads(pid), count(name, pid)
    podman(name, "checkpoint")
    podman(name, "restore")
    pid = pid_of(name)
    after = threads(pid)
    if set(after) != set(before):
        raise Failed(f"labels: {sorted(set(before))} before, {sorted(set(after))} after")
    wait_for_more(name, pid, counted)


def mend(name):
    """Have the container running again with every rule on: go on with the same images, or start it anew."""
    try:
        if call(["podman", "container", "inspect", "-f", "{{.State.Checkpointed}}", name]).stdout.strip() == "true":
            podman(name, "restore")
        pid = pid_of(name)
        wait_for_more(name, pid, count(name, pid))
    except (Failed, OSError):
        start(name)


def start_case(name):
    way, runtime, network = STARTS[name]
    try:
        run = ["podman", "--runtime", runtime, "run", "-d", "--name", name, "--network", network, "lab-workload"]
        require([*run, *THREADS], way)
        pid_of(name)
    finally:
        remove(name)


def process_case(way):
    """A service's process, dumped and restored by criu from a shell or from a unit."""
    folder = f"{HERE}/rules-process"
    subprocess.run(["rm", "-rf", folder], check=True)
    os.makedirs(f"{folder}/images", mode=0o700)
    program = ["python3", f"{HERE}/threads.py", "--interval", "0.2", "--folder", f"{folder}/state"]
    call(["systemctl", "stop", "rules-process"])
    require(["systemd-run", "--quiet", "--collect", "--property=StandardOutput=null", "--unit=rules-process", *program])
    time.sleep(2)
    pid = require(["systemctl", "show", "--property=MainPID", "--value", "rules-process"]).strip()
    label = label_of(f"/proc/{pid}")
    images = ["-D", f"{folder}/images"]
    try:
        with lent(DYNTRANS):
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
        raise Failed(f"the process is gone: {error}") from error
    finally:
        subprocess.run(["pkill", "-9", "-f", f"{HERE}/threads.py"], check=False)
    if after != label:
        raise Failed(f"label: {label} before, {after} after")


def user_case(user):
    """A user's own process, dumped and restored in a login of his own."""
    done = call(["python3", "/usr/local/bin/without_root.py", "login", user])
    try:
        seen = json.loads(done.stdout)
    except ValueError as error:
        raise Failed(f"no answer: {done.stderr[-200:]}") from error
    for action in ("dump", "restore"):
        found = seen.get(action, {"rc": -1, "errors": [], "err": str(seen)[-200:]})
        if found["rc"]:
            raise Failed(f"{action}: {(found['errors'] or [found['err']])[0].strip()}")
    if seen["after"] != seen["before"]:
        raise Failed(f"labels: {seen['before']} before, {seen['after']} after")


def run_case(case):
    """Run it and return the denials."""
    # CRIU keeps what it learned of the kernel, and would not ask again.
    with contextlib.suppress(FileNotFoundError):
        os.unlink("/run/criu.kdat")
    place = os.path.getsize(AUDIT)
    try:
        if case in CONTAINERS:
            container_case(case)
        elif case in STARTS:
            start_case(case)
        elif case in PROCESSES:
            process_case(PROCESSES[case])
        else:
            user_case(USERS[case])
    except OSError as error:
        raise Failed(f"it is gone: {error}") from error
    time.sleep(0.7)  # auditd writes
    return denials(place)


CASES = (*CONTAINERS, *STARTS, *PROCESSES, *USERS)
