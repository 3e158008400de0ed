# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Runs as the program that systemd calls for a schedule, with the name of the container."""

from __future__ import annotations

import os
from typing import Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.journal import say
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import watched
from ansible_collections.criu.hosts.plugins.module_utils._schedule.layout import FAILED
from ansible_collections.criu.hosts.plugins.module_utils._schedule.run import run

# A command that only reads is killed after so long. A plan limits the others by the memory of the container.
COMMAND_SECONDS = 240.0


def act(name: str) -> int:
    """Makes the checkpoint of the container; returns the exit status."""
    with watched(last=True):
        return run(Context({}, ProgramRunner(COMMAND_SECONDS), False), name, say)


def main(argv: Sequence[str]) -> int:
    """Does the work; returns 0 if it is done, 75 if a guard has skipped it, 1 if it has failed."""
    if len(argv) != 2 or not argv[1] or "/" in argv[1]:
        say("err", f"Usage: {os.path.basename(argv[0])} NAME")
        return 2
    status, error = attempt(f"checkpoint container {argv[1]!r}", lambda: act(argv[1]))
    if error is not None:
        say("err", error.message)
    return FAILED if status is None else int(status)
