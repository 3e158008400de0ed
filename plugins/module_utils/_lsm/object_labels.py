# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads and compares the labels of sockets and mounts, which a container has in addition to those of its threads."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any, Iterable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text, read_xattr
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import Labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread, inner_pid


@dataclass(frozen=True)
class Traces:
    """``sockets``: protocol and label by process and file descriptor. ``mounts``: contexts by mount point."""

    sockets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """An object whose label changed in the restore. Only a ``grave`` difference makes the restore fail."""

    kind: str
    where: str
    before: str
    after: str
    grave: bool


def _sockets(paths: Paths, pid: int, labels: Labels) -> dict[str, tuple[str, str]]:
    base = f"{paths.proc}/{pid}"
    inner = inner_pid(read_text(f"{base}/status") or "")
    found: dict[str, tuple[str, str]] = {}
    try:
        numbers = os.listdir(f"{base}/fd")
    except OSError:
        return found
    for number in numbers:
        path = f"{base}/fd/{number}"
        try:
            is_socket = os.readlink(path).startswith("socket:")
        except OSError:
            continue
        label = labels.socket(path) if is_socket else ""
        if label:
            found[f"{inner}:{number}"] = (read_xattr(path, "system.sockprotoname"), label)
    return found


def read_traces(paths: Paths, pids: Iterable[int], labels: Labels) -> Traces:
    """Reads the labels of the sockets of these processes, and of the mounts of the first."""
    sockets: dict[str, tuple[str, str]] = {}
    known = list(pids)
    for pid in known:
        sockets.update(_sockets(paths, pid, labels))
    mounts = labels.mounts(read_text(f"{paths.proc}/{known[0]}/mountinfo") or "") if known else {}
    return Traces(sockets, mounts)


def to_record(traces: Traces) -> dict[str, Any]:
    return asdict(traces)


def from_record(entry: Any) -> Traces:
    """Returns the labels of a record; none if it has no readable ones."""
    try:
        sockets = {str(key): (str(kind), str(label)) for key, (kind, label) in entry["sockets"].items()}
        return Traces(sockets, {str(place): str(context) for place, context in entry["mounts"].items()})
    except (KeyError, TypeError, ValueError, AttributeError):
        return Traces()


def compare_sockcreate(before: Iterable[Thread], after: Iterable[Thread]) -> list[Difference]:
    """Returns changed labels for new sockets. They are grave: CRIU restores them, and later sockets would get them."""
    known = {thread.key: thread.sockcreate for thread in before if thread.sockcreate is not None}
    return [
        Difference("sockcreate", f"process {one.pid} thread {one.tid}", known[one.key] or "", one.sockcreate, True)
        for one in after
        if one.sockcreate is not None and one.key in known and known[one.key] != one.sockcreate
    ]


def compare_traces(before: Traces, after: Traces) -> list[Difference]:
    """Returns the objects that exist both times and whose label has changed.

    A mount is grave: no process in the container can change it, and its files have a different container's label now.
    A socket is not: CRIU up to 4.2.1 gives Unix sockets its own label, and any descriptor may be a different socket by
    now, since the processes run between the reading and the dump, and after the restore.
    """
    mounts = [
        Difference("mount", place, before.mounts[place], context, True)
        for place, context in sorted(after.mounts.items())
        if before.mounts.get(place, context) != context
    ]
    sockets = []
    for key, (kind, label) in sorted(after.sockets.items()):
        known_kind, known = before.sockets.get(key, (kind, label))
        if known_kind == kind and known != label:
            pid, dummy, number = key.partition(":")
            where = f"process {pid} descriptor {number} ({kind or 'socket'})"
            sockets.append(Difference("socket", where, known, label, False))
    return mounts + sockets


def to_facts(differences: Iterable[Difference]) -> list[dict[str, Any]]:
    return [asdict(one) for one in differences]
