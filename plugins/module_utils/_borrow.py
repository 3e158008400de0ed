# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Borrowing the boolean of the restore: on for its seconds, given back on every path, also after a crash."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._local import BOOLEAN, PLACES, Selinux, read_text
from ansible_collections.criu.hosts.plugins.module_utils._plan import Command, MakeDir, Remove, Step, WriteFile


def marker_path(boolean: str = BOOLEAN) -> str:
    """The file that says that the boolean is borrowed, and by which process."""
    return f"{PLACES.run}/borrowed/{boolean}"


def process_start(pid: int) -> str:
    """When a process started, in ticks since the boot; empty if it has gone. With the pid it names one process."""
    text = read_text(f"{PLACES.proc}/{pid}/stat") or ""
    fields = text.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


@dataclass(frozen=True)
class Loan:
    """What the marker says. ``stale``: the borrower has gone without returning the boolean."""

    exists: bool = False
    stale: bool = False


def parse_marker(text: str) -> tuple[int, str]:
    """The borrower's pid and start; 0 if the marker cannot be read."""
    try:
        entry = json.loads(text)
        return int(entry["pid"]), str(entry["start"])
    except (ValueError, KeyError, TypeError):
        return 0, ""


def read_loan(boolean: str = BOOLEAN) -> Loan:
    """Look for a loan of another process."""
    text = read_text(marker_path(boolean))
    if text is None:
        return Loan()
    pid, start = parse_marker(text)
    return Loan(exists=True, stale=not start or process_start(pid) != start)


def _mark() -> str:
    return json.dumps({"pid": os.getpid(), "start": process_start(os.getpid())}) + "\n"


def busy(boolean: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot borrow the SELinux boolean {boolean!r}: another restore on this host has borrowed it and will "
        "switch it off. Run the task again when that has ended (until and retries do).",
        reason="boolean_busy",
    )


def return_steps(boolean: str = BOOLEAN) -> tuple[Step, ...]:
    """Give the boolean back, whatever happened before."""
    return (
        Command(("setsebool", boolean, "off"), why=f"return the SELinux boolean {boolean!r}", always=True),
        Remove(marker_path(boolean), why="remove the marker", always=True),
    )


def borrow(
    steps: tuple[Step, ...], selinux: Selinux, loan: Loan, process_label: str, boolean: str = BOOLEAN
) -> tuple[Step, ...]:
    """``steps`` with the boolean on around them, if it is needed and not on for good.

    Raises:
        CheckpointError: boolean_busy, another restore will switch it off in the midst of ours.
    """
    value = selinux.restore if boolean == BOOLEAN else selinux.dyntrans
    needed = bool(steps) and selinux.mode == "enforcing" and value is not None and bool(process_label)
    left_on = loan.stale and bool(value)
    if needed and loan.exists and not loan.stale:
        raise busy(boolean)
    if left_on and not needed:
        return (*steps, *return_steps(boolean))
    if not needed or (value and not left_on):
        return steps
    mark = (
        MakeDir(os.path.dirname(marker_path(boolean)), why="make the folder of the marker"),
        WriteFile(marker_path(boolean), _mark, why="mark the SELinux boolean as borrowed in"),
    )
    switch = (
        ()
        if value
        else (Command(("setsebool", boolean, "on"), why=f"borrow the SELinux boolean {boolean!r} for the restore"),)
    )
    return (*mark, *switch, *steps, *return_steps(boolean))
