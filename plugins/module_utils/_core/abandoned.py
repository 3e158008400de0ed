# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Stands at the other end of a named pipe whose own has been killed, so that the command at it ends.

A command that has opened a pipe for both directions, as podman does for an archive, gets no SIGPIPE: it would wait for
ever, and hold its own lock of the container. A kill by name (pkill) ends a task, its guardian and the process at the
pipe together, since all have the task's name.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from contextlib import contextmanager
from typing import Iterator

_PIECE = 1 << 20
# How often a command that reads from the pipe gets its end.
_PAUSE = 0.05


def serve(pipe: str, stop: threading.Event) -> None:
    """Throws away what is written into the pipe, and ends what is read from it, until ``stop`` is set."""
    while not stop.is_set():
        try:
            descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # the command, or the task, may have none yet
            stop.wait(_PAUSE)
            continue
        try:
            if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                return
            while select.select([descriptor], [], [], _PAUSE)[0]:
                os.read(descriptor, _PIECE)
        except BlockingIOError:  # a reader was faster
            pass
        finally:
            os.close(descriptor)


@contextmanager
def served(pipe: str) -> Iterator[None]:
    """Does so for the time of the block."""
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(pipe, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
