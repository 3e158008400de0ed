# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop, start, restart, kill and damage stateful units; print the observations of each step as JSON.

Runs on the host as root, on the units that stateful.yml has created. The observations come from the kernel, systemd and
the journal; only ``last`` is the unit program's own record.
"""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time

STATE = "/var/lib/criu-hosts"
PROPERTIES = ("ActiveState", "Result", "MainPID", "NRestarts", "ControlGroup", "InvocationID")
SCOPE_PROPERTIES = ("Before", "MemoryMax", "TasksMax")


def run(*argv, check=False):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if check and done.returncode:
        sys.exit(f"{argv}: {done.stdout}{done.stderr}")
    return done


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def properties(unit, names):
    shown = run("systemctl", "show", unit, *(f"--property={name}" for name in names), check=True).stdout
    return dict(line.partition("=")[::2] for line in shown.splitlines())


def unified(pid):
    return next((line[3:].strip() for line in read(f"/proc/{pid}/cgroup").splitlines() if line.startswith("0::")), "")


def container_pid(conmon):
    """Return the child of conmon, which is the first process of the container."""
    children = read(f"/proc/{conmon}/task/{conmon}/children").split()
    return int(children[0]) if children else 0


def threads(pid):
    found = []
    for task in glob.glob(f"/proc/{pid}/task/*"):
        number = [line.split()[-1] for line in read(f"{task}/status").splitlines() if line.startswith("NSpid:")]
        found.append([int(number[0]) if number else 0, read(f"{task}/attr/current").strip("\0\n")])
    return sorted(found)


def counters(pid):
    words = [read(path).split() for path in sorted(glob.glob(f"/proc/{pid}/root/app/state/thread-*"))]
    return [int(entry[2]) for entry in words if len(entry) == 3]


def look(name):
    """Return the state of the unit: from systemd, from the kernel and from its record."""
    unit = properties(f"{name}.service", PROPERTIES)
    seen = {"unit": unit, "last": json.loads(read(f"{STATE}/units/{name}/last.json") or "null")}
    conmon = int(unit["MainPID"])
    pid = container_pid(conmon) if conmon else 0
    if pid:
        scope = unified(pid)
        seen["conmon"] = read(f"/proc/{conmon}/comm").strip()
        seen["conmon_cgroup"] = unified(conmon)
        seen["conmon_label"] = read(f"/proc/{conmon}/attr/current").strip("\0\n")
        seen["threads"] = threads(pid)
        seen["counters"] = counters(pid)
        seen["limits"] = [read(f"/sys/fs/cgroup{scope}/{key}").strip() for key in ("memory.max", "pids.max")]
        seen["scope"] = properties(next(part for part in scope.split("/") if part.endswith(".scope")), SCOPE_PROPERTIES)
    seen["processes"] = len(run("pgrep", "--full", f"conmon.* -n {name} ").stdout.split())
    return seen


def journal(name, cursor):
    """Return the lines of the unit's program and of the container since then."""
    argv = ("journalctl", "--unit", f"{name}.service", "--output=cat", "--no-pager", f"--after-cursor={cursor}")
    return run(*argv, check=True).stdout.splitlines()


def cursor():
    shown = run("journalctl", "--lines=0", "--show-cursor", "--no-pager", check=True).stdout
    return shown.rpartition("cursor: ")[2].strip()


def systemctl(verb, name):
    """Call systemctl; return the exit status, the new lines of the journal and the state of the unit."""
    since = cursor()
    code = run("systemctl", verb, f"{name}.service").returncode
    time.sleep(1)
    return {"rc": code, **look(name), "journal": journal(name, since)}


def images(name):
    pattern = "/var/lib/containers/storage/overlay-containers/*/userdata/checkpoint/pages-1.img"
    wanted = run("podman", "container", "inspect", "--format", "{{.Id}}", name, check=True).stdout.strip()
    return next(path for path in glob.glob(pattern) if wanted in path)


def damage(name, kept):
    """Truncate a file of the checkpoint; keep a copy."""
    path = images(name)
    shutil.copy2(path, kept)
    os.truncate(path, 0)
    return path


def choose(name, word):
    path = f"/etc/criu-hosts/units/{name}.json"
    entries = json.loads(read(path))
    entries["on_restore_failure"] = word
    with open(path, "w", encoding="utf-8") as handle:
        json.dump(entries, handle)


def unusable(name):
    """Test an unusable checkpoint: refused, then repaired and restored, then set aside by a fresh start."""
    seen = {}
    kept = f"{STATE}/pages-of-the-test.img"
    run("systemctl", "stop", name, check=True)
    path = damage(name, kept)
    choose(name, "refuse")
    seen["refused"] = systemctl("start", name)
    run("systemctl", "stop", name)
    shutil.copy2(kept, path)
    seen["whole_again"] = systemctl("start", name)
    choose(name, "fresh")
    run("systemctl", "stop", name, check=True)
    damage(name, kept)
    seen["fresh"] = systemctl("start", name)
    seen["aside"] = sorted(os.path.basename(found) for found in glob.glob(f"{STATE}/aside/{name}/*/checkpoint/*.img"))
    os.remove(kept)
    return seen


def killed(name):
    """Kill the container: its state is lost, and systemd restarts the unit once."""
    before, since = look(name), cursor()
    os.kill(container_pid(int(before["unit"]["MainPID"])), signal.SIGKILL)
    for dummy_second in range(120):
        now = properties(f"{name}.service", PROPERTIES)
        if now["NRestarts"] != before["unit"]["NRestarts"] and now["ActiveState"] == "active":
            break
        time.sleep(1)
    return {"before": before, "after": look(name), "journal": journal(name, since)}


def main(first, second, third):
    seen = {}
    for name in (first, second):
        seen[name] = {
            "started": look(name),
            "stopped": systemctl("stop", name),
            "restored": systemctl("start", name),
        }
    seen[first]["restarted"] = systemctl("restart", first)
    seen[first]["killed"] = killed(first)
    seen[first]["unusable"] = unusable(first)
    seen[third] = {"stopped": systemctl("stop", third)}
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
