# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans the checkpoint of a container of LXC: CRIU with the options that lxc-checkpoint gives to it.

lxc-checkpoint itself has no part in it: it cannot dump a container that it has restored ("Failed getting freezer path",
lxc/lxc#4643; 6.0.4), and the monitor of the container notices by itself that a dump has ended it. On a host whose
cgroups have no controllers, it gives CRIU a cgroup without a slash ("failed walking /proc/self/fd/16lxc.payload.NAME"),
too. The options are those of exec_criu in src/lxc/criu.c, except what the task decides.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import MOUNTS, parse_mounts

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
    from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.places import Place

FIXED = (
    "--link-remap",
    "--manage-cgroups=full",
    "--enable-external-sharing",
    "--enable-external-masters",
    "--enable-fs=hugetlbfs",
    "--enable-fs=tracefs",
    "--skip-in-flight",
    "--ext-mount-map=auto",
)


def dump_argv(container: Container, options: Options, place: Place, cgroups: str) -> tuple[str, ...]:
    """Returns CRIU's command; ``cgroups`` is where the unified hierarchy is mounted."""
    chosen = (
        ("--tcp-established", options.tcp_established),
        ("--file-locks", options.file_locks),
        ("--leave-running", options.leave_running),
    )
    return (
        "criu",
        "dump",
        f"--tree={container.pid}",
        f"--images-dir={place.images}",
        f"--work-dir={place.work}",
        "--log-file=dump.log",
        "-v4",
        *FIXED,
        f"--freeze-cgroup={cgroups}{container.own['cgroup']}",
        # LXC gives these names to a restore.
        *(f"--ext-mount-map=/{one.target}:{one.target}" for one in parse_mounts(container.own[MOUNTS])),
        *(flag for flag, wanted in chosen if wanted),
    )


def dump_steps(container: Container, options: Options, place: Place, cgroups: str, wait: Command) -> tuple[Step, ...]:
    """Plans a checkpoint in place; ``wait`` ends when LXC knows that the container has ended."""
    argv = dump_argv(container, options, place, cgroups)
    why = f"checkpoint container {container.name!r}"
    old = (place.images, place.ends, place.work, place.options)
    ends = WriteFile(place.ends, "", why="note that the checkpoint is to end the container in")
    return (
        *(Remove(one, why="remove the old checkpoint in place") for one in old),
        *(MakeDir(one, why="make the folder") for one in (place.folder, place.images, place.work)),
        *(() if options.leave_running else (ends,)),
        Command(argv, why=why, label="checkpoint", finish=True),
        *(() if options.leave_running else (wait,)),
    )


def export_steps(paths: Paths, container: Container, place: Place, export: str) -> tuple[Step, ...]:
    """Plans to pack the checkpoint in place. The root file system stays where it is."""
    # A checkpoint in place need not compile these.
    from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import (
        CONFIG,
        IMAGES,
        SPEC,
        STATISTICS,
        pack_step,
    )
    from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.archive import configuration, describe

    described = describe(container, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    texts = {CONFIG: described, SPEC: configuration(paths, container)}
    made = [f"{place.folder}/{name}" for name in texts]
    return (
        *(
            WriteFile(path, f"{json.dumps(text, indent=1)}\n", why="describe the container in")
            for path, text in zip(made, texts.values())
        ),
        pack_step(export, {place.folder: (CONFIG, SPEC, IMAGES), place.work: (STATISTICS,)}),
        *(Remove(path, why="remove the description of the container") for path in made),
    )
