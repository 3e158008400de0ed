# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds a lock of the collection in a different process."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import Iterator


@contextmanager
def held_by_another(path: str) -> Iterator[None]:
    """A different process holds the lock for the time of the block."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    script = (
        "import fcntl, json, sys, time\n"
        "handle = open(sys.argv[1], 'w')\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\n"
        "json.dump({'task': 'other', 'pid': 4711, 'since': time.time()}, handle)\n"
        "handle.flush()\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
        other.communicate("")
