# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes a checkpoint as an image in the engine's storage."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._store.image_record import (
    image_record_path,
    temporary_path,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.record_writer import RecordWriter
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container


@dataclass
class ImageWriter:
    """Makes an image and its record."""

    ctx: Context
    name: str
    writer: RecordWriter
    # It has none.
    stored_archive: None = None

    @property
    def old_id(self) -> str:
        """The id of the image that has the name before; empty without one."""
        return self.writer.old_image

    @property
    def folder(self) -> str:
        return temporary_path(self.ctx.paths, self.name)

    def begin(self) -> tuple[Step, ...]:
        return (
            MakeDir(os.path.dirname(self.folder), why="make the folder"),
            Remove(self.folder, why="remove the temporary files of an earlier image"),
            MakeDir(self.folder, why="make the folder for temporary files"),
        )

    def end(self) -> tuple[Step, ...]:
        """Plans what follows the engine's work: the image is complete then, and has its name."""
        engine, container, desired = self.writer.engine, self.writer.container, self.writer.desired
        used = engine.leftovers(container, desired.options) if desired.options.leave_running else ()

        def replaced() -> bool:
            return engine.stamp(container) not in ("", self.writer.stamp)

        drop = engine.images.drop_steps(self.old_id, "remove the old image") if self.old_id else ()
        return (
            Check(self.find, why=f"find the image {self.name!r}"),
            *self._consistency(used),
            *(Remove(one, why="remove the checkpoint in place", unless=replaced) for one in used),
            WriteFile(image_record_path(self.ctx.paths, self.name), self.writer.text, why="write the record"),
            *drop,
        )

    def find(self) -> None:
        """Finds the image that the engine has made.

        Raises:
            CheckpointError: tool_failed, it is not there, or has a different container in it.
        """
        images, container = self.writer.engine.images, self.writer.container
        found = images.named(self.ctx, self.name)
        if found is None or found.id == self.old_id or images.describe(found).id != container.id:
            raise CheckpointError(
                f"Cannot checkpoint container {container.name!r} to the image {self.name!r}: the engine reports "
                "success, and the image is not there. Read the host's journal.",
                reason="tool_failed",
            )
        self.writer.image = found

    def _consistency(self, used: tuple[str, ...]) -> tuple[Step, ...]:
        """Plans to compare the files in the image of a container that ran on; a failure removes the image."""
        if not self.writer.desired.options.leave_running:
            return ()
        engine, container = self.writer.engine, self.writer.container

        def compare() -> None:
            image = self.writer.image
            changed = engine.images.changed_files(container, image) if image is not None else ()
            if changed:
                named = " and ".join(map(repr, changed[:3]))
                raise CheckpointError(
                    f"Cannot checkpoint container {container.name!r} to {self.name!r}: the container changed {named} "
                    "between the dump of its memory and the copy of its files, so no restore would succeed. The image "
                    "is removed. Leave out leave_running, or try again when the container writes less.",
                    reason="archive_inconsistent",
                )

        why = f"compare the files of container {container.name!r} with its memory in the image"
        undo = (
            *engine.images.remove_steps(self.name, "remove the image"),
            *(Remove(one, why="remove the images of the dump") for one in used),
        )
        return (Check(compare, why=why, undo=undo),)


def image_writer(ctx: Context, desired: Desired, writer: RecordWriter) -> ImageWriter:
    """Returns the writer of the image in the options."""
    name = desired.image or ""
    old = writer.engine.images.named(ctx, name)
    writer.old_image = old.id if old is not None else ""
    return ImageWriter(ctx, name, writer)


def image_steps(paths: Paths, desired: Desired, container: Container, writer: RecordWriter) -> tuple[Step, ...]:
    """Plans the engine's work; its temporary files have a folder of their own, so that none outlives a kill."""
    name = desired.image or ""
    folder = temporary_path(paths, name)
    return (
        *writer.engine.images.make_steps(container, desired.options, name, folder),
        Remove(folder, why="remove the temporary files", always=True),
    )
