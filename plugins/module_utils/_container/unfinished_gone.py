# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Ends what killed tasks have left in a store of containers that were removed or renamed since.

No task on such a container comes any more that would do so. A whole checkpoint is put in place, all else is removed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._container.held import look
from ansible_collections.criu.hosts.plugins.module_utils._container.stored import KIND, end_left, left_archives
from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished_archive import (
    left_advice,
    read_unfinished,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_record
from ansible_collections.criu.hosts.plugins.module_utils._store.record import find_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import pipe_path, unfinished_record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.sweep import Ended
from ansible_collections.criu.hosts.plugins.module_utils._store.working import read_draft, working_folder

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def end_gone(ctx: Context, engine: Engine, store: str, names: Iterable[str]) -> Ended:
    """Looks at what is left of containers with these names. The caller holds the containers and their folders.

    Raises:
        CheckpointError: what the engine raises for a container that cannot be read.
    """
    found = Ended()
    for name in names:
        working = working_folder(store, KIND, name)
        if os.path.isdir(working) and not os.path.islink(working) and _is_gone(ctx, engine, store, name):
            found += _ended(engine, store, name)
    return found


def _is_gone(ctx: Context, engine: Engine, store: str, name: str) -> bool:
    """Returns whether no container of this name is the one whose checkpoint was begun."""
    try:
        container = look(ctx, engine, name)
    except CheckpointError as error:
        if error.reason != f"{engine.name}_missing":
            raise
        return True
    return container is None or container.id not in _ids(store, name)


def _ids(store: str, name: str) -> set[str]:
    draft = read_draft(working_folder(store, KIND, name))
    known = {str(draft.record["id"])} if draft is not None else set()
    for path in left_archives(store, name):
        records = (read_record(path), find_record(read_text(unfinished_record_path(path), may_fail=True)))
        known |= {one.id for one in records if one is not None}
    return known


def _ended(engine: Engine, store: str, name: str) -> Ended:
    working = working_folder(store, KIND, name)
    archived: dict[str, Record] = {}
    steps: tuple[Step, ...] = ()
    for path in left_archives(store, name):
        found = read_unfinished(engine, path, lambda dummy: "")
        if found.kept:
            what = f"A task died when it encrypted the archive of container {name!r}, which is gone."
            return Ended(warnings=(f"{what} {left_advice(found.kept)}",))
        if os.path.lexists(pipe_path(path)):
            steps = (*steps, Remove(pipe_path(path), why="remove the pipe"))
        steps = (*steps, *found.steps)
        if found.record is not None:
            archived[path] = found.record
    ended = end_left(working, archived)
    said = f"A task died when it stored a checkpoint of container {name!r}, which is gone. "
    if ended.record is not None:
        said += f"This task has put it in place as {os.path.dirname(ended.archive)!r}."
    else:
        said += "This task has removed the rest, which is not whole."
    return Ended((*steps, *ended.steps), (said,))
