# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a restore of file locks that a running process holds: CRIU would wait for them without end."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_resources import Lock, read_locks
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import comm_of
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images, invalid

# "1: POSIX  ADVISORY  WRITE 3568 fd:00:2531452 0 EOF" (proc_locks(5)). One that waits has "->" after its number.
_HELD = re.compile(
    r"[0-9]+: (?P<kind>[A-Z]+) +[A-Z]+ +(?P<mode>[A-Z]+) +(?P<pid>-?[0-9]+) +"
    r"(?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+):(?P<inode>[0-9]+) +(?P<start>[0-9]+) +(?P<end>[0-9]+|EOF)\Z"
)


@dataclass(frozen=True)
class Held:
    """A lock that is held now. ``pid`` is 0 or -1 if the kernel does not say whose it is."""

    kind: str
    writes: bool
    pid: int
    device: tuple[int, int]
    inode: int
    start: int
    end: int | None

    def excludes(self, lock: Lock) -> bool:
        """Returns whether both locks cannot be held at once, if they are on the same file."""
        # flock() and fcntl() do not see each other's locks.
        same_kind = (self.kind == "FLOCK") is (lock.kind == "FLOCK")
        apart = (self.end is not None and self.end < lock.start) or (lock.end is not None and lock.end < self.start)
        return same_kind and not apart and (self.writes or lock.writes)


def parse_held(text: str) -> tuple[Held, ...]:
    """Returns the locks in /proc/locks, without leases and without those that are waited for."""
    found = []
    for line in text.split("\n"):
        match = _HELD.match(line[:200])
        if match and match["kind"] in ("POSIX", "FLOCK", "OFDLCK"):
            device = (int(match["major"], 16), int(match["minor"], 16))
            end = None if match["end"] == "EOF" else int(match["end"])
            pid, writes = int(match["pid"]), match["mode"] == "WRITE"
            found.append(Held(match["kind"], writes, pid, device, int(match["inode"]), int(match["start"]), end))
    return tuple(found)


def _is_on(paths: Paths, held: Held, status: os.stat_result) -> bool:
    """Returns whether a lock is on the file with this status."""
    if held.inode != status.st_ino:
        return False
    if held.device == (os.major(status.st_dev), os.minor(status.st_dev)):
        return True
    # Some file systems show processes a device of their own (btrfs, overlayfs): the holder has the very file open.
    folder = f"{paths.proc}/{held.pid}/fd"
    try:
        return any(os.path.samestat(os.stat(f"{folder}/{name}"), status) for name in os.listdir(folder))
    except OSError:
        return False


def refuse_held_locks(paths: Paths, images: Images) -> None:
    """Refuses when a process holds a lock that the restored one would wait for.

    Raises:
        CheckpointError: file_lock_held, images_invalid.
    """
    try:
        locks = read_locks(images.path)
    except (ImageError, OSError) as error:
        raise invalid(images.path, f"its filelocks.img or files.img is damaged ({error})") from error
    now = parse_held(read_text(f"{paths.proc}/locks", may_fail=True) or "") if locks else ()
    for lock in locks:
        try:
            status = os.stat(paths.below(lock.path))
        except (OSError, ValueError):
            continue
        for held in now:
            if held.excludes(lock) and _is_on(paths, held, status):
                raise _held(paths, images, lock, held)


def _held(paths: Paths, images: Images, lock: Lock, held: Held) -> CheckpointError:
    comm = comm_of(paths, held.pid) if held.pid > 0 else ""
    who = f"process {held.pid} ({comm!r})" if comm else "a process that cannot be seen from here"
    return CheckpointError(
        f"Cannot restore {images.text} from {images.path!r}: it held a lock on {lock.path!r}, which {who} holds now. "
        "End that process, or set file_locks: false to restore without the lock.",
        reason="file_lock_held",
        path=lock.path,
        pid=held.pid if held.pid > 0 else None,
    )
