# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Opens files for reading that may be something else by now."""

from __future__ import annotations

import os


def without_waiting(path: str, flags: int) -> int:
    """Opens a file as ``opener`` of ``open``: never waits for a pipe, and makes no terminal that of this process."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
