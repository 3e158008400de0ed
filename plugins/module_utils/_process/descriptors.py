# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the open files of a process."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

_NAMED = re.compile(r"(pipe|socket):\[([0-9]{1,20})\]\Z")
_FLAGS = re.compile(r"^flags:\s+([0-7]{1,12})$", re.MULTILINE)
# By the access mode (open(2)).
_ENDS = {0: ("read",), 1: ("write",), 2: ("read", "write")}


@dataclass(frozen=True)
class Descriptor:
    """A pipe or socket that a process has open. ``kind`` is pipe or socket."""

    pid: int
    number: int
    kind: str
    inode: int

    def ends(self, paths: Paths) -> set[str]:
        """Returns the ends of a pipe that it holds, read and write; none if that is not known."""
        text = read_text(f"{paths.proc}/{self.pid}/fdinfo/{self.number}", may_fail=True) or ""
        match = _FLAGS.search(text)
        return set(_ENDS.get(int(match.group(1), 8) & os.O_ACCMODE, ())) if match else set()


def read_descriptors(paths: Paths, pid: int) -> tuple[Descriptor, ...]:
    """Returns the pipes and sockets of a process; none if it has ended or may not be looked at."""
    folder = f"{paths.proc}/{pid}/fd"
    found = []
    try:
        for name in sorted(os.listdir(folder), key=lambda name: (len(name), name)):
            match = _NAMED.match(os.readlink(f"{folder}/{name}"))
            if match:
                found.append(Descriptor(pid, int(name), match.group(1), int(match.group(2))))
    except OSError:
        return tuple(found)
    return tuple(found)
