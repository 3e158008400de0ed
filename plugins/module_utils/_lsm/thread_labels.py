# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the security labels of all threads of a container from /proc, and compares them."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import Labels


@dataclass(frozen=True)
class Thread:
    """One thread. ``pid`` and ``tid`` are those inside the container, so they are the same after a restore.

    In nested pid namespaces they are paths: 1, 7, 7/1. ``sockcreate`` is the label that the thread has set for its next
    sockets, empty for none; None if that is not known.
    """

    pid: str
    tid: str
    comm: str
    label: str
    sockcreate: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.pid, self.tid


def inner_pid(status: str) -> str:
    """Returns the pid in a status file as the container sees it: NSpid without the host's own number."""
    # The kernel escapes a line feed in the name of a process, but no other character that ends a line for Python.
    for line in status.split("\n"):
        if line.startswith("NSpid:"):
            numbers = line.split()[1:]
            return "/".join(numbers[1:] or numbers)
    return ""


def _process(paths: Paths, pid: int, labels: Labels) -> tuple[list[Thread], list[int]]:
    """Returns the threads of one process and the host pids of its children; both empty if it has ended."""
    base = f"{paths.proc}/{pid}"
    status = read_text(f"{base}/status")
    if status is None:
        return [], []
    try:
        tasks = sorted(os.listdir(f"{base}/task"), key=int)
    except (FileNotFoundError, ProcessLookupError):
        return [], []
    threads: list[Thread] = []
    children: list[int] = []
    for task in tasks:
        folder = f"{base}/task/{task}"
        own, label = read_text(f"{folder}/status"), labels.thread(folder)
        if own is None or label is None:
            continue
        comm = (read_text(f"{folder}/comm") or "").rstrip("\n")
        threads.append(Thread(inner_pid(status), inner_pid(own), comm, label, labels.sockcreate(folder)))
        children += [int(child) for child in (read_text(f"{folder}/children") or "").split()]
    return threads, children


def read_tree(paths: Paths, pid: int, labels: Labels) -> dict[int, list[Thread]]:
    """Reads the process ``pid`` and its descendants, by their pids on the host, as CRIU dumps them."""
    found: dict[int, list[Thread]] = {}
    waiting, seen = [pid], set()
    while waiting:
        one = waiting.pop(0)
        if one > 0 and one not in seen:
            seen.add(one)
            threads, children = _process(paths, one, labels)
            if threads:
                found[one] = threads
            waiting += children
    return found


def read_threads(paths: Paths, pid: int, labels: Labels) -> tuple[Thread, ...]:
    """Reads every thread of the process ``pid`` and of its descendants."""
    return tuple(thread for threads in read_tree(paths, pid, labels).values() for thread in threads)


def to_record(threads: Iterable[Thread]) -> list[dict[str, Any]]:
    return [asdict(thread) for thread in threads]


def from_record(entries: Any) -> tuple[Thread, ...]:
    """Returns the threads of a record; none if it has no readable ones."""
    try:
        return tuple(
            Thread(
                str(entry["pid"]),
                str(entry["tid"]),
                str(entry["comm"]),
                str(entry["label"]),
                None if entry.get("sockcreate") is None else str(entry["sockcreate"]),
            )
            for entry in entries
        )
    except (KeyError, TypeError, AttributeError):
        return ()


@dataclass(frozen=True)
class Pair:
    """A thread after the restore, and its label before; for a new thread, the label of its process."""

    thread: Thread
    before: str

    @property
    def equal(self) -> bool:
        return self.before == self.thread.label


def compare(before: Iterable[Thread], after: Iterable[Thread], process_label: str) -> tuple[Pair, ...]:
    """Pairs each thread with its label before the restore.

    A thread that was not seen before must have the label of its process, and a process that was not seen before the
    label of the container: threads may have started between the reading and the dump.
    """
    known = {thread.key: thread.label for thread in before}
    leaders = {thread.pid: thread.label for thread in before if thread.pid == thread.tid}
    return tuple(
        Pair(thread, known.get(thread.key, leaders.get(thread.pid, process_label or thread.label))) for thread in after
    )


def summary(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Returns one entry, with thread ids, for the threads of a process that share both labels."""
    grouped: dict[tuple[str, str, str], dict[str, Any]] = {}
    for pair in pairs:
        key = (pair.thread.pid, pair.before, pair.thread.label)
        entry = grouped.setdefault(
            key,
            {
                "pid": pair.thread.pid,
                "comm": pair.thread.comm,
                "threads": 0,
                "tids": [],
                "before": pair.before,
                "after": pair.thread.label,
            },
        )
        entry["threads"] += 1
        entry["tids"].append(pair.thread.tid)
    return list(grouped.values())


# What to look at if a restore has changed a label of the LSM.
ADVICE = {
    "selinux": "Check that the CRIU in use is linked with libselinux (role criu.hosts.criu).",
    "apparmor": "See with 'aa-status' whether its AppArmor profile is loaded, and in which mode.",
}


def changed_error(
    pairs: Iterable[Pair], name: str, what_then: str, kind: str = "Container", lsm: str = "selinux"
) -> CheckpointError | None:
    """Returns the error of a restore that changed labels of ``lsm``; None if every label is unchanged."""
    pairs = tuple(pairs)
    wrong = [pair for pair in pairs if not pair.equal]
    if not wrong:
        return None
    first = wrong[0]
    return CheckpointError(
        f"{kind} {name!r} lost its label in the restore: process {first.thread.pid} ({first.thread.comm!r}) had "
        f"{first.before!r} and now has {first.thread.label!r}; {len(wrong)} of {len(pairs)} threads are affected. "
        f"{what_then} {ADVICE[lsm]}",
        reason="label_changed",
        label_before=first.before,
        label_after=first.thread.label,
        labels=summary(pairs),
    )
