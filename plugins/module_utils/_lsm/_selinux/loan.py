# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Switches an SELinux boolean on for the seconds of a restore, and off again on every path, also after a crash.

Each task that needs the boolean leaves a marker, named after its process, in one folder. Markers and boolean change
together under the folder's lock, so several tasks may use it at once: the last one switches it off. The marker of a
process that has ended shows the next task that the boolean was left on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.lock import locked
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Remove, Step, Together, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RESTORE_BOOLEAN
from ansible_collections.criu.hosts.plugins.module_utils._host.process import process_start
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux, boolean_value

# A reader waits for a task that switches the boolean, which takes a second on a slow host.
READ_SECONDS = 60.0


def folder(paths: Paths) -> str:
    """Returns the folder of the markers; its lock covers them and the booleans."""
    return f"{paths.run}/borrowed"


def marker_path(paths: Paths, boolean: str = RESTORE_BOOLEAN) -> str:
    """Returns the path of the marker that this process uses the boolean."""
    return f"{folder(paths)}/{boolean}.{os.getpid()}.{process_start(paths, os.getpid())}"


@dataclass(frozen=True)
class Loan:
    """The boolean at one moment: its value (None: there is no such boolean), and how many other processes use it.

    ``stale`` are the markers of processes that ended without switching it off.
    """

    paths: Paths = field(default_factory=Paths)
    boolean: str = RESTORE_BOOLEAN
    value: bool | None = None
    live: int = 0
    stale: tuple[str, ...] = ()

    @property
    def left_on(self) -> bool:
        """Returns whether it is on only because no process was left to switch it off."""
        return bool(self.stale) and not self.live and bool(self.value)


def _markers(paths: Paths, boolean: str) -> Iterator[tuple[str, bool]]:
    """Yields the markers of other processes, and whether each process still exists."""
    own = marker_path(paths, boolean)
    try:
        names = sorted(os.listdir(folder(paths)))
    except FileNotFoundError:
        return
    for name in names:
        head, dummy, start = name.rpartition(".")
        known, dummy, pid = head.rpartition(".")
        path = f"{folder(paths)}/{name}"
        if known == boolean and pid.isdigit() and path != own:
            yield path, bool(start) and process_start(paths, int(pid)) == start


def _look(paths: Paths, boolean: str) -> Loan:
    value, markers = boolean_value(paths.selinuxfs, boolean), tuple(_markers(paths, boolean))
    stale = tuple(path for path, lives in markers if not lives)
    return Loan(paths, boolean, value, len(markers) - len(stale), stale)


def read_loan(paths: Paths, boolean: str = RESTORE_BOOLEAN) -> Loan:
    """Reads the value and the markers, under the lock, as a different task may be changing both."""
    if not os.path.isdir(folder(paths)):
        seen = _look(paths, boolean)
        if not os.path.isdir(folder(paths)):
            return seen  # no task has switched a boolean on since the boot
    with locked(folder(paths), wait=READ_SECONDS):
        return _look(paths, boolean)


def borrow_steps(loan: Loan) -> tuple[Step, ...]:
    """Returns the step that switches it on, even if it is on: a different task may have switched it off since."""
    boolean = loan.boolean
    steps = (
        WriteFile(marker_path(loan.paths, boolean), "", why="write the marker of the SELinux boolean"),
        Command(("setsebool", boolean, "on"), why=f"switch on the SELinux boolean {boolean!r} for the restore"),
    )
    return (Together(folder(loan.paths), steps, why="lock the folder of markers"),)


def return_steps(loan: Loan) -> tuple[Step, ...]:
    """Returns the step that switches it off, whatever happened before, unless a different task still needs it."""
    boolean = loan.boolean
    steps = (
        Command(
            ("setsebool", boolean, "off"),
            why=f"switch off the SELinux boolean {boolean!r}",
            finish=True,
            unless=lambda: _look(loan.paths, boolean).live > 0,
        ),
        *(Remove(path, why="remove the marker") for path in (marker_path(loan.paths, boolean), *loan.stale)),
    )
    return (Together(folder(loan.paths), steps, why="lock the folder of markers", always=True),)


def borrow(steps: tuple[Step, ...], selinux: Selinux, loan: Loan, process_label: str) -> tuple[Step, ...]:
    """Returns ``steps`` with the boolean on around them, if it is needed and not permanently on."""
    needed = bool(steps) and selinux.mode == "enforcing" and loan.value is not None and bool(process_label)
    if not needed:
        return (*steps, *return_steps(loan)) if loan.left_on else steps
    if loan.value and not loan.live and not loan.stale:
        return steps
    return (*borrow_steps(loan), *steps, *return_steps(loan))
