# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Does the work of container_unit: reads, plans, applies, reads again.

Most tasks find nothing to do. What only the others need is imported where it is needed, because Python compiles each
file that a task imports.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Plan, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._host.names import may_begin_id, name_filter
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import in_user_namespace, read_bytes, read_text
from ansible_collections.criu.hosts.plugins.module_utils._unit.description import Description, description_of
from ansible_collections.criu.hosts.plugins.module_utils._unit.goal import Goal, goal_view, is_reached, predicted, view
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import (
    Current,
    UnitPaths,
    check_name,
    read_current,
    refuse_foreign,
)
from ansible_collections.criu.hosts.plugins.module_utils._unit.text import Files, render_plain, render_quadlet

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# Names of other files of Quadlet end in one of these.
REFERENCES = (".network", ".volume", ".image", ".build")


Result = tuple[dict[str, Any], Plan, tuple[str, ...]]


def ensure(ctx: Context, params: Mapping[str, Any]) -> Result:
    """Brings the unit to the wanted state; returns the unit, what was done, and warnings."""
    name = params["name"]
    check_name(name)
    if not ctx.is_root or in_user_namespace(ctx.paths):
        refuse_rootless(ctx, name)
    with ExitStack() as stack:
        # As process tasks name it.
        stack.enter_context(ctx.hold("unit", f"{name}.service"))
        if params["state"] == "absent":
            return (*_absent(ctx, name), ())
        return _present(ctx, params, stack)


def _present(ctx: Context, params: Mapping[str, Any], stack: ExitStack) -> Result:
    """Does the work of all states but absent; ``stack`` holds locks to the end of the task."""
    name = params["name"]
    wanted = description_of(params, ctx.paths)
    podman = find_podman(ctx.runner)
    places = UnitPaths(ctx.paths)
    kind = kind_of(places, name, params["unit_kind"], wanted.stateful)
    current = read_current(ctx, name)
    refuse_foreign(current)
    if not current.there:
        refuse_foreign_container(ctx.runner, name)
    if wanted.stateful and params["health"] and params["health"]["interval"] != "disable":
        refuse_lost_health(ctx, name)
    key = read_key(ctx, stack) if wanted.stateful else ("", ())
    goal = goal_of(places, wanted, kind, podman, params["state"], key)
    plan, warnings = plan_unit(current, goal), warnings_of(ctx, wanted)
    if not _apply(ctx, name, plan):
        return predicted(current, goal), plan, warnings
    after = read_current(ctx, name)
    if goal.state in ("started", "restarted") and after.state != "active":
        from ansible_collections.criu.hosts.plugins.module_utils._unit.failure import start_failed

        raise start_failed(ctx.runner, name, f"it is {after.state} right after its start")
    return after.view(), plan, warnings


def warnings_of(ctx: Context, wanted: Description) -> tuple[str, ...]:
    """Returns warnings about folders of the host that would keep a stateful container from being restored."""
    if not wanted.stateful or not wanted.mounts:
        return ()
    from ansible_collections.criu.hosts.plugins.module_utils._unit.sources import at_risk

    return tuple(at_risk(ctx, wanted))


def refuse_rootless(ctx: Context, name: str) -> None:
    """Refuses a task that does not run as root.

    Raises:
        CheckpointError: rootless_unsupported.
    """
    from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.rootless import require_root

    require_root(f"manage the unit of container {name!r}", ctx.paths, ctx.uid)


def refuse_lost_health(ctx: Context, name: str) -> None:
    """Refuses a health check of a stateful unit if podman cannot make it after a restore.

    Raises:
        CheckpointError: health_not_kept.
    """
    # Few units have both.
    from ansible_collections.criu.hosts.plugins.module_utils._engines.podman import health

    version = health.version_of(ctx)
    if not health.can_check_again(version):
        raise CheckpointError(
            f"Cannot make a stateful unit of container {name!r} with a health check: podman "
            f"{'.'.join(map(str, version))} does not check the health of a restored container. Install podman 5.4 or "
            "newer, or leave out health or stateful.",
            reason="health_not_kept",
        )


def refuse_foreign_container(runner: Runner, name: str) -> None:
    """Refuses to replace a container that belongs to no unit of this module: the start of the unit would remove it.

    Raises:
        CheckpointError: name_in_use.
    """
    if container_exists(runner, name):
        raise CheckpointError(
            f"Cannot make a unit of container {name!r}: a container of that name exists, and the unit would replace "
            "it. Remove it (podman rm), or give another name.",
            reason="name_in_use",
        )


def container_exists(runner: Runner, name: str) -> bool:
    """Returns whether a container has exactly this name. Podman's own test is also true for the beginning of an id."""
    if not may_begin_id(name):
        return runner.run(("podman", "container", "exists", name)).rc == 0
    argv = ("podman", "ps", "--all", "--no-trunc", "--filter", name_filter(name), "--format", "{{.ID}}")
    return bool(runner.run(argv).out.strip())


def find_podman(runner: Runner) -> str:
    """Returns the path of podman.

    Raises:
        CheckpointError: podman_missing.
    """
    path = runner.which("podman")
    if path is None:
        raise CheckpointError(
            "Cannot find podman: it is not in PATH. Install the package podman.", reason="podman_missing"
        )
    return path


def kind_of(places: UnitPaths, name: str, unit_kind: str, stateful: bool) -> str:
    """Returns quadlet or plain.

    Raises:
        CheckpointError: quadlet_missing.
    """
    there = os.path.exists(places.generator)
    if unit_kind == "quadlet" and not there:
        raise CheckpointError(
            f"Cannot make a Quadlet of container {name!r}: {places.generator!r} is missing. Install Podman 4.4 or "
            "newer, or give unit_kind plain.",
            reason="quadlet_missing",
        )
    return "quadlet" if there and not stateful and unit_kind != "plain" else "plain"


def read_key(ctx: Context, stack: ExitStack) -> tuple[str, tuple[Step, ...]]:
    """Returns the key of this host for digests, and the steps that write it if it is new.

    The first tasks for two units may run at the same time: the second waits for the key of the first.
    """
    key = _known_key(ctx.paths)
    if key:
        return key, ()
    stack.enter_context(ctx.hold("key", "digest"))
    key = _known_key(ctx.paths)
    if key:
        return key, ()
    import secrets  # once on a host

    from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import key_path

    key, path = secrets.token_hex(32), key_path(ctx.paths)
    return key, (
        MakeDir(os.path.dirname(path), 0o700, why="make the folder"),
        WriteFile(path, f"{key}\n", 0o600, why="write the key for digests"),
    )


def _known_key(paths: Paths) -> str:
    from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import key_path

    found = (read_text(key_path(paths), may_fail=True) or "").strip()
    return found if re.match(r"[0-9a-f]{64}\Z", found) else ""


def goal_of(
    places: UnitPaths, wanted: Description, kind: str, podman: str, state: str, key: tuple[str, tuple[Step, ...]]
) -> Goal:
    """Renders the files of the unit. ``key`` is the host's, with the steps that write it."""
    name, values = wanted.name, places.environment(wanted.name)
    base = Files(kind, "", wanted.environment_text)
    relabel = to_relabel(places.paths, wanted)
    goal = Goal(name, state, wanted.enabled, base, relabel=relabel, places=places)
    if kind == "quadlet":
        files = replace(goal.files, unit=render_quadlet(wanted, values, podman))
        return replace(goal, files=files, references=references(places, wanted), requires=wanted.requires)
    if not wanted.stateful:
        return replace(goal, files=replace(goal.files, unit=render_plain(wanted, values, podman)))
    from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.render import render_spec, render_stateful

    files = replace(goal.files, unit=render_stateful(wanted), spec=render_spec(wanted, values, podman, key[0]))
    return replace(goal, files=files, program=(*key[1], *program_steps(places)))


def to_relabel(paths: Paths, wanted: Description) -> tuple[str, ...]:
    """Returns the folders that podman, when systemd starts it, may not relabel."""
    if not wanted.labelled:
        return ()
    from ansible_collections.criu.hosts.plugins.module_utils._unit import volumes

    return volumes.to_relabel(paths, wanted.labelled)


def program_steps(places: UnitPaths) -> tuple[Step, ...]:
    """Returns the steps that write the program of stateful units, unless this release has written it."""
    from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import PROGRAM
    from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.program import unit_program

    path, packed = places.paths.below(PROGRAM), unit_program()
    if read_bytes(path) == packed:
        return ()
    return (
        MakeDir(os.path.dirname(path), 0o755, why="make the folder of the program"),
        WriteFile(path, lambda: packed, 0o755, why="write the program of stateful units"),
    )


def references(places: UnitPaths, wanted: Description) -> tuple[str, ...]:
    """Returns the existing files of Quadlet that the container uses."""
    options = [option.partition("=")[2] for option in wanted.options if option.startswith(("--network=", "--volume="))]
    named = (wanted.image, *(option.partition(":")[0] for option in options))
    found = tuple(name for name in named if name.endswith(REFERENCES))
    return tuple(name for name in found if os.path.exists(f"{places.quadlets}/{name}"))


def plan_unit(current: Current, goal: Goal) -> Plan:
    """Returns the plan for all states but absent."""
    steps: tuple[Step, ...] = ()
    if not is_reached(current, goal):
        from ansible_collections.criu.hosts.plugins.module_utils._unit.plan import steps_to

        steps = steps_to(current, goal)
    return Plan(view(current), goal_view(current, goal), steps)


def _absent(ctx: Context, name: str) -> tuple[dict[str, Any], Plan]:
    from ansible_collections.criu.hosts.plugins.module_utils._unit.plan import plan_absent, until_removal

    current = read_current(ctx, name)
    refuse_foreign(current)
    paths = (current.places.restart_marker(name), current.places.state(name))
    plan = plan_absent(current, tuple(path for path in paths if os.path.lexists(path)))
    # The program that systemd calls to stop the unit holds the container itself. Then nobody may be using it.
    stop, rest = until_removal(plan)
    _apply(ctx, name, stop)
    with ctx.hold("container", name) if rest.steps else nullcontext():
        _apply(ctx, name, rest)
    return Current(name, places=current.places).view(), plan


def _apply(ctx: Context, name: str, plan: Plan) -> bool:
    try:
        return ctx.apply(plan) is not None
    except CommandError as error:
        from ansible_collections.criu.hosts.plugins.module_utils._unit.failure import explained

        raise explained(ctx.runner, name, error) from error
