# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Ends what killed tasks have left in a store of processes, as the next task on the process would do.

A whole checkpoint is put in place, and what surely holds no process is removed. What has to be proved or judged by a
person stays. Who has left it is gone: CRIU holds the locks of its task to its end.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import unit_name
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
from ansible_collections.criu.hosts.plugins.module_utils._process.settle import left_steps, settle
from ansible_collections.criu.hosts.plugins.module_utils._process.stored import KIND, end_left
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import read_begun
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import begun_path
from ansible_collections.criu.hosts.plugins.module_utils._store.sweep import Ended
from ansible_collections.criu.hosts.plugins.module_utils._store.working import working_folder

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

_NEXT = "The next process_checkpoint or process_restore with this name completes or removes it."


def end_unfinished(ctx: Context, held: ExitStack, store: str, names: Iterable[str]) -> Ended:
    """Looks at what is left of processes with these names; the caller holds their folders.

    ``held`` gets the images and services that are in use with them. What another task has is left alone.
    """
    found = Ended()
    for name in names:
        working = working_folder(store, KIND, name)
        if not os.path.isdir(working) or os.path.islink(working):
            continue
        try:
            found += _ended(ctx, held, store, name)
        except CheckpointError as error:
            found += Ended(warnings=(f"{_left(name, working)} It stays: {error.message}",))
    return found


def _left(name: str, working: str) -> str:
    return f"A task died when it stored a checkpoint of process {name!r}, and has left {working!r}."


def _ended(ctx: Context, held: ExitStack, store: str, name: str) -> Ended:
    """Raises:
    CheckpointError: busy, those of ``settle`` and ``end_left``.
    """
    working = working_folder(store, KIND, name)
    images = os.path.join(working, "images")
    held.enter_context(ctx.hold("images", images, seconds=0))
    begun = read_begun(begun_path(images))
    units = tuple(unit_name(one) for one in (begun.facts.get("unit") if begun is not None else None,) if one)
    for unit in units if ctx.is_root else ():
        held.enter_context(ctx.hold("unit", unit, seconds=0))
    options = ProcessOptions(images, None, False, False, False, (), ctx.is_root, store=store, name=name)
    found = settle(ctx, options, begun)
    if found.proof is not None or (begun is not None and begun.action == "restoring"):
        # Only a task on the process may end it if its labels are wrong.
        return Ended(warnings=(f"{_left(name, working)} {_NEXT}",))
    if found.unfinished:
        return Ended(
            warnings=(
                f"{_left(name, working)} It may hold the only copy of the process. Restore it from there "
                "(images_path), or remove that folder.",
            )
        )
    found = end_left(options, found)
    said = found.said if found.completed is not None else f"{_left(name, working)} This task has removed it."
    steps = (*left_steps(ctx, units, begun), *found.steps)
    return Ended(steps, (said,))
