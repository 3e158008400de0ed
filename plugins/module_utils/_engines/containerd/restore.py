# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans the restore of a container. It is made again, with its files: ctr has no restore of one that is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import unpack_steps
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.archive import read_description
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.dump import layer_steps
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.image import (
    ARCHIVE,
    IMPORT,
    import_steps,
    reference,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.place import (
    config_file_of,
    folder_of,
    import_folder,
    labels_of,
    read_config,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.reads import CTR, ENGINE
from ansible_collections.criu.hosts.plugins.module_utils._engines.criu_options import require_criu_options

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def restore_steps(paths: Paths, container: Container, options: Options, bundle: str) -> tuple[Step, ...]:
    """Plans a restore in place. ``bundle`` is the folder of the container's task, which may be gone.

    Raises:
        CheckpointError: ability_missing.
    """
    name, folder = container.name, folder_of(paths, container.name)
    require_criu_options(paths, ENGINE, container.criu_config, options, f"restore container {name!r}")
    before: tuple[Step, ...] = ()
    removal: tuple[Step, ...] = ()
    if not container.own.get("kept"):
        before = layer_steps(container, folder)
        removal = removal_steps(name, bundle, f"remove the ended container {name!r}, whose files are saved")
    # After a restore that has failed, the container is without them.
    labels = {**labels_of(read_config(folder)), **container.labels}
    return (*before, *import_steps(folder, name, CTR), *removal, *made_steps(name, labels, folder))


def import_archive(paths: Paths, archive: str, record: Record, options: Options) -> tuple[Step, ...]:
    """Plans a restore from ``archive``, a file or a pipe.

    Raises:
        CheckpointError: ability_missing.
    """
    folder, config = import_folder(paths, record.name), read_description(archive)
    require_criu_options(paths, ENGINE, config_file_of(config), options, f"restore container {record.name!r}")
    return (
        Remove(folder, why="remove the rest of an earlier restore"),
        MakeDir(os.path.dirname(folder), why="make the folder"),
        *unpack_steps(archive, folder),
        *import_steps(folder, record.name, CTR),
        *made_steps(record.name, labels_of(config), folder),
        Remove(folder, why="remove the unpacked archive", always=True),
    )


def removal_steps(name: str, bundle: str, why: str) -> tuple[Command, ...]:
    """Plans to remove a container that has ended: its task, if containerd has it still, and itself."""
    return (
        Command((*CTR, "tasks", "delete", name), why=why, finish=True, unless=lambda: not os.path.isdir(bundle)),
        Command((*CTR, "containers", "delete", name), why=why, finish=True),
    )


def made_steps(name: str, labels: Mapping[str, str], folder: str) -> tuple[Step, ...]:
    """Plans to restore the container from the image that was imported, and to remove what only that needs."""
    image = reference(name)
    argv = (*CTR, "containers", "restore", "--live", "--rw", name, image)
    # The checkpoint has none. An empty one would be removed, and there is none.
    words = tuple(f"{key}={value}" for key, value in sorted(labels.items()) if value)
    label = Command((*CTR, "containers", "label", name, *words), why=f"label container {name!r}", finish=True)
    return (
        Command(argv, why=f"restore container {name!r}", label="restore", finish=True),
        *((label,) if words else ()),
        Command((*CTR, "images", "delete", "--sync", image), why="remove the image", finish=True, always=True),
        Remove(os.path.join(folder, ARCHIVE), why="remove the image's archive", always=True),
        Remove(os.path.join(folder, IMPORT), why="remove the image's files", always=True),
    )
