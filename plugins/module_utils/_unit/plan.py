# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""From a description of a container and what the host has to the steps that make it a running unit. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    Link,
    MakeDir,
    Plan,
    Remove,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import UNIT_PLACES, Current, restart_marker
from ansible_collections.criu.hosts.plugins.module_utils._unit.relabel import relabel_steps
from ansible_collections.criu.hosts.plugins.module_utils._unit.text import Files, essence, spec_digest

RELOAD = Command(("systemctl", "daemon-reload"), why="let systemd read its units again")


@dataclass(frozen=True)
class Goal:
    """What is wanted: the files, and what systemd is to do with the unit."""

    name: str
    state: str
    enabled: bool
    files: Files
    program: tuple[Step, ...] = ()
    relabel: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        return f"{self.name}.service"

    @property
    def path(self) -> str:
        return UNIT_PLACES.quadlet(self.name) if self.files.kind == "quadlet" else UNIT_PLACES.unit(self.name)


def systemctl(verb: str, unit: str) -> Command:
    return Command(("systemctl", verb, unit), why=f"{verb} the unit {unit!r}", label=verb)


def other_container(current: Current, goal: Goal) -> bool:
    """Whether a container that runs now is not the one that is wanted."""
    if current.kind != goal.files.kind or current.environment != goal.files.environment:
        return True
    if spec_digest(current.spec) != spec_digest(goal.files.spec):
        return True
    return essence(current.text) != essence(goal.files.unit)


def other_manager(current: Current, goal: Goal) -> bool:
    """Whether the unit that is there has to end its container, as the one that is wanted would not know how to."""
    same = current.kind == goal.files.kind and current.stateful == (goal.files.spec is not None)
    return current.kind is not None and not same


def plan_unit(current: Current, goal: Goal) -> Plan:
    """The steps from ``current`` to ``goal`` for all states but absent."""
    steps = (*_file_steps(current, goal), *_state_steps(current, goal))
    return Plan(_view(current), _goal_view(current, goal), steps)


def _file_steps(current: Current, goal: Goal) -> Iterator[Step]:
    """Files and what systemd has to know of them, in an order that a task which is cut off can be repeated."""
    text_changed = current.kind != goal.files.kind or current.text != goal.files.unit
    if text_changed:
        yield from check_steps(goal)
    if other_manager(current, goal):
        yield from _leave(current, goal)
    elif current.running and other_container(current, goal) and not current.restart_due:
        yield MakeDir(f"{PLACES.run}/units", 0o700, why="make the folder of restarts that are due")
        yield WriteFile(restart_marker(goal.name), "", why="remember that the unit is to be restarted")
    yield from goal.program
    yield from relabel_steps(goal.relabel)
    yield from _secret_file(UNIT_PLACES.environment(goal.name), current.environment, goal.files.environment)
    yield from _secret_file(UNIT_PLACES.spec(goal.name), current.spec, goal.files.spec)
    if text_changed:
        yield MakeDir(goal.path.rpartition("/")[0], 0o755, why="make the folder of units")
        yield WriteFile(goal.path, goal.files.unit, 0o644, why="write the unit")
    if text_changed or current.reload_due:
        yield RELOAD
    if goal.files.kind == "plain" and goal.enabled != _enabled_now(current, goal):
        yield systemctl("enable" if goal.enabled else "disable", goal.unit)


def _enabled_now(current: Current, goal: Goal) -> bool:
    return current.kind == "plain" and current.enabled


def _leave(current: Current, goal: Goal) -> Iterator[Step]:
    """End a unit of another kind by its own rules. Without its spec, a stateful one ends its container for good."""
    if current.spec is not None:
        yield Remove(UNIT_PLACES.spec(goal.name), why="remove what the stateful unit was made from")
    if current.running:
        yield systemctl("stop", goal.unit)
    if current.kind == "plain" and goal.files.kind == "quadlet" and current.enabled:
        yield systemctl("disable", goal.unit)
    if current.kind != goal.files.kind and current.path:
        yield Remove(current.path, why="remove the unit of the other kind")


def _secret_file(path: str, old: str | None, new: str | None) -> Iterator[Step]:
    if old == new:
        return
    if new is None:
        yield Remove(path, why="remove what the unit does not need any more")
        return
    yield MakeDir(path.rpartition("/")[0], 0o700, why="make the folder of what only root may read")
    yield WriteFile(path, new, 0o600, why="write what only root may read")


def check_steps(goal: Goal) -> tuple[Step, ...]:
    """Let Quadlet's generator, or systemd, judge the unit in a folder of its own before it is installed."""
    folder = f"{PLACES.run}/check-{goal.name}"
    path = f"{folder}/{goal.path.rpartition('/')[2]}"
    if goal.files.kind == "quadlet":
        argv: tuple[str, ...] = ("env", f"QUADLET_UNIT_DIRS={folder}", UNIT_PLACES.generator, "--dryrun")
    else:
        argv = ("systemd-analyze", "verify", "--man=no", path)
    others = [(f"{folder}/{name}", f"{UNIT_PLACES.quadlets}/{name}") for name in goal.references]
    return (
        Remove(folder, why="remove what an earlier check has left"),
        MakeDir(folder, 0o700, why="make the folder for the check"),
        *(Link(link, target, why="show the check what the unit refers to") for link, target in others),
        WriteFile(path, goal.files.unit, 0o600, why="write the unit for the check"),
        Command(argv, why=f"check the unit {goal.unit!r}", label="check"),
        *required_units(goal),
        Remove(folder, why="remove the checked copy", always=True),
    )


def required_units(goal: Goal) -> Iterator[Step]:
    """Let systemd find what a Quadlet requires: the generator does not look. For other units the check has done so."""
    if goal.files.kind == "quadlet" and goal.requires:
        yield Command(("systemctl", "cat", "--", *goal.requires), why=f"find the units that {goal.unit!r} requires")


def _state_steps(current: Current, goal: Goal) -> Iterator[Step]:
    """Start, restart or stop."""
    due = current.restart_due or (current.running and other_container(current, goal))
    moved = other_manager(current, goal)
    running = current.running and not moved
    if goal.state == "stopped":
        if running:
            yield systemctl("stop", goal.unit)
    elif goal.state in ("started", "restarted"):
        if current.state == "failed":
            yield systemctl("reset-failed", goal.unit)
        if running and (due or goal.state == "restarted"):
            yield systemctl("restart", goal.unit)
        elif not running or current.state != "active":
            yield systemctl("start", goal.unit)
    elif goal.state == "present" and moved and current.running:
        yield systemctl("start", goal.unit)
    settled = goal.state != "present" or moved
    if settled and (current.restart_due or (due and not moved)):
        yield Remove(restart_marker(goal.name), why="forget that the unit is to be restarted")


def plan_absent(current: Current, leftovers: tuple[str, ...]) -> Plan:
    """Stop the unit for good and remove all that belongs to it; volumes, images and secrets stay."""
    name, unit = current.name, f"{current.name}.service"
    steps: list[Step] = []
    if current.spec is not None:
        steps.append(Remove(UNIT_PLACES.spec(name), why="remove what the stateful unit was made from"))
    if current.there and current.running:
        steps.append(systemctl("stop", unit))
    if current.kind == "plain" and current.enabled:
        steps.append(systemctl("disable", unit))
    if current.there:
        argv = ("podman", "rm", "--force", "--ignore", "--volumes", name)
        steps.append(Command(argv, why=f"remove the container {name!r}"))
    if current.path:
        steps += [Remove(current.path, why="remove the unit"), RELOAD]
    if current.kind and current.state == "failed":
        steps.append(systemctl("reset-failed", unit))
    if current.environment is not None:
        steps.append(Remove(UNIT_PLACES.environment(name), why="remove the environment"))
    steps += [Remove(path, why="remove what is left of the unit") for path in leftovers]
    return Plan(_view(current), {"path": None, "unit": None, "environment": [], "state": "absent"}, tuple(steps))


def _names(text: str | None) -> dict[str, str]:
    lines = [line for line in (text or "").splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _lines(text: str | None) -> list[str] | None:
    return None if text is None else text.splitlines()


def _view(current: Current) -> dict[str, Any]:
    view: dict[str, Any] = {
        "path": current.path,
        "unit": _lines(current.text),
        "environment": sorted(_names(current.environment)),
        "state": current.state if current.there else "absent",
    }
    return view if not current.there else {**view, "enabled": current.enabled, "stateful": current.stateful}


def _goal_view(current: Current, goal: Goal) -> dict[str, Any]:
    """The names of variables only; a value that is another one is said to be, and not shown."""
    old, new = _names(current.environment), _names(goal.files.environment)
    changed = {name for name in new if name in old and old[name] != new[name]}
    return {
        **({"relabelled": list(goal.relabel)} if goal.relabel else {}),
        "path": goal.path,
        "unit": _lines(goal.files.unit),
        "environment": sorted(f"{name} (another value)" if name in changed else name for name in new),
        "state": state_after(current, goal),
        "enabled": goal.enabled,
        "stateful": goal.files.spec is not None,
    }


def state_after(current: Current, goal: Goal) -> str:
    """What systemd will say of the unit."""
    if goal.state == "present" or (goal.state == "stopped" and current.state == "failed"):
        return current.state
    return "inactive" if goal.state == "stopped" else "active"
