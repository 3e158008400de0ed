# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Looks after an archive of a container that ran on: its files may be newer than its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import partial_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.record_writer import RecordWriter
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired


def runs_on_warning(desired: Desired) -> tuple[str, ...]:
    """Warns about an archive whose files are copied while the container writes to them."""
    if desired.origin is None or not desired.options.leave_running:
        return ()
    return (
        f"Container {desired.name!r} ran on while its files were copied to {desired.place!r}: files that it "
        "wrote meanwhile are newer than its memory there. Leave out leave_running if it writes to files or volumes."
        + ("" if desired.encryption is None else " An encrypted archive is not searched for such files."),
    )


def consistency_steps(desired: Desired, writer: RecordWriter) -> tuple[Step, ...]:
    """Plans to compare the files in such an archive with its memory; a failure removes the archive."""
    path, container, engine = desired.archive_path, writer.container, writer.engine
    if path is None or not runs_on_warning(desired) or desired.encryption is not None:
        return ()

    def compare() -> None:
        changed = engine.changed_files(container, partial_path(path))
        if changed:
            named = " and ".join(map(repr, changed[:3]))
            raise CheckpointError(
                f"Cannot checkpoint container {container.name!r} to {desired.place!r}: the container changed {named} "
                "between the dump of its memory and the copy of its files, so no restore would succeed. The archive is "
                "removed. Leave out leave_running, or try again when the container writes less.",
                reason="archive_inconsistent",
                path=path,
            )

    why = f"compare the files of container {container.name!r} with its memory in the archive"
    left = engine.leftovers(container, desired.options)
    return (Check(compare, why=why, undo=tuple(Remove(one, why="remove the images of the dump") for one in left)),)
