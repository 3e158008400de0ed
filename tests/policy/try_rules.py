# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a lab machine whose policy module has each rule behind a boolean of its own: switches one rule off at a time,
dumps and restores until a case fails, and tells which.

try_rules.py PLAN REPORT    PLAN: JSON list of {"rule", "boolean", "cases"}; REPORT: JSON lines, one a rule
"""

import glob
import json
import os
import re
import subprocess
import sys
import time

RESTORE, DYNTRANS = "criu_container_restore", "unconfined_dyntrans_all"
UNIT = ["systemd-run", "--quiet", "--wait", "--service-type=oneshot"]
STAYING_UNIT = ["systemd-run", "--quiet", "--service-type=oneshot", "--remain-after-exit"]
SECONDS = 90
# Permissions that every exec of a program with another label asks for and that nothing depends on.
ASKED_BY_EVERY_EXEC = re.compile(r"denied\s+\{ (noatsecure|siginh|rlimitinh)( noatsecure| siginh| rlimitinh)* \}")
AUDIT = "/var/log/audit/audit.log"
PROCESS_DIR = "/var/lib/lab/rules-process"

DESCRIPTORS = ["python3", "/app/descriptors.py"]
THREADS = ["python3", "/app/threads.py", "--interval", "0.2"]


def redis(port):
    return ["redis-server", "--save", "", "--port", port]


# name -> started by, runtime, network, command, port of redis
CONTAINERS = {
    "unit-descriptors-crun": ("unit", "crun", "podman", DESCRIPTORS, None),
    "unit-descriptors-runc": ("unit", "runc", "host", DESCRIPTORS, None),
    "unit-threads-runc": ("unit", "runc", "none", THREADS, None),
    "unit-threads-crun": ("unit", "crun", "none", THREADS, None),
    "unit-redis-runc": ("unit", "runc", "host", redis("6501"), "6501"),
    "shell-descriptors-crun": ("shell", "crun", "podman", DESCRIPTORS, None),
    "shell-threads-runc": ("shell", "runc", "none", THREADS, None),
    "shell-redis-crun": ("shell", "crun", "host", redis("6502"), "6502"),
}


class Failed(Exception):
    """A case failed; the text is the line that says why."""


def call(argv, timeout=SECONDS):
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        subprocess.run(["pkill", "-9", "-x", "criu"], check=False)
        raise Failed(f"{' '.join(argv)}: no end after {timeout} s") from error


def require(argv):
    done = call(argv)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise Failed(lines[-1] if lines else f"{' '.join(argv)}: exit status {done.returncode}")
    return done.stdout


def boolean(name, value):
    subprocess.run(["setsebool", name, "on" if value else "off"], check=True)


def audit_size():
    return os.path.getsize(AUDIT)


def denials(place):
    with open(AUDIT, encoding="utf-8", errors="replace") as handle:
        handle.seek(place)
        lines = [line.strip() for line in handle if re.match(r"type=(AVC|SELINUX_ERR) ", line)]
    ours = re.compile(r"podman|container|criu|conmon|runc|crun|netavark|unconfined_t|initrc_t|comm=\"nft\"")
    return [line for line in lines if not ASKED_BY_EVERY_EXEC.search(line) and ours.search(line)]


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


def inspect(name):
    state = json.loads(require(["podman", "container", "inspect", name]))[0]["State"]
    if state["Status"] != "running":
        raise Failed(f"{name} is {state['Status']}")
    return state["Pid"]


def count(name, pid):
    if CONTAINERS[name][4]:
        with open(f"/var/lib/lab/{name}.log", encoding="utf-8") as handle:
            line = handle.read().splitlines()[-1]
        if not line.startswith("count "):
            raise Failed(f"the client of redis says: {line}")
        return int(line.split()[1])
    with open(f"/proc/{pid}/root/app/state/thread-0", encoding="utf-8") as handle:
        return int(handle.read().split()[2])


def start(name):
    """Start the container anew, and its client."""
    way, runtime, network, command, port = CONTAINERS[name]
    call(["podman", "rm", "--force", "--ignore", "--time", "0", name])
    run = ["podman", "--runtime", runtime, "run", "-d", "--name", name, "--network", network, "lab-workload", *command]
    require([*(STAYING_UNIT if way == "unit" else []), *run])
    if port:
        call(["systemctl", "stop", f"client-{name}"])
        client = ["systemd-run", "--quiet", "--collect", f"--unit=client-{name}", "python3", "/var/lib/lab/client.py"]
        require([*client, "--port", port, "--log", f"/var/lib/lab/{name}.log"])
    time.sleep(3)
    inspect(name)


def container_case(name):
    """Dump and restore in place; labels, work and silence of the audit log are required."""
    way, runtime, dummy_network, dummy_command, port = CONTAINERS[name]
    place = audit_size()
    pid = inspect(name)
    before, counted = threads(pid), count(name, pid)
    flags = ["--tcp-established"] if port else []
    prefix = UNIT if way == "unit" else []
    boolean(RESTORE, True)
    try:
        for action in ("checkpoint", "restore"):
            try:
                require([*prefix, "podman", "--runtime", runtime, "container", action, *flags, name])
            except Failed as error:
                raise Failed(f"{action}: {first_cause(name, action) or error}") from error
    finally:
        boolean(RESTORE, False)
    time.sleep(1.5)
    pid = inspect(name)
    if threads(pid) != before:
        raise Failed(f"labels: {sorted(set(before))} before, {sorted(set(threads(pid)))} after")
    if count(name, pid) <= counted:
        raise Failed("it does not go on")
    found = denials(place)
    if found:
        raise Failed(f"works, but: {found[0]}")


def first_cause(name, action):
    """CRIU's first error line."""
    log = "dump.log" if action == "checkpoint" else "restore.log"
    for path in glob.glob(f"/var/lib/containers/storage/overlay-containers/*/userdata/{log}"):
        if time.time() - os.path.getmtime(path) < SECONDS:
            with open(path, encoding="utf-8", errors="replace") as handle:
                for line in handle:
                    if "Error (" in line:
                        return line.strip()
    return ""


def process_case(way):
    """A plain process (unit: of a service) dumped and restored by criu from a shell or from a unit."""
    place = audit_size()
    subprocess.run(["rm", "-rf", PROCESS_DIR], check=True)
    os.makedirs(f"{PROCESS_DIR}/images", mode=0o700)
    program = ["python3", "/var/lib/lab/threads.py", "--interval", "0.2", "--folder", f"{PROCESS_DIR}/state"]
    call(["systemctl", "stop", "rules-process"])
    require(["systemd-run", "--quiet", "--collect", "--unit=rules-process", *program])
    time.sleep(3)
    pid = require(["systemctl", "show", "--property=MainPID", "--value", "rules-process"]).strip()
    label = label_of(f"/proc/{pid}")
    prefix = UNIT if way == "unit" else []
    boolean(DYNTRANS, True)
    try:
        common = ["-D", f"{PROCESS_DIR}/images"]
        require([*prefix, "criu", "dump", "-t", pid, *common, "-o", "dump.log"])
        run = STAYING_UNIT if way == "unit" else []
        require([*run, "criu", "restore", *common, "-d", "-o", "restore.log"])
        time.sleep(1)
        after = label_of(f"/proc/{pid}")
    except OSError as error:
        raise Failed(f"the process is gone: {error}") from error
    finally:
        boolean(DYNTRANS, False)
        subprocess.run(["pkill", "-9", "-f", "/var/lib/lab/threads.py"], check=False)
    if after != label:
        raise Failed(f"label: {label} before, {after} after")
    found = denials(place)
    if found:
        raise Failed(f"works, but: {found[0]}")


def run_case(case):
    # CRIU keeps what it learned of the kernel, and would not ask again.
    subprocess.run(["rm", "-f", "/run/criu.kdat"], check=True)
    if case.startswith("process-"):
        process_case(case.split("-")[1])
    else:
        container_case(case)


def try_rule(entry):
    """The first case that fails without the rule; None if all pass."""
    boolean(entry["boolean"], False)
    try:
        for case in entry["cases"]:
            try:
                run_case(case)
            except Failed as error:
                boolean(entry["boolean"], True)
                if case in CONTAINERS:
                    start(case)
                return {"case": case, "why": str(error)}
    finally:
        boolean(entry["boolean"], True)
    return None


def main():
    with open(sys.argv[1], encoding="utf-8") as handle:
        plan = json.load(handle)
    for name in CONTAINERS:
        start(name)
    with open(sys.argv[2], "a", encoding="utf-8") as report:
        for case in [*CONTAINERS, "process-shell", "process-unit"]:
            run_case(case)  # with every rule on, all of them pass
        for entry in plan:
            found = try_rule(entry)
            report.write(json.dumps({**entry, "failed": found}) + "\n")
            report.flush()
    for name in CONTAINERS:
        call(["podman", "rm", "--force", "--ignore", "--time", "0", name])


if __name__ == "__main__":
    main()
