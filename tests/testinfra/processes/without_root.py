# SPDX-License-Identifier: GPL-3.0-or-later
"""Dump and restore as users other than root. Prints JSON.

without_root.py users            (root) create three users who can log in by ssh from this host
without_root.py all TAR          (root) run `own` as each user, and `foreign` and `container` as one of them
without_root.py login USER [WHAT] (root) run `own`, or `left`, as this user
without_root.py own              dump and restore an own process
without_root.py left             start the same process and leave it running for root
without_root.py seen USER PID    (root) observe that process, and end it
without_root.py foreign PID      try to dump a process that belongs to root
without_root.py container TAR    start a rootless container, and try to checkpoint it
"""

import glob
import json
import os
import pwd
import re
import subprocess
import sys
import time

HERE = os.path.abspath(__file__)
CRIU = "/usr/local/sbin/criu"
KEY = "/root/.ssh/lab-without-root"
# The group, and the SELinux user of the login; None means the default, unconfined_u.
USERS = {"lab-member": ("criu", None), "lab-confined": ("criu", "user_u"), "lab-outsider": ("", None)}
SEUSERS = "/etc/selinux/default/seusers"


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def run(*argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options)
    return {"rc": done.returncode, "out": done.stdout[-20000:], "err": done.stderr[-2000:]}


def must(*argv):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, check=True, stdout=subprocess.PIPE, text=True).stdout


def users():
    if not os.path.exists(KEY):
        os.makedirs(os.path.dirname(KEY), mode=0o700, exist_ok=True)
        must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY)
    for name, (group, selinux) in USERS.items():
        try:
            home = pwd.getpwnam(name).pw_dir
        except KeyError:
            # Without newuidmap, podman maps only the user himself, provided that he has no subordinate ids.
            alone = ("-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0")
            more = ["--groups", group] if group else []
            must("useradd", "--create-home", "--shell", "/bin/bash", *alone, *more, name)
            home = pwd.getpwnam(name).pw_dir
        if selinux and f"{name}:" not in read(SEUSERS):
            # semanage login does the same, but also recompiles the policy, which takes more than a minute here.
            with open(SEUSERS, "a", encoding="ascii") as handle:
                handle.write(f"{name}:{selinux}:s0\n")
        os.makedirs(f"{home}/.ssh", exist_ok=True)
        with open(f"{home}/.ssh/authorized_keys", "w", encoding="ascii") as handle:
            handle.write(read(f"{KEY}.pub"))
        must("chown", "-R", f"{name}:{name}", f"{home}/.ssh")
        must("restorecon", "-R", home)
        if selinux:
            must("chcon", "-R", "-u", selinux, home)  # as restorecon does after semanage login


def login(name, *arguments):
    """Run this program as ``name`` in a login session, with the label of a login."""
    options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
    argv = ["ssh", "-i", KEY, *(word for option in options for word in ("-o", option)), f"{name}@127.0.0.1"]
    done = run(*argv, "python3", HERE, *arguments)
    try:
        return json.loads(done["out"])
    except ValueError:
        return {"failed": done}


def count():
    """Count in three threads and write the counters to a file; this is the process that is dumped."""
    import threading

    counters = [0, 0, 0]

    def work(number):
        while True:
            counters[number] += 1
            time.sleep(0.05)

    for number in (1, 2):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    with open("counters", "w", encoding="ascii") as handle:
        while True:
            counters[0] += 1
            handle.seek(0)
            handle.write(json.dumps(counters) + "\n")
            handle.flush()
            time.sleep(0.1)


def counters(more_than):
    found = []
    for dummy in range(100):
        try:
            found = json.loads(read("counters").splitlines()[0])
        except (ValueError, IndexError):
            found = []
        if found and min(found) > more_than:
            break
        time.sleep(0.2)
    return found


def state(pid):
    labels = [read(path).rstrip("\0\n") for path in glob.glob(f"/proc/{pid}/task/*/attr/current")]
    effective = re.search(r"^CapEff:\s*(\S+)", read(f"/proc/{pid}/status"), re.MULTILINE)
    return {"labels": labels, "capabilities": effective.group(1) if effective else ""}


def fresh(folder):
    path = os.path.expanduser(f"~/{folder}")
    must("rm", "-rf", path)
    os.makedirs(f"{path}/images", mode=0o700)
    os.chdir(path)


def errors(path):
    return [line for line in read(path).splitlines() if "Error" in line][-5:]


def own():
    fresh("own")
    seen = {"user": pwd.getpwuid(os.getuid()).pw_name, "label": read("/proc/self/attr/current").rstrip("\0\n")}
    if not os.access(CRIU, os.X_OK):
        try:
            os.execv(CRIU, [CRIU, "--version"])
        except OSError as error:
            return {**seen, "refused": error.strerror}
    child = start_counting()
    seen.update(pid=child.pid, counted=counters(0), before=state(child.pid))
    common = ("--unprivileged", "-D", "images", "-v4")
    seen["without_option"] = run(CRIU, "dump", "-t", str(child.pid), "-D", "images")
    seen["dump"] = run(CRIU, "dump", "-t", str(child.pid), "-o", "dump.log", *common)
    seen["dump"]["errors"] = errors("images/dump.log")
    if seen["dump"]["rc"] == 0:
        child.wait()
        seen["at_dump"] = counters(0)
        seen["restore"] = run(CRIU, "restore", "-d", "-o", "restore.log", *common)
        seen["restore"]["errors"] = errors("images/restore.log")
        seen["counted_on"] = counters(max(seen["at_dump"]))
        seen["after"] = state(child.pid)
    try:
        os.kill(child.pid, 9)
    except ProcessLookupError:
        pass
    return seen


def start_counting():
    """Start the process that is dumped, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, HERE, "count"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def left():
    fresh("left")
    child = start_counting()
    return {"pid": child.pid, "counted": counters(0), "before": state(child.pid), "uid": os.getuid()}


def seen_of(name, pid):
    os.chdir(f"{pwd.getpwnam(name).pw_dir}/left")
    now = counters(0)
    found = re.search(r"^Uid:\s*(\d+)", read(f"/proc/{pid}/status"), re.MULTILINE)
    uid = int(found.group(1)) if found else None
    seen = {"after": state(pid), "uid": uid, "counters": [now, counters(max(now or [0]))]}
    if uid is not None:
        os.kill(int(pid), 9)
    return seen


def foreign(pid):
    fresh("foreign")
    seen = run(CRIU, "dump", "--unprivileged", "-t", pid, "-D", "images", "-o", "dump.log")
    return {**seen, "errors": errors("images/dump.log")}


def container(archive):
    fresh("container")
    run("podman", "rm", "--force", "--ignore", "--time", "0", "lab-rootless")
    seen = {"import": run("podman", "import", "--quiet", archive, "lab-without-root")}
    program = ["/usr/bin/python3", "/self_test.py", "run"]
    seen["run"] = run("podman", "run", "-d", "--name", "lab-rootless", "--network=none", "lab-without-root", *program)
    inspected = run("podman", "container", "inspect", "--format", "{{.State.Pid}}", "lab-rootless")
    seen["pid"] = int(inspected["out"].strip() or 0)
    seen["checkpoint"] = run("podman", "container", "checkpoint", "lab-rootless")
    seen["restore"] = run("podman", "container", "restore", "lab-rootless")
    seen["criu"] = run(CRIU, "dump", "--unprivileged", "-t", str(seen["pid"]), "-D", "images", "-o", "dump.log")
    seen["criu"]["errors"] = errors("images/dump.log")
    return seen


def dump_as_root(pid):
    """Run criu as root on the first process of the user's container."""
    folder = "/var/lib/lab/rootless-images"
    must("rm", "-rf", folder)
    os.makedirs(folder, mode=0o700)
    seen = run(CRIU, "dump", "-t", str(pid), "-D", folder, "-o", "dump.log")
    return {**seen, "errors": errors(f"{folder}/dump.log"), "alive": os.path.exists(f"/proc/{pid}")}


def everything(archive):
    seen = {name: login(name, "own") for name in USERS}
    target = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    seen["foreign"] = {**login("lab-member", "foreign", str(target.pid)), "alive": target.poll() is None}
    target.kill()
    target.wait()
    seen["rootless"] = login("lab-member", "container", archive)
    for what in ("checkpoint", "restore"):
        seen[f"root_{what}"] = run("podman", "container", what, "lab-rootless")
    seen["root_criu"] = dump_as_root(seen["rootless"].get("pid"))
    return seen


if __name__ == "__main__":
    what, arguments = sys.argv[1], sys.argv[2:]
    works = {"users": users, "all": everything, "own": own, "foreign": foreign, "container": container, "count": count}
    works.update(left=left, seen=seen_of, login=lambda user, what="own": login(user, what))
    print(json.dumps(works[what](*arguments)))
