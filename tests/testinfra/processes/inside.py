# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in an unprivileged container: dump a child with several threads, or restore it in a new container, or only look.

    inside.py dump|restore|look FOLDER

Prints one line of JSON with the observations. The image is that of the self-test, so this program imports only modules
that the self-test imports as well.
"""

import json
import os
import sys
import time

CRIU = "/usr/local/bin/criu"
PROGRAM = ["/usr/bin/setpriv", "--no-new-privs", "/usr/bin/python3", "/self_test.py", "run"]
# In a new container, the low process ids are taken: the child gets an id that is free there.
FREE = 200


def read(path):
    try:
        with open(path, "rb") as handle:
            return handle.read().decode("utf-8", "replace").rstrip("\0\n")
    except OSError:
        return ""


def status(pid, *names):
    lines = [line.split(":\t") for line in read(f"/proc/{pid}/status").splitlines()]
    return {name: value.strip() for name, value in lines if name in names}


def run(argv):
    pid = os.posix_spawn(argv[0], argv, os.environ)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def last(path):
    """Return the last complete line that the child has printed, or None."""
    for line in reversed(read(path).splitlines()):
        try:
            return json.loads(line)
        except ValueError:
            continue
    return None


def wait_for(path, least):
    for dummy in range(150):
        seen = last(path)
        if seen and min(seen["counters"]) > least:
            return seen
        time.sleep(0.2)
    return last(path)


def start(output):
    """Start the child with a high process id and without open files of this program."""
    while True:
        pid = os.fork()
        if pid == 0:
            if os.getpid() < FREE:
                os._exit(0)
            os.setsid()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(target, 1)
            os.dup2(target, 2)
            os.closerange(3, 64)
            os.execv(PROGRAM[0], PROGRAM)
        if pid >= FREE:
            return pid
        os.waitpid(pid, 0)


def errors(path):
    return [line for line in read(path).splitlines() if "Error" in line][-5:]


def child(pid):
    return {
        "threads": len(os.listdir(f"/proc/{pid}/task")) if os.path.isdir(f"/proc/{pid}") else 0,
        "label": read(f"/proc/{pid}/attr/current"),
        **status(pid, "NoNewPrivs", "Seccomp"),
    }


def dump(folder):
    images, output = f"{folder}/images", f"{folder}/output"
    os.makedirs(images, mode=0o700)
    # The pod mounts only the volume, so the program must be in it.
    with open(f"{folder}/inside.py", "w", encoding="utf-8") as copy:
        copy.write(read(os.path.abspath(__file__)) + "\n")
    pid = start(output)
    seen = {"before": wait_for(output, 0), "pid": pid, "child": child(pid)}
    log = "dump.log"
    seen["rc"] = run([CRIU, "dump", "--unprivileged", "-t", str(pid), "-D", images, "-o", log, "-v4"])
    seen["errors"] = errors(f"{images}/{log}")
    if seen["rc"] == 0:
        os.waitpid(pid, 0)
    with open(f"{folder}/size", "w", encoding="utf-8") as size:
        size.write(str(os.stat(output).st_size))
    return {**seen, "after": last(output)}


def restore(folder):
    images, output = f"{folder}/images", f"{folder}/output"
    # CRIU refuses a file whose size has changed, and an earlier restore from these images has written to it.
    os.truncate(output, int(read(f"{folder}/size")))
    before = last(output)
    log, number = "restore.log", f"{images}/number"
    argv = [CRIU, "restore", "--unprivileged", "-d", "-D", images, "-o", log, "-v4", "--pidfile", number]
    seen = {"before": before, "rc": run(argv), "errors": errors(f"{images}/{log}")}
    if seen["rc"] == 0:
        seen["after"] = wait_for(output, max(before["counters"]))
        seen["pid"] = int(read(number))
        seen["child"] = child(seen["pid"])
        seen["clone3"] = "Using clone3" in read(f"{images}/{log}")
    os.unlink(number) if os.path.exists(number) else None
    return seen


def write(path):
    """Write to a path; return the error, or "written"."""
    try:
        # Python's open() would also check whether the file is a terminal. With O_CREAT, the kernel checks the mount
        # before SELinux checks the file.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.write(handle, b"1")
        finally:
            os.close(handle)
    except OSError as error:
        return error.strerror
    return "written"


if __name__ == "__main__":
    seen = {
        "self": status("self", "Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"),
        "label": read("/proc/self/attr/current"),
        "sysctl": write("/proc/sys/kernel/hostname"),
        "ns_last_pid": write("/proc/sys/kernel/ns_last_pid"),
    }
    seen.update({"dump": dump, "restore": restore, "look": lambda dummy_folder: {}}[sys.argv[1]](sys.argv[2]))
    print(json.dumps(seen), flush=True)
