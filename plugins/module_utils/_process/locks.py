# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Holds what a task works on: images with their parents, then units, then the process. Always in this order."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import unit_name

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def main_path(path: str) -> str:
    """Returns the folder that a folder of the same dump belongs to: ``web`` for ``.web.partial`` and ``.web.old``."""
    folder, name = os.path.split(path)
    stem, dummy, purpose = name.rpartition(".")
    ours = purpose in ("partial", "old") and stem.startswith(".") and len(stem) > 1
    return os.path.join(folder, stem[1:]) if ours else path


def parents_of(path: str) -> tuple[str, ...]:
    """Returns the folders to which the links ``parent`` lead, one after the other."""
    found: list[str] = []
    while os.path.islink(os.path.join(path, "parent")):
        path = os.path.realpath(os.path.join(path, "parent"))
        if path in found:
            break
        found.append(path)
    return tuple(found)


def hold_images(ctx: Context, held: ExitStack, path: str, parent: str | None = None) -> None:
    """Holds the images and all that their memory is based on, until ``held`` ends.

    Raises:
        CheckpointError: busy.
    """

    def all_of() -> list[str]:
        start = (path,) if parent is None else (path, parent)
        known = (one for first in start for one in (first, *parents_of(first)))
        # By their place, as Context.hold sees them: two tasks that need the same ones take them in the same order.
        return sorted({os.path.join(os.path.realpath(os.path.dirname(one)), main_path(one)) for one in known})

    wanted = all_of()
    for one in wanted:
        held.enter_context(ctx.hold("images", one))
    if all_of() != wanted:
        raise CheckpointError(
            f"Cannot work on the images {path!r}: a different task has changed their parents meanwhile. Run this task "
            "again.",
            reason="busy",
            path=path,
        )


def hold_store(ctx: Context, held: ExitStack, images_path: str) -> None:
    """Holds all checkpoints of a process in a store, before any images: ``images_path`` is where new ones are made.

    Raises:
        CheckpointError: busy.
    """
    held.enter_context(ctx.hold("store", os.path.dirname(os.path.dirname(images_path))))


def hold_stored(ctx: Context, held: ExitStack, paths: Iterable[str]) -> None:
    """Holds folders of images in a store, until ``held`` ends; the links in them count for nothing.

    Raises:
        CheckpointError: busy.
    """
    for one in sorted(paths):
        held.enter_context(ctx.hold("images", one))


def hold_units(ctx: Context, held: ExitStack, names: Iterable[str | None]) -> tuple[str, ...]:
    """Holds units; returns their names with the suffix."""
    units = tuple(sorted({unit_name(name) for name in names if name})) if ctx.is_root else ()
    for unit in units:
        held.enter_context(ctx.hold("unit", unit))
    return units


def hold_process(ctx: Context, held: ExitStack, thing: str) -> None:
    """Holds a process: by its pid for a dump; by the digest of the images, wherever they are, for a restore."""
    held.enter_context(ctx.hold("process", thing))
