# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Dumps the container of a unit that stops. Only a container that cannot be dumped is stopped without its state."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._container.checkpoint import make
from ansible_collections.criu.hosts.plugins.module_utils._container.refuse import refuse
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import seconds_for
from ansible_collections.criu.hosts.plugins.module_utils._host.process import boot_id
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import cgroup_memory
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.aside import bring_forward, drop, step_back
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import mark_path, stopping_dir
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import (
    half_started,
    images_bytes,
    is_same,
    read_spec,
    render_last,
)
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.unit import COMMAND_SECONDS, Unit, in_journal
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.unpausing import settled, unpaused

# The stop timeout if the spec of the unit is missing.
STOP_SECONDS = 10
# These are failures of our own work around the dump, which are no reason to lose the state.
OWN_FAILURES = ("disk_full", "file_failed", "internal")


def stop(unit: Unit) -> None:
    """Dumps the container, which ends it; stops it as podman does if the dump fails or is not wanted."""
    container = settled(unit, unit.inspect(), STOP_SECONDS)
    if container is None or not container.alive:
        return  # systemd calls this after the container has ended on its own, too
    unit.tries(
        f"note the stop of the unit {unit.name!r}",
        MakeDir(stopping_dir(unit.ctx.paths), 0o700, why="make the folder"),
        WriteFile(f"{stopping_dir(unit.ctx.paths)}/{unit.name}", "", why="note the stop of the unit in"),
    )
    end(unit, container)


def stopped(unit: Unit, result: str, status: str) -> None:
    """Dumps a container that outlived its unit, since systemd would no longer know it: its start was stopped, say.

    Raises:
        CheckpointError: container_ended, it ended on its own.
    """
    container = settled(unit, unit.inspect(), STOP_SECONDS)
    if container is not None and container.alive:
        unit.say("notice", f"Container {unit.name!r} runs on after its unit has ended ({result}).")
        end(unit, container)
        return
    if container is not None and container.checkpointed and container.stamp:
        _complete(unit, container)
    if result == "success" and status != "unknown" and not _was_stopped(unit, container):
        raise CheckpointError(
            f"Container {unit.name!r} ended on its own with status {status}. Read its log.", reason="container_ended"
        )


def _complete(unit: Unit, container: Container) -> None:
    """Records a dump for a stop that was killed before it could: after a boot podman no longer knows of it."""
    known = unit.known(container)
    if known is None or known.stamp != container.stamp:
        _record(unit, container, {})
        drop(unit, container)


def _was_stopped(unit: Unit, container: Container | None) -> bool:
    """Returns whether the unit has ended the container, if the note of that could not be written (full /run)."""
    if container is not None and container.checkpointed and container.stamp:
        return True  # podman forgets that when the container is started
    last = unit.last
    if container is None or last is None or last.boot_id != boot_id(unit.ctx.paths):
        return False
    return last.action == "clean_stop" and last.id == container.id


def end(unit: Unit, container: Container) -> None:
    """Ends the container of a unit, by a dump if its description says that its state is to be kept.

    Raises:
        CheckpointError: also if it is paused and stays so. Nothing is lost then.
    """
    container = unpaused(unit, container)
    spec, unread = attempt("read the unit's description", lambda: read_spec(unit.ctx.paths, unit.name))
    if unread is not None:
        unit.say("warning", unread.message)
        dump_or_stop(unit, container, Options(), STOP_SECONDS)
    elif spec is None:
        stop_cleanly(unit, container, STOP_SECONDS, "the unit's description is gone")
    elif not is_same(spec, container):
        stop_cleanly(unit, container, spec.stop_timeout, "the description of the container has changed")
    else:
        dump_or_stop(unit, container, spec.options, spec.stop_timeout)


def dump_or_stop(unit: Unit, container: Container, options: Options, seconds: int) -> None:
    """Dumps the container; stops it if that fails.

    If it was restored a moment ago, by a start that did not come to its end, its checkpoint is kept until the new one
    is complete, and stays in use if there will be none.

    Raises:
        CheckpointError: interrupted; the container runs on.
    """
    half = half_started(container, unit.known(container))
    kept = half and step_back(unit, container)
    error = dump(unit, container, options, seconds)
    if error is None:
        if kept:
            drop(unit, container)
        return
    if error.reason == "interrupted":
        if kept:
            bring_forward(unit, container)
        raise error
    if half:
        unit.say("warning", f"{error.message} The next start uses the checkpoint of the last one.")
        unit.allow(seconds + COMMAND_SECONDS, "stopping the container")
        unit.apply(*unit.engine.stop_steps(container, f"stop container {unit.name!r}", seconds))
        bring_forward(unit, container)
        return
    unit.say("warning", f"{error.message} The unit is stopped without its state.")
    stop_cleanly(unit, container, seconds, error.message, error.reason)


def dump(unit: Unit, container: Container, options: Options, seconds: int) -> CheckpointError | None:
    """Dumps the container, which ends it, and records that; returns why there is no dump, None if there is one.

    ``seconds`` are those that a stop after a failure may take.
    """
    memory = attempt("measure the container", lambda: cgroup_memory(unit.ctx.paths, container.pid))[0] or 0
    unit.allow(seconds_for(memory) + seconds + COMMAND_SECONDS, f"dumping {memory >> 20} MiB")
    desired = Desired(unit.name, None, options)

    def whole() -> dict[str, object]:
        outcome = make(unit.ctx, unit.engine, desired, refuse(unit.ctx.paths, unit.engine, desired, container))
        for warning in outcome.warnings:
            unit.say("warning", warning)
        return dict(outcome.facts["statistics"])

    statistics, error = attempt(f"checkpoint container {unit.name!r}", whole)
    error = in_journal(error)
    if error is not None:
        if not _dumped_after_all(unit, container, options, error):
            return error
        unit.say("warning", error.message)
    _record(unit, container, statistics or {})
    return None


def _dumped_after_all(unit: Unit, container: Container, options: Options, error: CheckpointError) -> bool:
    """Returns whether the container has ended in a dump although the work around it has failed.

    If it still runs, since a record could not be written for example, podman dumps it without any. If podman itself
    has failed, it would fail again, and on a full disk leave no room for the stop.
    """
    now = attempt("read the container", unit.inspect)[0]
    if now is None or error.reason == "interrupted":
        return False
    if now.running and error.reason in OWN_FAILURES and "cmd" not in error.facts:
        steps = unit.engine.checkpoint_steps(now, options, None)
        if not unit.tries("dump the container without a record", *steps):
            return False
        now = attempt("read the container", unit.inspect)[0] or now
    return not now.running and bool(now.stamp) and (now.checkpointed or now.stamp != container.stamp)


def _record(unit: Unit, container: Container, statistics: dict[str, object]) -> None:
    images = unit.engine.images_dir(container)
    size, stamp = images_bytes(images), unit.engine.stamp(container)
    last = unit.note("dumped", container, stamp=stamp, size_bytes=size, statistics=statistics)
    mark = WriteFile(mark_path(images), render_last(last), why="mark the checkpoint with")
    unit.tries(f"mark the checkpoint of {unit.name!r}", mark)
    unit.say("info", f"Container {unit.name!r} was dumped: {size >> 20} MiB.")


def stop_cleanly(unit: Unit, container: Container, seconds: int, why: str, reason: str | None = None) -> None:
    """Stops the container; podman kills it after ``seconds``."""
    unit.allow(seconds + COMMAND_SECONDS, "stopping the container")
    unit.apply(*unit.engine.stop_steps(container, f"stop container {unit.name!r}", seconds))
    unit.note("clean_stop", container, why=why, reason=reason)
    unit.say("info", f"Container {unit.name!r} was stopped without a checkpoint: {why.rstrip('.')}.")
