# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Locks a thing (a container, an images folder, an archive, a unit), so that only one task at a time works on it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.files import make_dir

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths

# How long a task waits for a different one that works on the same thing; docs/promises.md names it.
HOLD_SECONDS = 60.0
_PAUSE = 0.05
# A description of a holder is shorter.
_LIMIT = 4096


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(descriptor: int, seconds: float) -> bool:
    last = time.monotonic() + seconds
    while not _take(descriptor):
        if time.monotonic() >= last:
            return False
        time.sleep(_PAUSE)
    return True


@contextmanager
def locked(folder: str, wait: float = 0.0) -> Iterator[None]:
    """Locks ``folder`` for the time of the block; the kernel unlocks it when the process ends, in any way.

    ``wait``: how many seconds to wait for another task that holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not _wait(descriptor, wait):
            raise CheckpointError(
                f"Cannot work in {folder!r}: another task is working there. Run this task again when that one "
                "has ended.",
                reason="busy",
                path=folder,
            )
        yield
    finally:
        os.close(descriptor)


def locks_dir(paths: Paths, uid: int) -> str:
    """Returns the folder of the locks: nobody but the caller may open it, so nobody else can hold one."""
    if uid == 0:
        return f"{paths.run}/locks"
    import pwd  # for tasks without root only

    try:
        home = pwd.getpwuid(uid).pw_dir
    except KeyError:
        home = f"/run/user/{uid}"  # made by systemd for a session
    return f"{paths.below(home)}/.cache/criu-hosts/locks"


def lock_path(paths: Paths, uid: int, kind: str, thing: str) -> str:
    """Returns the path of the lock of a thing, for example of the kind container and the name web.

    A path is the same thing by each name that leads to it.
    """
    if thing.startswith("/"):
        thing = os.path.join(os.path.realpath(os.path.dirname(thing)), os.path.basename(thing))
    digest = hashlib.sha256(thing.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return f"{locks_dir(paths, uid)}/{kind}-{digest}"


def _holder(descriptor: int) -> str:
    """Returns a description of who holds the lock, from the file that only holders write."""
    try:
        entry = json.loads(os.pread(descriptor, _LIMIT, 0))
        seconds = max(0, round(time.time() - float(entry["since"])))
        return f"{entry['task']} (process {int(entry['pid'])}) has held it for {seconds} s"
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, OSError):
        return "a different task holds it"


def _sign(descriptor: int) -> None:
    """Writes who holds the lock; on a full disk it is held all the same."""
    task = os.path.splitext(os.path.basename(sys.argv[0]))[0] or "python"
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"task": task, "pid": os.getpid(), "since": time.time()}).encode(), 0)
    except OSError:
        return


@contextmanager
def hold(path: str, what: str, seconds: float | None = None) -> Iterator[None]:
    """Holds the lock ``path`` of the thing ``what`` for the time of the block: Context.hold explains it.

    Raises:
        CheckpointError: busy, file_failed.
    """
    try:
        make_dir(os.path.dirname(path), 0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CheckpointError(
            f"Cannot lock the {what}: {error.strerror}: {path!r}. Check the folder and its owner.",
            reason="file_failed",
            path=path,
        ) from error
    try:
        if not _wait(descriptor, HOLD_SECONDS if seconds is None else seconds):
            raise CheckpointError(
                f"Cannot work on the {what}: {_holder(descriptor)}. Run this task again when that has ended.",
                reason="busy",
                path=path,
            )
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)
