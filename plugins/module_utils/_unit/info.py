# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the units of container_unit, with memory, the options of their checkpoints and their last stop or start."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.names import HEADER
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import cgroup_memory
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import (
    Current,
    UnitPaths,
    read_current,
    refuse_foreign,
)
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import (
    LAST_FIELDS,
    SPEC_FIELDS,
    right_fields,
)

OPTIONS = ("tcp_established", "file_locks", "on_restore_failure")


def memory_bytes(paths: Paths, main_pid: int | None) -> int | None:
    """Returns the memory of the container's cgroup; None if it is not running. The main process is podman's conmon."""
    if main_pid is None:
        return None
    children = (read_text(f"{paths.proc}/{main_pid}/task/{main_pid}/children") or "").split()
    known = (cgroup_memory(paths, int(child)) for child in children)
    return next((memory for memory in known if memory is not None), None)


def describe(current: Current) -> dict[str, Any]:
    """Returns the unit as container_unit does, with more keys."""
    spec = right_fields(current.spec, SPEC_FIELDS) if current.stateful else {}
    path = f"{current.places.state(current.name)}/last.json"
    last = right_fields(read_text(path, may_fail=True), LAST_FIELDS) if current.stateful else {}
    return {
        **current.view(),
        **{option: spec.get(option) for option in OPTIONS},
        "memory_bytes": memory_bytes(current.places.paths, current.main_pid) if current.running else None,
        "restart_due": current.restart_due,
        "last": last or None,
    }


def own_units(places: UnitPaths) -> tuple[str, ...]:
    """Returns the names of all containers that have a unit of this collection."""
    found = set()
    for folder, suffix in ((places.quadlets, ".container"), (places.units, ".service")):
        for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            path = os.path.join(folder, entry)
            if (
                entry.endswith(suffix)
                and os.path.isfile(path)
                and (read_text(path, may_fail=True) or "").startswith(HEADER)
            ):
                found.add(entry[: -len(suffix)])
    return tuple(sorted(found))


def list_units(ctx: Context, name: str | None) -> list[dict[str, Any]]:
    """Returns one unit, if it exists, or all of this collection."""
    found = []
    for one in (name,) if name else own_units(UnitPaths(ctx.paths)):
        current = read_current(ctx, one)
        if name:
            refuse_foreign(current)
        if current.kind is not None:
            found.append(describe(current))
    return found
