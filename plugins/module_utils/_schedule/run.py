# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Does one run of a schedule: guards, checkpoint, digests, retention, metrics. Each result is a line of the journal."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import READ_TAIL, CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import stoppable
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for
from ansible_collections.criu.hosts.plugins.module_utils._schedule.description import Schedule, parse_schedule
from ansible_collections.criu.hosts.plugins.module_utils._schedule.guards import skip
from ansible_collections.criu.hosts.plugins.module_utils._schedule.layout import FAILED, SKIPPED, Places
from ansible_collections.criu.hosts.plugins.module_utils._schedule.metrics import Metrics, render_metrics
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.retention import Rules

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._schedule.make import Made

Say = Callable[[str, str], None]
STATUS = {"done": 0, "skipped": SKIPPED, "failed": FAILED}


@dataclass
class Run:
    """One run. ``statistics`` are those of the checkpoint, empty if there is none."""

    ctx: Context
    engine: Engine
    schedule: Schedule
    say: Say
    statistics: dict[str, Any]

    def inspect(self) -> Container | None:
        return self.engine.inspect(self.ctx, self.schedule.name)


def read_schedule(places: Places, name: str) -> Schedule:
    """Reads the configuration of a container.

    Raises:
        CheckpointError: schedule_invalid, schedule_missing.
    """
    path = places.config(name)
    try:
        data = read_own(path)
    except ValueError as error:
        raise CheckpointError(
            f"Cannot read {path!r}: {error}. Let checkpoint_schedule write it again.",
            reason="schedule_invalid",
            path=path,
        ) from error
    if data is None:
        raise CheckpointError(
            f"Cannot checkpoint container {name!r}: there is no schedule {path!r}. Let checkpoint_schedule make one.",
            reason="schedule_missing",
            path=path,
        )
    return parse_schedule(data, name, path)


def run(ctx: Context, name: str, say: Say) -> int:
    """Does one run; returns its exit status.

    Raises:
        CheckpointError: schedule_missing, schedule_invalid.
    """
    began = time.monotonic()
    places = Places(ctx.paths)
    schedule = read_schedule(places, name)
    one = Run(ctx, engine_for(schedule.engine, ctx), schedule, say, {})
    container = attempt(f"read container {name!r}", one.inspect)[0]
    why = skip(ctx.paths, schedule, container.pid if container is not None else 0)
    if why:
        say("notice", f"Skipped the checkpoint of container {name!r}: {why}.")
        result = "skipped"
    else:
        dummy, error = attempt(f"checkpoint container {name!r}", lambda: _work(one))
        if error is not None:
            say("err", error.message.replace(READ_TAIL, "").rstrip())
        result = "failed" if error is not None else "done"
    if schedule.metrics_dir:
        unit = one.engine.manager(container) if container is not None else ""
        seconds = time.monotonic() - began
        dummy, error = attempt("write the metrics", lambda: _write_metrics(one, places, unit, result, seconds))
        if error is not None:
            say("warning", error.message)
    return STATUS[result]


def _work(one: Run) -> None:
    """Makes the checkpoint, and then removes what no rule keeps: after a failure all older ones stay."""
    # A guard that skips need not load these.
    from ansible_collections.criu.hosts.plugins.module_utils._schedule.make import make, verify
    from ansible_collections.criu.hosts.plugins.module_utils._store.removal import removal_steps

    with stoppable():
        made = make(one.ctx, one.engine, one.schedule)
        one.statistics.update(made.statistics)
        for warning in made.warnings:
            one.say("notice", warning)  # the same each night
        dummy, fault = attempt("compare the digests", lambda: verify(made))
        if fault is not None and fault.reason == "checkpoint_damaged" and made.new:
            # Its size is right, so nobody would see that it is damaged, and it would be the newest whole one.
            attempt("remove it", lambda: one.ctx.apply(Plan(steps=removal_steps(made.stored))))
        if fault is not None:
            raise fault
        one.say("info", _made_line(one.schedule.name, made))
        rules = one.schedule.rules
        _prune(one, one.schedule.name, replace(rules, max_total_bytes=None))
        if rules.max_total_bytes is not None:
            # It is a limit of the whole store; the other rules are those of this container.
            _prune(one, None, Rules(max_total_bytes=rules.max_total_bytes))


def _made_line(name: str, made: Made) -> str:
    """Returns the line of the journal about the checkpoint of a run."""
    if not made.new:
        there = f"its checkpoint {made.stored.path!r} is current"
        return f"Container {name!r} does not run, and {there}: there is nothing to do."
    size = made.stored.manifest.size_bytes if made.stored.manifest is not None else 0
    return f"Container {name!r} was checkpointed to {made.stored.path!r}: {size >> 20} MiB."


def _prune(one: Run, name: str | None, rules: Rules) -> None:
    """Removes what no rule keeps. Another task may work on the store: then the next run does it."""
    from ansible_collections.criu.hosts.plugins.module_utils._container.prune import Request, prune

    request = Request(one.schedule.store, "container", name, rules)
    outcome, error = attempt("prune the store", lambda: prune(one.ctx, one.engine, request))
    if error is not None and error.reason == "busy":
        one.say("warning", f"{error.message} The next run prunes the store.")
        return
    if error is not None:
        raise error
    for warning in outcome.warnings:
        one.say("warning", warning)
    gone = [entry for entry in outcome.value if not entry["keep"]]
    for entry in gone:
        one.say("info", f"Removed the checkpoint {entry['id']} of {entry['name']!r}: {entry['why'][0]}.")


def _is_ready(one: Run) -> bool | None:
    """Returns whether the host can checkpoint and restore containers; None if that is not known."""
    from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.host_report import is_ready

    ready, error = attempt("judge the readiness of the host", lambda: is_ready(one.ctx, "container"))
    if error is not None:
        one.say("warning", error.message)
    return None if error is not None else ready


def _write_metrics(one: Run, places: Places, unit: str, result: str, seconds: float) -> None:
    """Writes the metrics, in one rename, so that nobody reads half of them."""
    from ansible_collections.criu.hosts.plugins.module_utils._store.folder import list_stored
    from ansible_collections.criu.hosts.plugins.module_utils._store.removal import made_of, tree_bytes

    schedule = one.schedule
    path = places.metrics(schedule.metrics_dir, schedule.name)
    if not os.path.isdir(os.path.dirname(path)):
        one.say("warning", f"There is no folder {schedule.metrics_dir!r}: the metrics are not written.")
        return
    listed, error = attempt("list the store", lambda: list_stored(schedule.store, "container", schedule.name))
    if error is not None:
        one.say("warning", error.message)
    stored = listed or []
    restorable = [known for known in stored if not known.pre_dump]
    newest = next((known for known in restorable if not known.fault), None)
    frozen = one.statistics.get("frozen_microseconds")
    metrics = Metrics(
        schedule.name,
        unit,
        result,
        ended=time.time(),
        seconds=seconds,
        newest=made_of(newest) if newest is not None else None,
        newest_bytes=tree_bytes(newest.path) if newest is not None else None,
        stored=None if listed is None else len(restorable),
        stored_bytes=None if listed is None else sum(tree_bytes(known.path) for known in stored),
        frozen_seconds=frozen / 1e6 if isinstance(frozen, int) else None,
        ready=None if result == "skipped" else _is_ready(one),
    )
    one.ctx.apply(Plan(steps=(WriteFile(path, render_metrics(metrics), 0o644, why="write the metrics"),)))
