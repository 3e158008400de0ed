# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses to replace images that may be the only copy of a process."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_bytes
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
from ansible_collections.criu.hosts.plugins.module_utils._process.copies import find_copy, note_paths, read_own
from ansible_collections.criu.hosts.plugins.module_utils._process.target import Target
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def program_of(paths: Paths, pid: int) -> str:
    """Returns the SHA-256 of the command line and the working folder of a process; empty if they cannot be read."""
    base = f"{paths.proc}/{pid}"
    try:
        words, folder = read_bytes(f"{base}/cmdline"), os.fsencode(os.readlink(f"{base}/cwd"))
    except OSError:
        return ""
    return hashlib.sha256(words + b"\0" + folder).hexdigest() if words else ""


def _was_restored(ctx: Context, images: Images, path: str) -> bool:
    """Returns whether a process was restored from these images, whether or not it still runs."""
    for note in note_paths(ctx.paths, path, images.digest, root=ctx.is_root):
        try:
            entry = parse_object(read_own(note))
        except ValueError:
            continue
        if entry.get("inventory") == images.digest:
            return True
    return False


def _is_same(paths: Paths, record: ProcessRecord, target: Target, process: Process) -> bool:
    """Returns whether a process runs the recorded program: the same service, or the same command in the same folder."""
    if record.exe != process.exe:
        return False
    unit = target.unit.name if target.unit is not None else ""
    if unit and record.unit:
        return unit == record.unit
    # Older releases did not record the program.
    return not record.program or record.program == program_of(paths, process.pid)


def refuse_only_copy(ctx: Context, images: Images | None, target: Target, process: Process, path: str) -> None:
    """Refuses to replace images that may be the only copy of a process.

    Raises:
        CheckpointError: images_mismatch.
    """
    if images is None:
        return
    record = images.record
    if record is not None and (record.pre_dump or record.is_alive(ctx.paths)):
        return
    copy = find_copy(ctx.paths, images, root=ctx.is_root) if images.tasks else None
    if copy is not None:
        return
    used = record is not None and (record.leave_running or _was_restored(ctx, images, path))
    if used and record is not None and _is_same(ctx.paths, record, target, process):
        return
    why = "a different program" if used else "of which they may be the only copy"
    raise CheckpointError(
        f"Cannot replace the images in {path!r} with those of {process.text}: they hold {images.text}, {why}. Restore "
        "it, set a different images_path, or remove them (state: absent).",
        reason="images_mismatch",
        path=path,
    )
