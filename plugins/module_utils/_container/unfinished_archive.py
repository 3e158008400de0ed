# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Completes an archive whose task has died, or removes what cannot become one.

Beside the unfinished archive .NAME.partial lies its record .NAME.record, from before the dump begins: first with the
labels, then, when podman has written all of it, with size and SHA-256, also if the task is gone. Its time comes last.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Remove, Rename, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import size_of
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, find_record, record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import (
    kind_of,
    partial_path,
    unfinished_record_path,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

# Of a tar, which ends with two empty ones.
_BLOCK = 512


def place_steps(path: str) -> tuple[Step, ...]:
    """Returns the steps that give a complete archive its name, and its record.

    After each of them there is an archive with its own record, or one without a record, which can be restored too.
    """
    return (
        Remove(record_path(path), why="remove the record of the old archive"),
        Rename(partial_path(path), path, mode=0o600, why="put the archive in place at"),
        Rename(unfinished_record_path(path), record_path(path), mode=0o600, why="put the record in place at"),
    )


@dataclass(frozen=True)
class Unfinished:
    """The steps that end an unfinished archive; ``record`` is that of the archive that they complete.

    ``kept``: the file that stays, which nobody has seen complete, and which is all that is left of its container.
    """

    steps: tuple[Step, ...] = ()
    record: Record | None = None
    kept: str = ""


def _has_end(partial: str) -> bool:
    """Returns whether a tar that is not compressed ends as tars do: a cut between two files shows nowhere else."""
    with open(partial, "rb") as handle:
        if handle.read(_BLOCK)[257:262] != b"ustar" or os.fstat(handle.fileno()).st_size < 2 * _BLOCK:
            return True
        handle.seek(-2 * _BLOCK, os.SEEK_END)
        return not any(handle.read())


def _is_whole(engine: Engine, path: str, record: Record) -> bool:
    """Returns whether podman has written the whole archive."""
    partial = partial_path(path)
    if record.sha256:
        return size_of(partial) == record.size_bytes and file_sha256(partial) == record.sha256
    if kind_of(path):
        return False  # this host cannot read what it has encrypted, and a filter ends a file well that was cut off
    if not _has_end(partial):
        return False
    described, error = attempt("read the unfinished archive", lambda: engine.describe_archive(partial))
    return error is None and described.id in ("", record.id)


def left_advice(kept: str) -> str:
    """Returns what to do with the file that is left of a container that is gone."""
    return (
        f"{kept!r} is all that is left of it, and may be cut off. Decrypt it to a new file: if 'tar -tf' reads that to "
        "its end, restore from it with archive_path. Then move or remove this file."
    )


def read_unfinished(engine: Engine, path: str, stamp_of: Callable[[Record], str | None]) -> Unfinished:
    """Decides about the unfinished archive at ``path``; the caller holds its lock, so its task has ended.

    ``stamp_of`` returns the stamp of the checkpoint with which the container has ended, empty if the container is gone,
    and None if it has not ended with that checkpoint: then the archive is only kept if it is known to be complete.
    """
    beside_it, partial = unfinished_record_path(path), partial_path(path)
    text = read_text(beside_it, may_fail=True)
    if text is None:
        return Unfinished()
    record = find_record(text)
    drop = tuple(Remove(one, why="remove the unfinished archive") for one in (partial, beside_it))
    if record is None:
        return Unfinished(drop[1:])
    # First this: the engine answers when its work on the container has ended, and with it its writing.
    stamp = stamp_of(record)
    size = size_of(partial)
    if size is None:
        same = bool(record.sha256) and size_of(path) == record.size_bytes and file_sha256(path) == record.sha256
        return Unfinished(place_steps(path)[2:], record) if same else Unfinished(drop[1:])
    if (stamp is None and not record.checkpointed_at) or not _is_whole(engine, path, record):
        alone = stamp == "" and size > 0 and bool(kind_of(path))
        return Unfinished(kept=partial) if alone else Unfinished(drop)
    if not record.checkpointed_at:
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(os.stat(partial).st_mtime))
        digest = record.sha256 or file_sha256(partial)
        record = replace(record, stamp=stamp or "", size_bytes=size, sha256=digest, checkpointed_at=made)
    write = WriteFile(beside_it, render_record(record), why="write the record")
    return Unfinished((write, *place_steps(path)), record)
