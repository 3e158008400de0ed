# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the causes of failures of CRIU and of LXC's programs."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import READ_TAIL, Cause
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

PROGRAMS = ("criu", "lxc-checkpoint", "lxc-cgroup", "lxc-freeze", "lxc-unfreeze", "lxc-wait")
# What LXC logs when CRIU, its child, has failed (do_restore in src/lxc/criu.c).
CRIU_FAILED = "criu process exited"
_LINE_LENGTH = 2000
# lxc-checkpoint NAME TIME ERROR CATEGORY - FILE:FUNCTION:LINE - WORDS
_ERROR = re.compile(r".{1,200} ERROR +\S{1,60} - \S{1,120}:\d{1,6} - (.{1,2000})")


def program_of(completed: Completed) -> str:
    """Returns the program, behind what starts it."""
    return next((one for one in completed.argv if one in PROGRAMS), "")


def cause_of(completed: Completed) -> Cause:
    """Returns what the program itself says; if CRIU has failed in it, CRIU's log says why."""
    program = program_of(completed)
    if program == "lxc-checkpoint":
        said = _logged(completed)
        why = f"LXC says: {said}" if said else "CRIU has failed"
    else:
        why = f"{program or completed.argv[0]} has failed: {completed.last_line[:_LINE_LENGTH]}"
    return Cause(why.rstrip("."), READ_TAIL, reason="tool_failed")


def _logged(completed: Completed) -> str:
    """Returns the first error in the log of LXC that the command names; empty if it only says that CRIU has failed."""
    path = next((one.partition("=")[2] for one in completed.argv if one.startswith("--logfile=")), "")
    text = read_text(path, may_fail=True) or "" if path else ""
    found = (_ERROR.match(line) for line in text.splitlines())
    first = next((one[1].strip() for one in found if one is not None), "")
    return "" if first.startswith(CRIU_FAILED) else first
