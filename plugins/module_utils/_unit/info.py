# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What container_unit_info tells of a unit beside its state: memory, options of its checkpoint, its last work."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import cgroup_memory
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import (
    Current,
    own_units,
    read_current,
    refuse_foreign,
)

OPTIONS = ("tcp_established", "file_locks", "on_restore_failure")


def parse_object(text: str | None) -> dict[str, Any] | None:
    """A JSON object; None for anything else, as for a file that is just being made."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def memory_bytes(main_pid: int | None) -> int | None:
    """The memory of the container's cgroup; None if it does not run. The main process is podman's conmon."""
    if main_pid is None:
        return None
    children = (read_text(f"{PLACES.proc}/{main_pid}/task/{main_pid}/children") or "").split()
    known = (cgroup_memory(int(child)) for child in children)
    return next((memory for memory in known if memory is not None), None)


def describe(current: Current) -> dict[str, Any]:
    """The unit as container_unit returns it, and more."""
    spec = (parse_object(current.spec) or {}) if current.stateful else {}
    return {
        **current.view(),
        **{option: spec.get(option) for option in OPTIONS},
        "memory_bytes": memory_bytes(current.main_pid) if current.running else None,
        "restart_due": current.restart_due,
        "last": parse_object(read_text(f"{PLACES.state}/units/{current.name}/last.json")) if current.stateful else None,
    }


def list_units(runner: Runner, name: str | None) -> list[dict[str, Any]]:
    """One unit, if it is there, or all of this collection."""
    found = []
    for one in (name,) if name else own_units():
        current = read_current(runner, one)
        if name:
            refuse_foreign(current)
        if current.kind is not None:
            found.append(describe(current))
    return found
