# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The work of container_unit: read, plan, apply, read again; and what its failures mean."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Plan, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.rootless import require_root
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES
from ansible_collections.criu.hosts.plugins.module_utils._unit.description import Description, description_of
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import (
    UNIT_PLACES,
    Current,
    journal_of,
    read_current,
    refuse_foreign,
    restart_marker,
)
from ansible_collections.criu.hosts.plugins.module_utils._unit.name import check_name
from ansible_collections.criu.hosts.plugins.module_utils._unit.plan import Goal, plan_absent, plan_unit, state_after
from ansible_collections.criu.hosts.plugins.module_utils._unit.relabel import to_relabel
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import PROGRAM
from ansible_collections.criu.hosts.plugins.module_utils._unit.text import (
    Files,
    render_plain,
    render_quadlet,
    render_spec,
    render_stateful,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# Names of other files of Quadlet end in one of these.
REFERENCES = (".network", ".volume", ".image", ".build")


def ensure(ctx: Context, params: Mapping[str, Any]) -> tuple[dict[str, Any], Plan]:
    """Bring the unit to the state that is asked for."""
    name = params["name"]
    check_name(name)
    require_root(f"manage the unit of container {name!r}")
    if params["state"] == "absent":
        return _absent(ctx, name)
    wanted = description_of(params)
    podman = find_podman(ctx.runner)
    kind = kind_of(name, params["unit_kind"], wanted.stateful)
    current = read_current(ctx.runner, name)
    refuse_foreign(current)
    if not current.there:
        refuse_foreign_container(ctx.runner, name)
    goal = replace(goal_of(wanted, kind, podman, params["state"]), relabel=to_relabel(params["volumes"]))
    plan = plan_unit(current, goal)
    applied = _apply(ctx, name, plan)
    if not applied:
        return _predicted(current, goal), plan
    after = read_current(ctx.runner, name)
    if goal.state in ("started", "restarted") and after.state != "active":
        raise _start_failed(ctx.runner, name, f"it is {after.state} right after its start")
    return after.view(), plan


def refuse_foreign_container(runner: Runner, name: str) -> None:
    """Refuse to replace a container that belongs to no unit of ours: starting ours would remove it.

    Raises:
        CheckpointError: name_in_use.
    """
    if runner.run(("podman", "container", "exists", name)).rc == 0:
        raise CheckpointError(
            f"Refuse to make a unit of container {name!r}: there is a container of that name already, which the unit "
            "would replace. Remove it (podman rm), or give another name.",
            reason="name_in_use",
        )


def find_podman(runner: Runner) -> str:
    """The path of podman.

    Raises:
        CheckpointError: podman_missing.
    """
    path = runner.which("podman")
    if path is None:
        raise CheckpointError("Cannot find podman in PATH. Install the package podman.", reason="podman_missing")
    return path


def kind_of(name: str, unit_kind: str, stateful: bool) -> str:
    """quadlet or plain.

    Raises:
        CheckpointError: quadlet_missing.
    """
    there = os.path.exists(UNIT_PLACES.generator)
    if unit_kind == "quadlet" and not there:
        raise CheckpointError(
            f"Cannot make a Quadlet of container {name!r}: {UNIT_PLACES.generator!r} is missing. Install podman 4.4 or "
            "newer, or give unit_kind plain.",
            reason="quadlet_missing",
        )
    return "quadlet" if there and not stateful and unit_kind != "plain" else "plain"


def goal_of(wanted: Description, kind: str, podman: str, state: str) -> Goal:
    """Render the files of the unit."""
    name, values = wanted.name, UNIT_PLACES.environment(wanted.name)
    if kind == "quadlet":
        files = Files(kind, render_quadlet(wanted, values), wanted.environment_text)
        return Goal(name, state, wanted.enabled, files, references=references(wanted), requires=wanted.requires)
    if not wanted.stateful:
        return Goal(
            name, state, wanted.enabled, Files(kind, render_plain(wanted, values, podman), wanted.environment_text)
        )
    spec = render_spec(wanted, values, podman)
    files = Files(kind, render_stateful(wanted), wanted.environment_text, spec)
    return Goal(name, state, wanted.enabled, files, program=program_steps())


def program_steps() -> tuple[Step, ...]:
    """Write the program that stateful units call, if it is not there as this release has it."""
    # Other units need not load this.
    from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.program import unit_program

    path, packed = UNIT_PLACES.below(PROGRAM.lstrip("/")), unit_program()
    if read_bytes(path) == packed:
        return ()
    return (
        MakeDir(os.path.dirname(path), 0o755, why="make the folder of the program"),
        WriteFile(path, lambda: packed, 0o755, why="write the program of stateful units"),
    )


def read_bytes(path: str) -> bytes | None:
    """The content of a file; None if there is none."""
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def references(wanted: Description) -> tuple[str, ...]:
    """The other files of Quadlet that the container is to use, of those that are there."""
    options = [option.partition("=")[2] for option in wanted.options if option.startswith(("--network=", "--volume="))]
    named = (wanted.image, *(option.partition(":")[0] for option in options))
    found = tuple(name for name in named if name.endswith(REFERENCES))
    return tuple(name for name in found if os.path.exists(f"{UNIT_PLACES.quadlets}/{name}"))


def _predicted(current: Current, goal: Goal) -> dict[str, Any]:
    """The unit as it is, or as it would be."""
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


def _absent(ctx: Context, name: str) -> tuple[dict[str, Any], Plan]:
    current = read_current(ctx.runner, name)
    refuse_foreign(current)
    paths = (restart_marker(name), f"{PLACES.state}/units/{name}")
    plan = plan_absent(current, tuple(path for path in paths if os.path.lexists(path)))
    _apply(ctx, name, plan)
    return Current(name).view(), plan


def _apply(ctx: Context, name: str, plan: Plan) -> bool:
    try:
        return ctx.apply(plan) is not None
    except CommandError as error:
        raise _failure(ctx.runner, name, error) from error


def _failure(runner: Runner, name: str, error: CommandError) -> CheckpointError:
    argv = error.completed.argv
    if argv[:1] in (("env",), ("systemd-analyze",)) or argv[:2] == ("systemctl", "cat"):
        return CommandError(
            error.completed,
            f"Refuse to install the unit '{name}.service': {error.completed.last_line.rstrip('.')}. Nothing of it was "
            "changed.",
            reason="unit_refused",
        )
    if argv[:2] in (("systemctl", "start"), ("systemctl", "restart")):
        return _start_failed(runner, name, "", error)
    return error


def _start_failed(runner: Runner, name: str, why: str, error: CommandError | None = None) -> CheckpointError:
    journal = journal_of(runner, name)
    said = why or _telling(journal) or (error.completed.last_line if error else "")
    message = f"Cannot start the unit '{name}.service': {said.rstrip('.')}. Look at 'journalctl --unit={name}.service'."
    if error is None:
        return CheckpointError(message, reason="start_failed", journal=journal)
    return CommandError(error.completed, message, reason="start_failed", journal=journal)


def _telling(journal: list[str]) -> str:
    """The last line of podman's own, as systemd's say only that it failed."""
    errors = [line for line in journal if line.startswith(("Error:", "time="))]
    return errors[-1].partition("Error: ")[2] or errors[-1] if errors else ""
