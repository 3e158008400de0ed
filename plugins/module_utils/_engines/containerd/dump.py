# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans the checkpoint of a container: CRIU's images go into its folder, not into the store of containerd."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Remove,
    Rename,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import CONFIG, IMAGES, SPEC, pack_step
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.place import (
    LAYER,
    config_text,
    folder_of,
    spec_text,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.reads import CTR, ENGINE
from ansible_collections.criu.hosts.plugins.module_utils._engines.criu_options import require_criu_options
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options

PLAIN_TAR = "application/vnd.oci.image.layer.v1.tar"
# A tar archive of nothing.
EMPTY = "\0" * 1024


def is_frozen(paths: Paths, container: Container) -> bool:
    """Returns whether the control group of a container is frozen."""
    events = read_text(f"{paths.cgroups}{cgroup_of(paths, container.pid)}/cgroup.events", may_fail=True) or ""
    return "frozen 1" in events.split("\n")


def layer_steps(container: Container, folder: str) -> tuple[Step, ...]:
    """Plans to write the changes that the container has made to the files of its image."""
    name, path = container.name, os.path.join(folder, LAYER)
    # The changes are compressed with all else, when all is.
    how = (f"--snapshotter={container.own['snapshotter']}", "diff", f"--media-type={PLAIN_TAR}")
    argv = (*CTR, "snapshots", *how, container.own["snapshot"])
    return (
        WriteFile(f"{path}.new", "", why="make the file"),
        Command(argv, why=f"save the files of container {name!r}", finish=True, prints=f"{path}.new"),
        Rename(f"{path}.new", path, 0o600, why="name the file"),
    )


def checkpoint_steps(paths: Paths, container: Container, options: Options, export: str | None) -> tuple[Step, ...]:
    """Plans a checkpoint in place, or into ``export``: then a container that runs on is paused for its files, too.

    Raises:
        CheckpointError: ability_missing.
    """
    require_criu_options(paths, ENGINE, container.criu_config, options, f"checkpoint container {container.name!r}")
    name, folder, stays = container.name, folder_of(paths, container.name), options.leave_running
    places = (f"--image-path={folder}/{IMAGES}", f"--work-path={folder}")
    argv = (*CTR, "tasks", "checkpoint", *(() if stays else ("--exit",)), *places, name)
    first = (
        Remove(folder, why="remove an earlier checkpoint in place"),
        MakeDir(f"{folder}/{IMAGES}", why="make the folder"),
        WriteFile(f"{folder}/{SPEC}", spec_text(container), why="write the configuration"),
        WriteFile(f"{folder}/{CONFIG}", config_text(container, leave_running=stays), why="write the description"),
    )
    dump = Command(argv, why=f"checkpoint container {name!r}", label="checkpoint", finish=True)
    if export is None:
        return (*first, dump)
    layer = (WriteFile(os.path.join(folder, LAYER), EMPTY, why="leave out the files"),)
    saved: tuple[Step, ...] = (dump, *(layer if options.ignore_rootfs else layer_steps(container, folder)))
    if stays:
        # ctr leaves a container paused that was so before.
        pause = Command((*CTR, "tasks", "pause", name), why=f"pause container {name!r}", finish=True)
        go_on = Command(
            (*CTR, "tasks", "resume", name),
            why=f"let container {name!r} go on",
            finish=True,
            always=True,
            unless=lambda: not is_frozen(paths, container),
        )
        saved = (pause, *saved, go_on)
    return (*first, *saved, pack_step(export, {folder: (CONFIG, SPEC, LAYER, IMAGES)}))
