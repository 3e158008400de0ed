# SPDX-License-Identifier: GPL-3.0-or-later
"""The things on the test host that tasks work on: containers and a process that count in memory, with an identity.

The program draws a random word when it starts and keeps it, with its count, in memory only. So state that is lost shows
as another word, and a second copy as a second process.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARK = "crash-counter"
IMAGE = "localhost/crash:1"
NAME = "web"
FOLDER = Path("/srv/crash")
ARCHIVE = FOLDER / "web.tar.zst"
IMAGES = FOLDER / "images"
STORE = FOLDER / "store"
# Where a file system is that a case has taken away from the store.
AWAY = Path("/srv/crash-away")
AGE_KEY = Path("/srv/crash-key")
SIGNING_KEY = Path("/srv/crash-sign")
STATES = (Path("/var/lib/criu-hosts"), Path("/run/criu-hosts"))
PROGRAM = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *dummy: os._exit(0))
word, count = open("/proc/sys/kernel/random/uuid").read().strip(), 0
# The file has one size: podman copies it after the dump, from a container that runs on, and CRIU compares sizes.
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
while True:
    count += 1
    os.pwrite(file, b"%s %010d\\n" % (word.encode(), count), 0)
    time.sleep(0.02)
"""
# The file of the process, which has the root of the host; a container has its own.
PROCESS_FILE = FOLDER / "n"
SPEC = Path(f"/etc/criu-hosts/units/{NAME}.json")
PID_FILE = Path(f"/run/containers/{NAME}.conmon.pid")
DIGEST = "0" * 16
# Names of files that are there only while a task works.
PARTIAL = re.compile(r"\.(partial|old|new)$|^\..*\.(criu-hosts|[a-z0-9_]{8})$|^\.(part|gone)-")
# The folder of the notes of a restore from images, and of CRIU's logs
CRIU_LOGS = ".images.criu/"
SECONDS = 60.0


def mount(source: str, target: Path, options: str) -> None:
    """Mount a file system in memory, or change one."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, source, str(target)], check=True)


def podman(*words: str, check: bool = True) -> str:
    """Run podman; return its output."""
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"podman {' '.join(words)[:80]}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


def processes() -> dict[int, list[str]]:
    """Return the arguments of all processes, without zombies."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                data = Path(entry.path, "cmdline").read_bytes()
            except OSError:
                continue
            if data:
                found[int(entry.name)] = data.decode("utf-8", "replace").rstrip("\0").split("\0")
    return found


def copies() -> list[int]:
    """Return the processes that count."""
    return sorted(pid for pid, words in processes().items() if words[-1] == MARK and words[0] == "python3")


def workers() -> list[int]:
    """Return the processes of tasks, which are forks of this one, and of the commands that they have left."""
    names, programs = ("podman", "criu", "runc"), ("/run.py", "/soak.py", "/main.py")
    found = []
    for pid, words in processes().items():
        name = os.path.basename(words[0])
        if name in names or (pid != os.getpid() and any(word.endswith(programs) for word in words[1:2])):
            found.append(pid)
    return found


@dataclass
class Counter:
    """The identity of the program and the highest count that was seen."""

    word: str = ""
    count: int = 0

    @staticmethod
    def read(pid: int) -> Counter | None:
        """Return what the process shows, None if it shows nothing at this moment."""
        for file in (Path(f"/proc/{pid}/root/n"), PROCESS_FILE):
            try:
                words = file.read_text().split()
            except OSError:
                continue
            if len(words) == 2:
                return Counter(words[0], int(words[1]))
        return None


@dataclass
class World:
    """What lives on the host."""

    counter: Counter = field(default_factory=Counter)

    @staticmethod
    def clean() -> None:
        """Remove everything that a case has left."""
        last = time.monotonic() + SECONDS
        while workers() and time.monotonic() < last:
            time.sleep(0.05)
        for pid in (*workers(), *copies()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        podman("rm", "--all", "--force", "--time=0", check=False)
        for folder in (AWAY, STORE, FOLDER):
            while os.path.ismount(folder):
                subprocess.run(["umount", "-l", str(folder)], check=True)
        for folder in (FOLDER, AWAY, *STATES, SPEC.parent):
            shutil.rmtree(folder, ignore_errors=True)
        PID_FILE.unlink(missing_ok=True)
        FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)

    @staticmethod
    def fill() -> None:
        """Put a file system that is too small for an archive in place of the archive's folder."""
        mount("tmpfs", FOLDER, "size=64k,mode=0700")

    @staticmethod
    def separate() -> None:
        """Give the store a file system of its own, on a folder that nobody can write to without it."""
        STORE.mkdir(mode=0o700)
        mount("tmpfs", STORE, "ro,size=4k,mode=0700")
        mount("tmpfs", STORE, "size=64m,mode=0700")

    @staticmethod
    def protect() -> None:
        """Make the file system of the store read-only."""
        mount("tmpfs", STORE, "remount,ro")

    @staticmethod
    def take_away() -> None:
        """Take the file system of the store away; what has a file of it open keeps that."""
        AWAY.mkdir(exist_ok=True)
        subprocess.run(["mount", "--move", str(STORE), str(AWAY)], check=True)

    @staticmethod
    def give_back() -> None:
        """Undo what was done to a file system: room, writing, its place."""
        if os.path.ismount(AWAY):
            subprocess.run(["mount", "--move", str(AWAY), str(STORE)], check=True)
        for folder in (FOLDER, STORE):
            if os.path.ismount(folder):
                mount("tmpfs", folder, "remount,rw,size=64m")

    def start_container(self, *options: str) -> None:
        """Start a container that counts."""
        podman("run", "--detach", "--name", NAME, *options, *self.argv())
        self.meet()

    @staticmethod
    def argv() -> list[str]:
        return ["--network=none", IMAGE, "python3", "-IS", "-c", PROGRAM, "/n", MARK]

    def start_process(self) -> int:
        """Start a process that counts; return its id."""
        argv = ["setsid", "--fork", "python3", "-IS", "-c", PROGRAM, str(PROCESS_FILE), MARK]
        null = subprocess.DEVNULL
        subprocess.run(
            argv, cwd="/", stdin=null, stdout=null, stderr=null, env={"PATH": os.environ["PATH"]}, check=True
        )
        self.meet()
        return copies()[0]

    def describe_unit(self) -> None:
        """Write the description of a stateful unit, as container_unit does."""
        create = ["podman", "create", "--name", NAME, "--cgroups=no-conmon", f"--conmon-pidfile={PID_FILE}"]
        create += [f"--label=criu.hosts.digest={DIGEST}", *self.argv()]
        spec = {"version": 1, "name": NAME, "create": create, "digest": DIGEST, "conmon_pid_file": str(PID_FILE)}
        SPEC.parent.mkdir(parents=True)
        SPEC.write_text(json.dumps({**spec, "stop_timeout": 1}))

    def meet(self) -> None:
        """Wait until the program counts, and remember who it is."""
        last = time.monotonic() + SECONDS
        while time.monotonic() < last:
            found = [Counter.read(pid) for pid in copies()]
            if len(found) == 1 and found[0] is not None and found[0].count > 2:
                self.counter = found[0]
                return
            time.sleep(0.02)
        raise RuntimeError("the test program does not start")

    def look(self) -> None:
        """Remember the highest count, before something is done to the program."""
        for pid in copies():
            found = Counter.read(pid)
            if found is not None and found.word == self.counter.word:
                self.counter = found

    def alive(self, when: str) -> list[str]:
        """Return what is wrong with the promise that exactly one copy lives, with its state, and counts."""
        found = copies()
        if len(found) != 1:
            return [f"{when}: {len(found)} copies live instead of one"]
        last = time.monotonic() + 5
        while True:
            now = Counter.read(found[0])
            if now is not None and now.word != self.counter.word:
                return [f"{when}: the state is lost, the program has started again"]
            if now is not None and now.count > self.counter.count:
                return []
            if time.monotonic() > last:
                return [f"{when}: the program does not count, or lost a part of its count ({now}, {self.counter})"]
            time.sleep(0.02)


def at_most_one(when: str) -> list[str]:
    """Return what is wrong with the promise that there are never two."""
    found = copies()
    return [f"{when}: {len(found)} copies live"] if len(found) > 1 else []


def leftovers() -> list[str]:
    """Return what should be gone after the next run: partial files, notes of what has begun, booleans, drop-ins."""
    bad = [str(path) for top in (FOLDER, *STATES) for path in top.rglob("*") if PARTIAL.search(path.name)]
    bad += [str(path) for top in STATES for path in (top / "begun").rglob("*.json")]
    bad += [str(path) for path in STATES[1].glob("borrowed/*")]
    bad += [str(path) for path in Path("/run/systemd/system").glob("*.d/*criu*")]
    return [f"left over: {path}" for path in sorted(bad)]


def checkpoints() -> list[Path]:
    """Return the folders in the store that have the name of a whole checkpoint, oldest first."""
    return sorted((path for path in STORE.glob("*/*/[!.]*")), key=lambda path: path.name)


def manifest_of(path: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint."""
    found = json.loads((path / "manifest.json").read_text())
    assert isinstance(found, dict)
    return found


def not_whole(when: str, *, settled: bool = False) -> list[str]:
    """Return what is wrong with the promise that each checkpoint of the store is whole: by its manifest, file by file.

    ``settled``: a task has ended that nobody has disturbed, so no file may be there that no manifest has.
    """
    bad = []
    for path in checkpoints():
        try:
            parts = {part["name"]: part for part in manifest_of(path)["parts"]}
            for name, part in parts.items():
                data = (path / name).read_bytes()
                if (len(data), hashlib.sha256(data).hexdigest()) != (part["size_bytes"], part["sha256"]):
                    bad.append(f"{when}: {path / name} is not the one in its manifest")
        except (OSError, ValueError, KeyError) as error:
            bad.append(f"{when}: {path} is not whole: {error!r}")
            continue
        known = {*parts, "manifest.json", "manifest.json.sig", "pinned"}
        names = {str(one.relative_to(path)) for one in path.rglob("*") if not one.is_dir()}
        names = {name for name in names if not name.startswith(CRIU_LOGS)}
        bad += [f"{when}: {path / name} is in no manifest" for name in sorted(names - known) if settled]
        # CRIU's statistics in it have another mode.
        private = (path, *(path / name for name in known if (path / name).exists()))
        bad += [f"{when}: others can read {one}" for one in private if one.stat().st_mode & 0o077]
    return bad
