# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Notes what begins on a container, with the record that the labels are compared with, before anything happens."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Iterable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.durations import seconds_of
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import boot_id
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import free_bytes
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import (
    Begun,
    begin_steps,
    begun_path,
    end_step,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, find_record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

# A note and its record are much smaller.
NOTE_BYTES = 1 << 20


def known_record_path(paths: Paths, name: str) -> str:
    """Returns the path of the record that belongs to the note about the container."""
    return begun_path(paths, "record", name)


def known_record(paths: Paths, name: str) -> Record | None:
    """Returns the record that was written with the note; None if there is none that can be used."""
    return find_record(read_text(known_record_path(paths, name), may_fail=True))


def begin(paths: Paths, action: str, name: str, record: Record | None, facts: Mapping[str, Any]) -> tuple[Step, ...]:
    """Returns the steps that note ``action`` on the container: they go before all others.

    ``facts`` are texts and booleans; ``since`` is added, the time of the note in seconds since 1970.
    """
    texts = {key: ("yes" if value else "") if isinstance(value, bool) else str(value) for key, value in facts.items()}
    begun = Begun(action, name, boot_id(paths) or "", facts={"since": f"{time.time():.3f}", **texts})
    known = known_record_path(paths, name)
    text = () if record is None else (WriteFile(known, render_record(record), why="write the record of what begins"),)
    return (
        MakeDir(os.path.dirname(known), why="make the folder"),
        *(text or (Remove(known, why="remove an old record"),)),
        *begin_steps(begun_path(paths, "container", name), begun)[1:],
    )


def end(paths: Paths, name: str) -> tuple[Remove, ...]:
    """Returns the steps that remove the note: they go after all others."""
    return (
        end_step(begun_path(paths, "container", name)),
        Remove(known_record_path(paths, name), why="remove the record of what had begun"),
    )


def has_room(paths: Paths) -> bool:
    """Returns whether a note can be written: a restore, which frees space, must not fail for want of it."""
    return free_bytes(paths.state) >= NOTE_BYTES


def created_since(container: Container, since: float) -> bool:
    """Returns whether the container was created after ``since`` (seconds since 1970); False if that is not known."""
    created = seconds_of(container.created_at)
    return created is not None and created >= since


def written_since(folders: Iterable[str], since: float) -> tuple[str, ...]:
    """Returns the folders in which files were written since then (seconds since 1970), for example by a failed dump."""
    return tuple(
        path
        for path in folders
        if os.path.isdir(path) and any(entry.stat().st_mtime >= since for entry in os.scandir(path))
    )


def removal(
    engine: Engine, container: Container, paths: Iterable[str], stamp: str, why: str = "remove the used checkpoint"
) -> tuple[Step, ...]:
    """Returns the steps that remove files of the checkpoint in place, only while it is the one with this stamp."""

    def replaced() -> bool:
        return engine.stamp(container) not in ("", stamp)

    return tuple(Remove(path, why=why, unless=replaced) for path in paths)
