# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Packs the program that the timers run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.program import PACKAGE, packed_program
from ansible_collections.criu.hosts.plugins.module_utils._schedule.layout import FAILED

if TYPE_CHECKING:
    # Ansible sends all files that a module names: this line makes it send the whole program.
    from ansible_collections.criu.hosts.plugins.module_utils._schedule.main import main  # noqa: F401

FIRST = "_schedule.main"
START = f"""\
# Of the Ansible collection criu.hosts: makes a scheduled checkpoint of a container.
import os
import sys


def hook(*what):
    sys.__excepthook__(*what)
    sys.stderr.flush()
    os._exit({FAILED})


sys.excepthook = hook

from {PACKAGE}.{FIRST} import main

os._exit(main(sys.argv))
"""


def schedule_program() -> bytes:
    """Returns the archive that the timers run."""
    return packed_program(FIRST, START)
