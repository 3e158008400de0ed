# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Keeps a log that a command's failure removes: a container manager deletes what the runtime wrote for a failed start.

A file that is open stays readable when it has no name any more, so it is only opened while the command runs.
"""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, TypeVar

from ansible_collections.criu.hosts.plugins.module_utils._core.feed import NOTHING
from ansible_collections.criu.hosts.plugins.module_utils._core.files import write_file
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import without_waiting

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
    from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Streamed

Ended = TypeVar("Ended", bound="tuple[Any, ...]")
# How often to look for the log, in seconds. CRIU writes it from its start on, and needs longer than that.
_PAUSE = 0.002
# The errors are at its end.
_LIMIT = 4 << 20


@dataclass(frozen=True)
class Follow:
    """Copies the log that ``find`` names to ``path`` if the command fails; it names none as long as there is none.

    A log that is there before the command is of an earlier one.
    """

    find: Callable[[], str]
    path: str
    failed: Callable[[str], CheckpointError] | None = None

    def carry(self, run: Callable[[], Ended]) -> tuple[Ended, Streamed]:
        """Calls ``run``; returns its result, whose first item is the exit status of the command."""
        before = _identity(self.find())
        stop = threading.Event()
        held: list[BinaryIO] = []
        thread = threading.Thread(target=lambda: held.extend(_wait(self.find, before, stop)))
        thread.start()
        try:
            result = run()
        finally:
            stop.set()
            thread.join()
        for handle in held:
            with handle:
                if result[0] != 0:
                    _keep(handle, self.path)
        return result, NOTHING

    def done(self, dummy: Streamed) -> None:
        """Nothing is stored that anybody would have to know."""


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _wait(find: Callable[[], str], before: tuple[int, int] | None, stop: threading.Event) -> list[BinaryIO]:
    """Waits until there is a new log, and opens it; returns nothing if there is none until ``stop`` is set."""
    while not stop.is_set():
        try:
            handle = open(find(), "rb", opener=without_waiting)  # noqa: SIM115 -- the caller closes it
        except (OSError, ValueError):
            stop.wait(_PAUSE)
            continue
        status = os.fstat(handle.fileno())
        if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) != before:
            return [handle]
        handle.close()
        stop.wait(_PAUSE)
    return []


def _keep(handle: BinaryIO, path: str) -> None:
    """Writes the end of a log to ``path``; without it the failure only says less."""
    handle.seek(max(os.fstat(handle.fileno()).st_size - _LIMIT, 0))
    try:
        write_file(path, handle.read(_LIMIT), 0o600)
    except OSError:
        pass
