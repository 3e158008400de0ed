# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans an archive of a Docker container: its checkpoint, its changed files, its volumes, and what makes it again.

Nothing changes between the dump and the copy: the container has ended, or it is paused for that time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import DUMPS
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker import places
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.answers import entry_of
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.archive import (
    DESCRIPTION,
    IMAGES,
    ROOTFS,
    VOLUMES,
    describe,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.steps import (
    dump_steps,
    pause_step,
    unpause_step,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import objects, word
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options

# As files are in the layer of a container: with owners, capabilities and the marks of overlayfs.
WHOLE = ("--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls")


def work_dir(folder: str) -> str:
    """Returns where the parts of an archive are made: in the container's own folder, so that they go with it."""
    return f"{folder}/criu-hosts"


def export_steps(paths: Paths, container: Container, options: Options, export: str) -> tuple[Step, ...]:
    """Plans the checkpoint, and its archive in the file or pipe ``export``.

    Raises:
        CheckpointError: ability_missing, auto_remove, engine_elsewhere.
    """
    what = f"checkpoint container {container.name!r} to an archive"
    upper = "" if options.ignore_rootfs else _demand_upper(container, what)
    if container.auto_remove and not options.leave_running:
        raise CheckpointError(
            f"Cannot {what}: it was made with --rm, so Docker would remove it, with its files, before they are in the "
            "archive. Set leave_running, or make the container without --rm.",
            reason="auto_remove",
        )
    folder = places.demand_folder(paths, container)
    work, why = work_dir(folder), f"make the archive of container {container.name!r}"
    go_on = unpause_step(container.id, f"let container {container.name!r} go on", always=True)
    volumes = () if options.ignore_volumes else local_volumes(paths, container)
    descriptions = describe(container, _oci(paths, container), volumes)
    parts = [DESCRIPTION, *DUMPS]
    steps: list[Step] = [Remove(work, why="remove"), MakeDir(work, why="make the folder")]
    steps += [WriteFile(f"{work}/{name}", descriptions[name], why="write") for name in parts]
    if upper:
        steps.append(Command(_pack(f"{work}/{ROOTFS}", WHOLE, upper, "."), why=why, finish=True))
        parts.append(ROOTFS)
    if volumes:
        root = f"{places.root(paths)}/volumes"
        names = tuple(f"{name}/_data" for name in volumes)
        steps.append(Command(_pack(f"{work}/{VOLUMES}", WHOLE, root, *names), why=why, finish=True))
        parts.append(VOLUMES)
    images = os.path.dirname(places.images_of(paths, container))
    named = f"--transform=s,^{places.CHECKPOINT},{IMAGES},"
    argv = (*_pack(export, ("--numeric-owner", named), work, *parts), f"--directory={images}", places.CHECKPOINT)
    return (
        *((pause_step(container),) if options.leave_running else ()),
        *dump_steps(paths, container, options),
        *steps,
        Command(argv, why=why, label="export", finish=True),
        Remove(work, why="remove", always=True),
        *((go_on,) if options.leave_running else ()),
    )


def _pack(archive: str, flags: tuple[str, ...], folder: str, *names: str) -> tuple[str, ...]:
    return ("tar", "--create", *flags, f"--file={archive}", f"--directory={folder}", *names)


def _demand_upper(container: Container, what: str) -> str:
    upper = container.own["upper"]
    if not upper:
        raise CheckpointError(
            f"Cannot {what}: Docker's storage driver is not overlay2, and only that one shows the files that a "
            "container has changed. Leave out the archive, or set ignore_rootfs.",
            reason="ability_missing",
        )
    return upper


def _oci(paths: Paths, container: Container) -> dict[str, object]:
    """Returns the configuration of the container's OCI runtime; empty if it is not known."""
    bundle = places.bundle_of(paths, container.id)
    try:
        return parse_object(read_text(f"{bundle}/config.json", may_fail=True) or "{}") if bundle else {}
    except ValueError:
        return {}


def local_volumes(paths: Paths, container: Container) -> tuple[str, ...]:
    """Returns the names of the volumes whose files Docker keeps itself, below its own folder."""
    root = f"{places.root(paths)}/volumes"
    mounts = objects(entry_of(container).get("Mounts"), "Mounts")
    return tuple(
        word(one, "Name")
        for one in mounts
        if one.get("Type") == "volume" and paths.below(word(one, "Source")) == f"{root}/{word(one, 'Name')}/_data"
    )
