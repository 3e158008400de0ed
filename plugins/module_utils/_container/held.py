# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Holds the locks of a task's containers and archives, and looks at the container under them."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._host.names import is_id
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import begun_path, read_begun
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import pipe_path, unfinished_record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.working import is_working

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun


@dataclass(frozen=True)
class Held:
    """What a task has found under its locks. ``desired`` has the real name if the task gave an id.

    ``note`` is what a task that died had begun on the container; ``archives`` are the archives that are locked,
    ``working`` the folders of stored checkpoints that are not whole.
    """

    desired: Desired
    container: Container | None
    note: Begun | None = None
    archives: tuple[str, ...] = ()
    working: tuple[str, ...] = ()


def read_note(paths: Paths, name: str) -> Begun | None:
    """Returns what a task that died had begun on the container; the caller holds its lock."""
    return read_begun(begun_path(paths, "container", name))


def _archive_in(note: Begun | None) -> str:
    return note.facts.get("archive_path", "") if note is not None else ""


def _image_in(note: Begun | None) -> str:
    return note.facts.get("image", "") if note is not None else ""


def look(ctx: Context, engine: Engine, name: str) -> Container | None:
    """Looks at a container that is locked. The command of a killed task may hold it, and wait at the archive's pipe."""
    noted = _archive_in(read_note(ctx.paths, name))
    with ctx.ending(pipe_path(noted)) if noted else nullcontext():
        return engine.inspect(ctx, name)


def _must_look(ctx: Context, desired: Desired) -> bool:
    """Returns whether the task has to know the container: the removal of an archive that is complete has not."""
    path = desired.archive_path
    if desired.state != "absent" or path is None or read_note(ctx.paths, desired.target) is not None:
        return True
    return os.path.lexists(unfinished_record_path(path))


def _by_archive(engine: Engine, desired: Desired) -> Desired:
    if not is_id(desired.name):
        return desired
    # Few tasks name a container by its id: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.real_name import named_by_archive

    return named_by_archive(engine, desired)


@contextmanager
def held(ctx: Context, engine: Engine, desired: Desired, *, importing: bool = False) -> Iterator[Held]:
    """Holds the locks for the time of the block: names in their order, then a real name, then archives in their order.

    Tasks that take locks in one order never wait for each other in a circle. A task may name the container by its full
    id: then the name of the container counts or, without one, the name in the archive. ``importing``: the container is
    to come from the archive, so the name in the archive counts first.

    Raises:
        CheckpointError: busy, file_failed, what the engine raises for a container that cannot be read.
    """
    if importing or desired.state == "absent":
        desired = _by_archive(engine, desired)
    with ExitStack() as stack:
        for name in sorted({desired.name, desired.target}):
            stack.enter_context(ctx.hold("container", name))
        container = look(ctx, engine, desired.target) if _must_look(ctx, desired) else None
        if container is not None and container.name != desired.target:
            if importing:
                container = None
            else:
                desired = replace(desired, name=container.name)
                stack.enter_context(ctx.hold("container", desired.name))
                container = look(ctx, engine, desired.name)
        elif container is None and desired.state == "present" and not importing:
            # It was made with --rm, and is only in its archive.
            named = _by_archive(engine, desired)
            if named is not desired:
                desired = named
                stack.enter_context(ctx.hold("container", desired.name))
                container = look(ctx, engine, desired.name)
        note = read_note(ctx.paths, desired.target)
        noted = _archive_in(note)
        found = Held(desired, container, note, (noted,) if noted else ())
        if desired.store is not None or is_working(noted):
            from ansible_collections.criu.hosts.plugins.module_utils._container.stored import in_store

            found = in_store(found, importing=importing)
            for path in found.working:
                stack.enter_context(ctx.hold("store", os.path.dirname(path)))
        archives = tuple(sorted({path for path in (found.desired.archive_path, *found.archives) if path}))
        for path in archives:
            stack.enter_context(ctx.hold("archive", path))
        for image in sorted({one for one in (found.desired.image, _image_in(note)) if one}):
            stack.enter_context(ctx.hold("image", image))
        yield replace(found, archives=archives)
