# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the unfinished copies in a store that nobody goes on with.

A copy that was cut off is the folder .part-ID, and .part-ID.pull for an image. The place that it came from still has
the checkpoint, so it is never the only copy. What a dump has left is .part-new, which may be, and this never touches
it: _container/unfinished_gone.py, _process/unfinished.py, or the next checkpoint or restore, ends it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._store.folder import KINDS, PART
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import ID

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Step

_COPY = re.compile(rf"{re.escape(PART)}{ID}(\.pull)?")
# The task that goes on with a copy usually comes at once.
KEEP_SECONDS = 24 * 60 * 60


@dataclass(frozen=True)
class Ended:
    """The steps that end what killed tasks have left of their dumps, and warnings, also about what stays."""

    steps: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()

    def __add__(self, other: Ended) -> Ended:
        return Ended((*self.steps, *other.steps), (*self.warnings, *other.warnings))


def find_copies(store: str, kind: str | None, name: str | None, now: float) -> Iterator[tuple[str, list[str]]]:
    """Yields each folder of a container or process, with the copies in it that nobody has touched for a day.

    The caller may remove them while it holds the lock of that folder. ``now``: seconds since 1970.
    """
    for one in KINDS if kind is None else (kind,):
        above = os.path.join(store, KINDS[one])
        for below in _names(above) if name is None else [name]:
            folder = os.path.join(above, below)
            copies = [os.path.join(folder, entry) for entry in _names(folder) if _COPY.fullmatch(entry)]
            old = [path for path in copies if now - _touched(path) > KEEP_SECONDS]
            if old:
                yield folder, old


def _names(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) and not os.path.islink(folder) else []


def _touched(path: str) -> float:
    """Returns when something below a path was last changed; rsync sets the other time, that of the content, back."""
    found = [os.lstat(path).st_ctime]
    for folder, folders, names in os.walk(path):
        found += [os.lstat(os.path.join(folder, one)).st_ctime for one in (*folders, *names)]
    return max(found)
