# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans the restore of a container of LXC: lxc-checkpoint, which starts its monitor, and what that does not restore.

Seen with LXC 6.0.4, whose restore (do_restore in src/lxc/criu.c) leaves out what its start does:

- The limits of the container's cgroup (lxc.cgroup2.*) and the filter that says which devices it may open are not set
  (lxc/lxc#4643, corrected by lxc/lxc#4695). So a program that CRIU calls freezes the container before it goes on, and
  lxc-cgroup sets each of them again. Otherwise a restored container could open any device of the host.
- CRIU gets the cgroup without a slash before it, or for hierarchies that there are not. A configuration file, which
  CRIU reads from CRIU_CONFIG_FILE, says for each hierarchy which one it is.
- The monitor keeps the standard error of lxc-checkpoint open, so a reader of that would wait for the container's end:
  systemd-cat gives it the journal instead.
- From the log level INFO on, lxc-checkpoint crashes in a restore (SIGSEGV before CRIU starts).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import (
    LIMITS,
    MOUNTS,
    parse_limits,
    parse_mounts,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.places import IMAGES, Place, payload
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.reads import Reads

# CRIU calls it at each stage of a restore; at this one no process of the container has run yet.
FREEZER = """\
#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" = pre-resume ] || exit 0
cgroup=$(sed -n 's/^0:://p' "/proc/$CRTOOLS_INIT_PID/cgroup") && echo 1 > "/sys/fs/cgroup$cgroup/cgroup.freeze"
"""


def render_options(hierarchies: str, cgroup: str, work: str, *, links: bool) -> str:
    """Returns CRIU's configuration file for a restore into ``cgroup``, with its statistics in the folder ``work``.

    ``hierarchies`` is /proc/self/cgroup: in those of the first version, the container stays where the task is.
    ``links``: the source of a mount is a symbolic link, which CRIU's newer way to mount cannot follow ("Failed to
    move_mount"; criu/mount-v2.c).
    """
    named = (line.split(":", 2) for line in hierarchies.splitlines())
    lines = [f"cgroup-root {one[1]}:{one[2]}" for one in named if len(one) == 3 and one[0] != "0"]
    whole = [*(one for one in lines if one.count(" ") == 1 and "#" not in one), f"cgroup-root :{cgroup}"]
    return "\n".join([*whole, f"work-dir {work}", *(["mntns-compat-mode"] if links else [])]) + "\n"


def wanted_limits(settings: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Returns the limits to set again, in their order. CRIU restores cgroup.max.* and the like by itself."""
    return tuple((key, value) for key, value in parse_limits(settings[LIMITS]) if not key.startswith("cgroup."))


def restore_argv(target: tuple[str, ...], place: Place, images: str, *, freezes: bool) -> tuple[str, ...]:
    """Returns the command; ``freezes``: the container is frozen before it goes on."""
    return (
        "env",
        f"CRIU_CONFIG_FILE={place.options}",
        "systemd-cat",
        "--identifier=lxc-checkpoint",
        "lxc-checkpoint",
        *target,
        "--restore",
        f"--checkpoint-dir={images}",
        "--verbose",
        *((f"--action-script={place.freezer}",) if freezes else ()),
        "--quiet",
        f"--logfile={place.messages}",
        "--logpriority=ERROR",
    )


def restore_steps(engine: Reads, container: Container, images: str) -> tuple[Step, ...]:
    """Plans the restore of the container from ``images``."""
    name, settings = container.name, container.own
    place, target, limits = engine.place(name), engine.target(name), wanted_limits(settings)
    links = any(os.path.islink(engine.paths.below(one.source)) for one in parse_mounts(settings[MOUNTS]))
    hierarchies = read_text(f"{engine.paths.proc}/self/cgroup") or ""
    options = render_options(hierarchies, payload(name), place.work, links=links)
    argv = restore_argv(target, place, images, freezes=bool(limits))
    why = f"limit container {name!r} again"
    freezer = WriteFile(place.freezer, FREEZER, mode=0o700, why="write the program that freezes the container to")
    return (
        *(MakeDir(one, why="make the folder") for one in (place.folder, place.work)),
        Remove(place.messages, why="remove the log of an earlier restore"),
        *((freezer,) if limits else ()),
        WriteFile(place.options, options, why="write CRIU's options to"),
        Command(argv, why=f"restore container {name!r}", label="restore", finish=True),
        *(Command(("lxc-cgroup", *target, key, value), why=why, finish=True) for key, value in limits),
        *(thaw_steps(engine, name) if limits else ()),
        *(Remove(one, why="remove what only the restore needs") for one in (place.options, place.freezer)),
    )


def import_steps(engine: Reads, archive: str, container: Container) -> tuple[Step, ...]:
    """Plans the restore of the container, which has ended, from an archive."""
    from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import unpack_steps

    place = engine.place(container.name)
    return (
        MakeDir(place.folder, why="make the folder"),
        Remove(place.imported, why="remove what an earlier restore has left"),
        *unpack_steps(archive, place.imported),
        *restore_steps(engine, container, f"{place.imported}/{IMAGES}"),
    )


def thaw_steps(engine: Reads, name: str) -> tuple[Command, ...]:
    """Plans to let a container go on that something else than LXC has frozen: LXC thaws only what it has frozen."""
    programs, target = ("lxc-freeze", "lxc-unfreeze"), engine.target(name)
    return tuple(Command((one, *target), why=f"thaw container {name!r}", finish=True) for one in programs)
