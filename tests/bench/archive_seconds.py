# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure archives on a test host (tests/crash/host.sh): the modules against bare podman and sha256sum, in turn.

archive_seconds.py ROUNDS ENTRIES MIB...    prints one object of JSON

A container keeps so many MiB of random memory. The modules run without Ansible's share, in forks of this process with
everything of Ansible imported, and podman as a command. All files are in memory, so no disk is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "crash"))

import task
from task import Call
from world import ARCHIVE, FOLDER, IMAGE, MARK, NAME, STORE, World, copies, manifest_of, podman, processes

WORKLOAD = "/var/lib/lab/workload.tar"
COMPRESSIONS = ("none", "gzip", "zstd")
PROGRAM = """\
import os, sys, time
memory = [os.urandom(1 << 20) for dummy in range(int(sys.argv[1]))]
open("/ready", "w").close()
while True:
    time.sleep(3600)
"""
SAMPLE_SECONDS = 0.02


class Peak:
    """The highest memory of any process of a task: itself, and those that read or feed its pipes. Not podman's.

    The kernel keeps the high-water mark of each process (VmHWM), so a look now and then is enough.
    """

    def __init__(self) -> None:
        self.kib, self.ended = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self.thread.start()
        return self

    def __exit__(self, *dummy: object) -> None:
        self.ended.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.ended.wait(SAMPLE_SECONDS):
            for pid, words in processes().items():
                if pid != os.getpid() and __file__ in words:
                    self.kib = max(self.kib, high_water(pid))


def high_water(pid: int) -> int:
    """Return the high-water mark of a process in KiB, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of the work."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def carry(call: Call) -> tuple[float, int, dict[str, Any]]:
    """Run a task; return its seconds, the peak of its memory in KiB, and its result."""
    with Peak() as peak:
        began = time.monotonic()
        result = task.run(call)
        seconds = time.monotonic() - began
    if result.failed or result.data is None:
        raise SystemExit(result.line)
    return seconds, peak.kib, result.data


def start(mib: int) -> None:
    """Start a container with so much memory, and wait until it has it."""
    argv = ["podman", "run", "--detach", "--name", NAME, "--network=none", IMAGE, "python3", "-IS", "-c", PROGRAM]
    subprocess.run([*argv, str(mib), MARK], stdout=subprocess.DEVNULL, check=True)
    while not any(Path(f"/proc/{pid}/root/ready").exists() for pid in copies()):
        time.sleep(0.05)


def remove() -> None:
    podman("rm", "--force", "--time=0", "--ignore", NAME)


def bare(compression: str) -> dict[str, float]:
    """Write and restore with podman alone."""
    path = FOLDER / "bare.tar"
    write = timed(lambda: podman("container", "checkpoint", "--export", str(path), "--compress", compression, NAME))
    remove()
    read = timed(lambda: podman("container", "restore", "--import", str(path)))
    path.unlink()
    return {"write": write, "restore": read}


def ours(compression: str) -> dict[str, float]:
    """Write, verify and restore with the modules, and compute the digest alone with sha256sum."""
    archived = {"name": NAME, "archive_path": str(ARCHIVE)}
    write, peak, dummy = carry(Call("container_checkpoint", {**archived, "compression": compression}))
    verify, verify_peak, info = carry(Call("checkpoint_info", {"path": str(ARCHIVE), "verify": True, "detail": []}))
    if [one["verified"] for one in info["checkpoints"]] != [True]:
        raise SystemExit(f"the archive is not verified: {info}")
    digest = timed(lambda: subprocess.run(["sha256sum", str(ARCHIVE)], stdout=subprocess.DEVNULL, check=True))
    size = ARCHIVE.stat().st_size
    remove()
    read, restore_peak, dummy = carry(Call("container_restore", archived))
    for path in (ARCHIVE, Path(f"{ARCHIVE}.json")):
        path.unlink()
    found = {"write": write, "restore": read, "verify": verify, "sha256sum": digest, "bytes": float(size)}
    peaks = {"write_kib": peak, "verify_kib": verify_peak, "restore_kib": restore_peak}
    return {**found, **{name: float(one) for name, one in peaks.items()}}


def archives(mib: int, rounds: int) -> dict[str, Any]:
    """Measure both ways in turn with each compression; the same container is restored each time."""
    World.clean()
    start(mib)
    found: dict[str, Any] = {}
    for compression in COMPRESSIONS:
        seen = [(ours(compression), bare(compression)) for dummy in range(rounds)]
        found[compression] = {"ours": [one for one, dummy in seen], "bare": [one for dummy, one in seen]}
    return found


def listing(entries: int, rounds: int) -> dict[str, Any]:
    """Measure the list of a store with so many checkpoints: one that was made, and copies of its manifest."""
    World.clean()
    start(1)
    carry(Call("container_checkpoint", {"name": NAME, "store": str(STORE), "leave_running": True}))
    (first,) = (STORE / "containers" / NAME).glob("[!.]*")
    manifest = manifest_of(first)
    for number in range(entries - 1):
        identity = f"20200101T{number // 3600:02}{number // 60 % 60:02}{number % 60:02}Z-{number:08x}"
        path = first.parent / identity
        path.mkdir(mode=0o700)
        (path / "manifest.json").write_text(json.dumps({**manifest, "id": identity}))
        for part in manifest["parts"]:
            os.link(first / part["name"], path / part["name"])
    seconds, peaks = [], []
    for dummy in range(rounds):
        one, peak, result = carry(Call("checkpoint_info", {"store": str(STORE)}))
        good = [found for found in result["checkpoints"] if not found["reason"]]
        if len(good) != entries:
            raise SystemExit(f"checkpoint_info lists {len(good)} good checkpoints of {entries}")
        seconds.append(one)
        peaks.append(peak)
    return {"entries": entries, "seconds": seconds, "peak_kib": max(peaks)}


def main() -> None:
    rounds, entries, *sizes = map(int, sys.argv[1:])
    podman("import", "--quiet", WORKLOAD, IMAGE)
    found = {"list": listing(entries, rounds), "sizes": {mib: archives(mib, rounds) for mib in sizes}}
    World.clean()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
