# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses to checkpoint a process that CRIU is certain to refuse."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu
from ansible_collections.criu.hosts.plugins.module_utils._criu.obstacles import Obstacle, look_around
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.before_dump import refuse_obstacles
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DEFAULT_CONFIG
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import SERVICE, show
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# Settings of a unit with which systemd makes a mount namespace (systemd.exec(5)).
SETTINGS = (
    "PrivateTmp PrivateDevices PrivateMounts PrivateNetwork PrivateIPC ProtectSystem ProtectHome ProtectKernelTunables "
    "ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectHostname ProtectProc ProcSubset DynamicUser "
    "ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths NoExecPaths TemporaryFileSystem BindPaths "
    "BindReadOnlyPaths RootDirectory RootImage LogNamespace"
).split()
# What systemd prints for a setting that is off.
OFF = ("", "no", "default", "all")


def settings_of(ctx: Context, process: Process) -> list[str]:
    """Returns the settings of the process's service that make a mount namespace; none if they are not known."""
    unit = process.cgroup.rpartition("/")[2]
    if not re.match(SERVICE, unit):
        return []
    try:
        shown = show(ctx.runner, unit, SETTINGS)
    except CheckpointError:
        return []
    return [f"{name}={shown[name]}" for name in SETTINGS if shown.get(name, "") not in OFF]


def refuse_obstacles_of(ctx: Context, options: ProcessOptions, process: Process, criu: Criu) -> None:
    """Refuses a dump or pre-dump that CRIU is certain to refuse.

    Raises:
        CheckpointError: a reason of _criu/obstacles.py.
    """

    def cause(obstacle: Obstacle) -> str:
        found = settings_of(ctx, process) if obstacle.reason == "mount_namespace" else []
        unit = process.cgroup.rpartition("/")[2]
        return f"The unit {unit!r} has {', '.join(found)[:200]}. " if found else ""

    around = replace(
        look_around(ctx.paths, process.pid, criu.version),
        external_files=any(one.startswith("file[") for one in options.external),
        mounts=not any(one.startswith(("mnt[", "dev[")) for one in options.external),
        pre_dump=options.pre_dump,
    )
    refuse_obstacles(around, (DEFAULT_CONFIG,), process.text, cause)
