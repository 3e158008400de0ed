# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe a container, a client and the audit log for the tests, without the modules under test.

observe.py container NAME [CLIENT_LOG]    JSON: status, threads with labels, counters, locks, client
observe.py denials SINCE                  JSON: audit records of denials since the Unix time SINCE
"""

import errno
import glob
import json
import os
import re
import subprocess
import sys

# Permissions that every exec of a program with a different label requests and that nothing depends on.
ASKED_BY_EVERY_EXEC = re.compile(r"denied\s+\{ (noatsecure|siginh|rlimitinh)( noatsecure| siginh| rlimitinh)* \}")
# The commands whose denials the tests must see: Podman, its helpers, the workload.
OURS = ("podman", "runc", "crun", "criu", "conmon", "netavark", "aardvark", "python3", "redis", "threads", "nft", "exe")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read()


def namespace_id(status, key):
    return int(re.search(rf"^{key}:.*?(\d+)$", status, re.M).group(1))


def label_of(task):
    """Return the label of a thread; empty if the host has no security module that labels it."""
    try:
        return read(f"{task}/attr/current").strip("\0\n")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return ""


def threads_of(main_pid):
    """Return every thread in the pid namespace of ``main_pid``: its ids in that namespace and its label."""
    space = os.readlink(f"/proc/{main_pid}/ns/pid")
    found = []
    for task in glob.glob("/proc/[0-9]*/task/[0-9]*"):
        try:
            if os.readlink(f"{task}/ns/pid") != space:
                continue
            status = read(f"{task}/status")
            label = label_of(task)
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append({"pid": namespace_id(status, "NStgid"), "tid": namespace_id(status, "NSpid"), "label": label})
    return sorted(found, key=lambda entry: (entry["pid"], entry["tid"]))


def counters_of(main_pid):
    """Return the counter of each thread of threads.py, by its number."""
    counters = {}
    for path in glob.glob(f"/proc/{main_pid}/root/app/state/thread-*"):
        words = read(path).split()
        if len(words) == 3:
            counters[words[0]] = int(words[2])
    return counters


def container(name, client_log=None):
    shown = subprocess.run(["podman", "container", "inspect", name], capture_output=True, text=True, check=False)
    if shown.returncode:
        return {"status": "missing"}
    inspected = json.loads(shown.stdout)[0]
    seen = {"status": inspected["State"]["Status"], "runtime": inspected["OCIRuntime"], "id": inspected["Id"]}
    pid = inspected["State"]["Pid"]
    if pid:
        seen["threads"] = threads_of(pid)
        seen["counters"] = counters_of(pid)
        seen["locks"] = len(
            [line for line in read("/proc/locks").splitlines() if "POSIX" in line and f" {pid} " in line]
        )
    if client_log:
        seen["client"] = read(client_log).splitlines()[-1]
    return seen


def denials(since):
    """Return the AVC and SELINUX_ERR records of these commands since a time."""
    found = []
    for line in read("/var/log/audit/audit.log").splitlines():
        match = re.match(r"type=(AVC|SELINUX_ERR) msg=audit\((\d+)", line)
        if not match or int(match.group(2)) < since or ASKED_BY_EVERY_EXEC.search(line):
            continue
        command = re.search(r'comm="?([^" ]+)', line)
        if match.group(1) == "SELINUX_ERR" or "container" in line or (command and command.group(1).startswith(OURS)):
            found.append(line)
    return found


if __name__ == "__main__":
    if sys.argv[1] == "container":
        print(json.dumps(container(*sys.argv[2:])))
    else:
        print(json.dumps(denials(int(sys.argv[2]))))
