# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Notes which dump of a process was the last that let the kernel track changes of its memory.

The kernel has one mark for each page (soft-dirty), and each such dump resets it (task_reset_dirty_track in criu/mem.c).
So images that are based on any but the last one would lack what has changed between the two, and CRIU does not notice.
The note is empty from before the dump until its images are in place: those of one that fails are no parent of others.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import locks_dir
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._process.copies import read_own

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process


def tracking_path(ctx: Context, process: Process) -> str:
    """Returns the path of the note about a process; for root it is gone after a boot, like the process."""
    return f"{os.path.dirname(locks_dir(ctx.paths, ctx.uid))}/tracked/{process.pid}-{process.start}-{process.boot}"


def begin_steps(note: str) -> tuple[Step, ...]:
    """Plans the note that a dump begins which lets the kernel track changes from then on."""
    return (
        MakeDir(os.path.dirname(note), why="make the folder"),
        WriteFile(note, "", why="note that a dump begins which tracks changes of memory in"),
    )


def end_steps(note: str, images_path: str, *, ends: bool) -> tuple[Step, ...]:
    """Plans the note of the images since which changes are tracked; none of a process that its dump ends."""
    if ends:
        return (Remove(note, why="remove the note of tracked memory"),)
    return (WriteFile(note, lambda: images_word(images_path), why="note since when changes of memory are tracked in"),)


def images_word(images_path: str) -> str:
    """Returns the word for images in a note: the SHA-256 of their record, which has their time and their inventory."""
    return file_sha256(os.path.join(images_path, RECORD))


def tracked_since(ctx: Context, process: Process) -> str | None:
    """Returns the word for the images since which changes are tracked; empty if they are lost, None without a note."""
    data = read_own(tracking_path(ctx, process))
    return None if data is None else data.decode("ascii", "replace")
