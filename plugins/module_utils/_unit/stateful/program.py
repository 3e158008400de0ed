# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Packs the program of stateful units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.program import PACKAGE, packed_program
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import FAILED, TERMINATED, stopping_dir

if TYPE_CHECKING:
    # Ansible sends all files that a module names: this line makes it send the whole program.
    from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.main import main  # noqa: F401

FIRST = "_unit.stateful.main"
START = f"""\
# Of the Ansible collection criu.hosts: starts and stops the container of a stateful unit.
import os
import sys

if sys.argv[1:2] == ["stopped"] and os.environ.get("SERVICE_RESULT") == "success":
    # Without a status there was no main process: the start was stopped, and the container may run.
    status = os.environ.get("EXIT_STATUS")
    if status in ("0", "{TERMINATED}") or (status and os.path.exists("{stopping_dir(Paths())}/" + sys.argv[2])):
        sys.exit(0)  # nothing to clean up: do not load the rest


def hook(*what):
    sys.__excepthook__(*what)
    sys.stderr.flush()
    os._exit({FAILED})  # systemd takes Python's own status, 1, for a success here


sys.excepthook = hook

from {PACKAGE}.{FIRST} import main

# Python would make a failure of a success if its last words cannot be written.
os._exit(main(sys.argv))
"""


def unit_program() -> bytes:
    """Returns the archive that stateful units run."""
    return packed_program(FIRST, START)
