# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans the steps from the unit on the host to the one that is wanted. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    Link,
    MakeDir,
    Plan,
    Remove,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._unit.goal import Goal, view
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import Current
from ansible_collections.criu.hosts.plugins.module_utils._unit.text import remove_argv
from ansible_collections.criu.hosts.plugins.module_utils._unit.volumes import relabel_steps

RELOAD = Command(("systemctl", "daemon-reload"), why="let systemd read its units again")
# A container is made from these; a change of anything else needs no other container.
ESSENTIAL_KEYS = ("ExecStart", "Environment", "Type")


def systemctl(verb: str, unit: str) -> Command:
    """Returns the step that does this with a unit."""
    return Command(("systemctl", verb, unit), why=f"{verb} the unit {unit!r}", label=verb)


def essence(text: str | None) -> tuple[str, ...]:
    """Returns the lines of a unit that its container is made from."""
    section, found = "", []
    for line in (text or "").replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Container]" or line.partition("=")[0] in ESSENTIAL_KEYS:
            found.append(" ".join(line.split()) if line.startswith("Exec") else line)
    return tuple(line for line in found if line)


def spec_digest(text: str | None, key: str = "digest") -> str | None:
    """Returns the digest in a spec; None if there is none, or if the spec is incomplete."""
    try:
        found = parse_object(text).get(key)
    except ValueError:
        return None
    return None if found is None else str(found)


def other_container(current: Current, goal: Goal) -> bool:
    """Returns whether the wanted container differs from one that the current unit has started."""
    if current.kind != goal.files.kind or current.environment != goal.files.environment:
        return True
    known = spec_digest(current.spec)
    if known not in (spec_digest(goal.files.spec), spec_digest(goal.files.spec, "former_digest")):
        return True
    return essence(current.text) != essence(goal.files.unit)


def other_manager(current: Current, goal: Goal) -> bool:
    """Returns whether the current unit has to end its container, because the wanted one would not know how to."""
    same = current.kind == goal.files.kind and current.stateful == (goal.files.spec is not None)
    return current.kind is not None and not same


def steps_to(current: Current, goal: Goal) -> tuple[Step, ...]:
    """Returns the steps from ``current`` to ``goal``, for all states but absent."""
    return (*_file_steps(current, goal), *_state_steps(current, goal))


def _file_steps(current: Current, goal: Goal) -> Iterator[Step]:
    """Yields steps for the files, and for systemd to read them. An interrupted task can be repeated at each step."""
    text_changed = current.kind != goal.files.kind or current.text != goal.files.unit
    if text_changed:
        yield from check_steps(goal)
    if other_manager(current, goal):
        yield from _leave(current, goal)
    elif current.running and other_container(current, goal) and not current.restart_due:
        yield MakeDir(f"{goal.places.paths.run}/units", 0o700, why="make the folder of the notes on restarts")
        yield WriteFile(goal.places.restart_marker(goal.name), "", why="note that the unit must be restarted")
    yield from goal.program
    yield from relabel_steps(goal.relabel)
    yield from _secret_file(goal.places.environment(goal.name), current.environment, goal.files.environment)
    yield from _secret_file(goal.places.spec(goal.name), current.spec, goal.files.spec)
    if text_changed:
        yield MakeDir(goal.path.rpartition("/")[0], 0o755, why="make the folder of units")
        yield WriteFile(goal.path, goal.files.unit, 0o644, why="write the unit")
    if text_changed or current.reload_due:
        yield RELOAD
    if goal.files.kind == "plain" and goal.enabled != (current.kind == "plain" and current.enabled):
        yield systemctl("enable" if goal.enabled else "disable", goal.unit)


def _leave(current: Current, goal: Goal) -> Iterator[Step]:
    """Yields steps that end a unit of another kind. Without its spec, a stateful unit ends its container for good."""
    if current.spec is not None:
        yield Remove(goal.places.spec(goal.name), why="remove the spec of the stateful unit")
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
        yield Remove(path, why="remove a file that the unit no longer needs")
        return
    yield MakeDir(path.rpartition("/")[0], 0o700, why="make the folder of files for root only")
    yield WriteFile(path, new, 0o600, why="write a file for root only")


def check_steps(goal: Goal) -> tuple[Step, ...]:
    """Returns steps that let Quadlet's generator, or systemd, check the unit in a folder of its own."""
    folder = f"{goal.places.paths.run}/check-{goal.name}"
    path = f"{folder}/{goal.path.rpartition('/')[2]}"
    if goal.files.kind == "quadlet":
        argv: tuple[str, ...] = ("env", f"QUADLET_UNIT_DIRS={folder}", goal.places.generator, "--dryrun")
    else:
        argv = ("systemd-analyze", "verify", "--man=no", path)
    others = [(f"{folder}/{name}", f"{goal.places.quadlets}/{name}") for name in goal.references]
    return (
        Remove(folder, why="remove the rest of an earlier check"),
        MakeDir(folder, 0o700, why="make the folder for the check"),
        *(Link(link, target, why="show the check a file that the unit refers to") for link, target in others),
        WriteFile(path, goal.files.unit, 0o600, why="write the unit for the check"),
        Command(argv, why=f"check the unit {goal.unit!r}", label="check"),
        *required_units(goal),
        Remove(folder, why="remove the checked copy", always=True),
    )


def required_units(goal: Goal) -> Iterator[Step]:
    """Yields a step that finds the units a Quadlet requires: its generator does not look for them."""
    if goal.files.kind == "quadlet" and goal.requires:
        yield Command(("systemctl", "cat", "--", *goal.requires), why=f"find the units that {goal.unit!r} requires")


def _state_steps(current: Current, goal: Goal) -> Iterator[Step]:
    """Yields steps that start, restart or stop the unit."""
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
        yield Remove(goal.places.restart_marker(goal.name), why="remove the note that the unit must be restarted")


def until_removal(plan: Plan) -> tuple[Plan, Plan]:
    """Returns the part of a plan up to the removal of the container, and the rest; without one, all is the rest."""
    argvs = [step.argv[:2] if isinstance(step, Command) else () for step in plan.steps]
    index = argvs.index(("podman", "rm")) if ("podman", "rm") in argvs else 0
    return replace(plan, steps=plan.steps[:index]), replace(plan, steps=plan.steps[index:])


def plan_absent(current: Current, leftovers: tuple[str, ...]) -> Plan:
    """Plans to stop the unit and to remove all that belongs to it; volumes, images and secrets stay."""
    name, unit = current.name, f"{current.name}.service"
    steps: list[Step] = []
    if current.spec is not None:
        steps.append(Remove(current.places.spec(name), why="remove the spec of the stateful unit"))
    if current.there and current.running:
        steps.append(systemctl("stop", unit))
    if current.kind == "plain" and current.enabled:
        steps.append(systemctl("disable", unit))
    if current.there:
        steps.append(Command(remove_argv(("podman",), name), why=f"remove the container {name!r}"))
    if current.path:
        steps += [Remove(current.path, why="remove the unit"), RELOAD]
    if current.kind and current.state == "failed":
        steps.append(systemctl("reset-failed", unit))
    if current.environment is not None:
        steps.append(Remove(current.places.environment(name), why="remove the environment"))
    steps += [Remove(path, why="remove a rest of the unit") for path in leftovers]
    return Plan(view(current), {"path": None, "unit": None, "environment": [], "state": "absent"}, tuple(steps))
