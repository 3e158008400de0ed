# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Compares the unit that is wanted with the one on the host. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Step
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import Current, UnitPaths
from ansible_collections.criu.hosts.plugins.module_utils._unit.text import Files


@dataclass(frozen=True)
class Goal:
    """The files that are wanted, and the state of the unit. ``program`` are the steps that install its program."""

    name: str
    state: str
    enabled: bool
    files: Files
    program: tuple[Step, ...] = ()
    relabel: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    places: UnitPaths = field(default_factory=UnitPaths)

    @property
    def unit(self) -> str:
        return f"{self.name}.service"

    @property
    def path(self) -> str:
        return self.places.quadlet(self.name) if self.files.kind == "quadlet" else self.places.unit(self.name)


def is_reached(current: Current, goal: Goal) -> bool:
    """Returns whether nothing is left to do, as in most tasks: these need not load the planning."""
    files = (current.kind, current.text, current.environment, current.spec)
    if files != (goal.files.kind, goal.files.unit, goal.files.environment, goal.files.spec):
        return False
    if goal.program or goal.relabel or current.reload_due or current.enabled != goal.enabled:
        return False
    if goal.state == "present":
        return True
    states = {"started": current.state == "active", "stopped": not current.running}
    return states.get(goal.state, False) and not current.restart_due


def names_of(environment: str | None) -> dict[str, str]:
    """Returns the variables in the content of an environment file."""
    lines = [line for line in (environment or "").splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def view(current: Current) -> dict[str, Any]:
    """Returns the unit as the diff shows it before the change."""
    shown: dict[str, Any] = {
        "path": current.path,
        "unit": None if current.text is None else current.text.splitlines(),
        "environment": sorted(names_of(current.environment)),
        "state": current.state if current.there else "absent",
    }
    return shown if not current.there else {**shown, "enabled": current.enabled, "stateful": current.stateful}


def goal_view(current: Current, goal: Goal) -> dict[str, Any]:
    """Returns the unit as the diff shows it after the change: of the environment only names, and which differ."""
    old, new = names_of(current.environment), names_of(goal.files.environment)
    changed = {name for name in new if name in old and old[name] != new[name]}
    return {
        **({"relabelled": list(goal.relabel)} if goal.relabel else {}),
        "path": goal.path,
        "unit": goal.files.unit.splitlines(),
        "environment": sorted(f"{name} (value changed)" if name in changed else name for name in new),
        "state": state_after(current, goal),
        "enabled": goal.enabled,
        "stateful": goal.files.spec is not None,
    }


def state_after(current: Current, goal: Goal) -> str:
    """Returns systemd's word for the unit after the work."""
    if goal.state == "present" or (goal.state == "stopped" and current.state == "failed"):
        return current.state
    return "inactive" if goal.state == "stopped" else "active"


def predicted(current: Current, goal: Goal) -> dict[str, Any]:
    """Returns the unit as the module returns it, as it would be after the work."""
    state = state_after(current, goal)
    shown = {
        **current.shown,
        "ActiveState": state,
        "UnitFileState": "enabled" if goal.enabled else "disabled",
        "MainPID": current.shown.get("MainPID", "0") if state == "active" else "0",
    }
    quadlet = goal.files.kind == "quadlet"
    after = replace(
        current,
        quadlet=goal.files.unit if quadlet else None,
        plain=None if quadlet else goal.files.unit,
        spec=goal.files.spec,
        shown=shown,
    )
    return after.view()
