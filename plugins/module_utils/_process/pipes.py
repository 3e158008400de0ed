# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a dump of a pipe whose other end is in a process that is not dumped.

CRIU restores such a pipe with nobody at its other end: the restored process gets SIGPIPE, or reads the end of the file.
"""

from __future__ import annotations

import os
from typing import Collection, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process, comm_of
from ansible_collections.criu.hosts.plugins.module_utils._process.descriptors import (
    Descriptor,
    read_descriptors,
)

_BOTH = {"read", "write"}


def half_pipes(paths: Paths, descriptors: Iterable[Descriptor]) -> dict[int, tuple[Descriptor, str]]:
    """Returns the pipes of which the descriptors hold only one end: by inode, that descriptor and the other end."""
    pipes: dict[int, tuple[Descriptor, set[str]]] = {}
    for one in descriptors:
        if one.kind == "pipe":
            pipes.setdefault(one.inode, (one, set()))[1].update(one.ends(paths))
    return {inode: (one, (_BOTH - ends).pop()) for inode, (one, ends) in pipes.items() if len(ends) == 1}


def refuse_outside_pipes(
    paths: Paths, process: Process, inside: Collection[int], descriptors: Iterable[Descriptor]
) -> None:
    """Refuses when a process that is not in ``inside`` holds the other end of a pipe.

    Raises:
        CheckpointError: pipe_outside.
    """
    half = half_pipes(paths, descriptors)
    if not half:
        return
    for name in sorted(os.listdir(paths.proc)):
        if not name.isdigit() or int(name) in inside:
            continue
        for other in read_descriptors(paths, int(name)):
            ours = half.get(other.inode) if other.kind == "pipe" else None
            if ours is not None and ours[1] in other.ends(paths):
                raise _outside(paths, process, ours[0], other)


def _outside(paths: Paths, process: Process, ours: Descriptor, other: Descriptor) -> CheckpointError:
    whose = "its" if ours.pid == process.pid else f"the descendant {ours.pid}'s"
    other_name = f"process {other.pid} ({comm_of(paths, other.pid)!r})"
    return CheckpointError(
        f"Cannot checkpoint {process.text}: {whose} file descriptor {ours.number} is a pipe to {other_name}, which "
        "does not descend from it, so the pipe could not be restored. Start the program with a file or a socket in its "
        "place, or checkpoint a process that both descend from.",
        reason="pipe_outside",
        pid=other.pid,
    )
