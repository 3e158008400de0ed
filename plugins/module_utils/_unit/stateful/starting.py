# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Starts the container of a unit: by a restore with its proof, or plainly if there is no state to restore."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from ansible_collections.criu.hosts.plugins.module_utils._container.notes import end
from ansible_collections.criu.hosts.plugins.module_utils._container.preflight import preflight
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore, bring_back, proof_word
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_health import health_steps
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import (
    Situation,
    place_record,
)
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_steps import last_steps, proof_steps
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Kill, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._core.session import TIMED_OUT
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import BASE_SECONDS, seconds_for
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.aside import put_aside, recover
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import stopping_dir
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import (
    Choice,
    Spec,
    choose,
    damage,
    images_bytes,
    processes_of,
    read_spec,
)
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.stopping import dump
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.unit import (
    COMMAND_SECONDS,
    WAIT_SECONDS,
    Unit,
    in_journal,
)
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.unpausing import settled, unpaused

# Once podman has restored the container, only these end it: a wrong label, and its own end.
ENDS = ("label_changed", "container_ended")
# A restore that fails so has lost nothing, and succeeds when the host is put right: the state is never given up for it.
CURABLE = ("disk_full", "file_failed", "apparmor_profile_missing", "apparmor_parser_missing")
# So long to wait before a restore is tried again that had no chance, since other units are started at the same time.
BUSY_PAUSE = 2.0


def start(unit: Unit) -> None:
    """Restores the container, or starts it if it has no state that can be restored.

    Raises:
        CheckpointError: both failed, or the restore failed and the unit must not start without its state.
    """
    spec = _required(unit, read_spec(unit.ctx.paths, unit.name))
    unit.allow(seconds_for(0), "inspecting the container")
    note = f"{stopping_dir(unit.ctx.paths)}/{unit.name}"
    unit.tries("remove the note of the last stop", Remove(note, why="remove the note of the last stop"))
    container = settled(unit, unit.inspect(), spec.stop_timeout)
    dummy, error = attempt("look for an interrupted start", lambda: recover(unit, container))
    if error is not None:
        unit.say("warning", error.message)
    known = unit.known(container) if container is not None else unit.last
    choice = choose(spec, container, _record_of(unit, container), known)
    if container is not None and choice.action in ("running", "prove"):
        _running(unit, spec, container, choice)
    elif container is not None and choice.action == "restore":
        restore(unit, spec, container)
    else:
        fresh(unit, spec, container, choice, choice.reason)


def _record_of(unit: Unit, container: Container | None) -> Record | None:
    """Returns the record of the checkpoint in place; None if there is none, or if it cannot be read."""
    if container is None:
        return None
    record, error = attempt("read the record of the checkpoint", lambda: place_record(unit.ctx.paths, container))
    if error is not None:
        unit.say("warning", error.message)
    found: Record | None = record
    return found


def _required(unit: Unit, spec: Spec | None) -> Spec:
    if spec is None:
        raise CheckpointError(
            f"Cannot start the unit '{unit.name}.service': its description is gone. Apply container_unit again.",
            reason="unit_spec_invalid",
        )
    return spec


def _running(unit: Unit, spec: Spec, container: Container, choice: Choice) -> None:
    """Keeps a container that runs or is paused. Without its conmon it is dumped and restored to get a new one."""
    container = unpaused(unit, container)
    if conmon_lives(unit.ctx.paths, spec):
        if choice.action == "prove":
            prove(unit, spec, container)
        else:
            unit.say("notice", f"Container {unit.name!r} is already running.")
        return
    why = "its conmon is gone, so the container's exit would go unnoticed"
    unit.say("warning", f"Container {unit.name!r} runs, but {why}. It is dumped and restored.")
    error = dump(unit, container, spec.options, spec.stop_timeout)
    if error is None:
        restore(unit, spec, unit.inspect() or container)
        return
    if error.reason == "interrupted":
        raise error
    unit.say("warning", error.message)
    fresh(unit, spec, container, Choice("replace", why))


def conmon_lives(paths: Paths, spec: Spec) -> bool:
    """Returns whether systemd will find the main process."""
    text = (read_text(spec.conmon_pid_file, may_fail=True) or "").strip()
    return text.isdigit() and os.path.isdir(f"{paths.proc}/{text}")


def forget(spec: Spec) -> Step:
    """Returns the step after which systemd cannot read the pid of an earlier conmon."""
    return Remove(spec.conmon_pid_file, why="remove the old pid file")


def restore(unit: Unit, spec: Spec, container: Container) -> None:
    """Restores the container in place. If that fails, on_restore_failure applies; a lock of other starts is no failure.

    Raises:
        CheckpointError: interrupted before the restore, or on_restore_failure is refuse.
    """
    size = images_bytes(unit.engine.images_dir(container))
    end = time.monotonic() + WAIT_SECONDS
    while True:
        unit.allow(seconds_for(size) + COMMAND_SECONDS, f"restoring {size >> 20} MiB")
        restored, error = attempt(f"restore container {unit.name!r}", lambda: _bring_back(unit, spec, container))
        error = in_journal(error)
        if error is None or error.reason != "busy" or time.monotonic() >= end:
            break
        now = attempt("read the container", unit.inspect)[0]
        if now is None or now.alive:
            break
        unit.say("notice", f"Waiting to restore container {unit.name!r}: {error.message.partition('. ')[0]}.")
        time.sleep(BUSY_PAUSE)
    if error is None:
        _restored(unit, container, restored, size)
    else:
        _failed(unit, spec, container, error)


def _bring_back(unit: Unit, spec: Spec, container: Container) -> Restore:
    wrong = damage(unit.engine.images_dir(container), container, unit.known(container))
    if wrong is not None:
        raise CheckpointError(
            f"Cannot restore container {unit.name!r}: the images of its checkpoint are damaged: {wrong}. Copy them "
            "from a backup, or set on_restore_failure to fresh to start without the state.",
            reason="checkpoint_damaged",
        )
    desired = Desired(unit.name, None, spec.options)
    situation = Situation(container, _record_of(unit, container), read_selinux(unit.ctx.paths))
    situation = preflight(unit.ctx, unit.engine, desired, situation, "container")
    unit.apply(forget(spec))
    return bring_back(unit.ctx, unit.engine, desired, situation)


def _restored(unit: Unit, container: Container, work: Restore, size: int) -> None:
    word = proof_word(work)
    for warning in work.warnings:
        unit.say("warning", warning)
    unit.note(
        "restored",
        container,
        stamp=container.stamp,
        size_bytes=size,
        label_proof=word,
        labels=work.label_facts["labels"],
        statistics=work.statistics,
    )
    unit.say("info", f"Container {unit.name!r} was restored from {size >> 20} MiB; label proof: {word}.")


def _failed(unit: Unit, spec: Spec, container: Container, error: CheckpointError) -> None:
    """Keeps a container that podman has restored, whatever failed then; all but a wrong label is a warning."""
    if error.reason == "interrupted":
        raise error  # for example at a shutdown of the host: nothing was restored, so the next start does it
    now, unread = attempt(f"read container {unit.name!r}", unit.inspect)
    if unread is not None:
        unit.say("err", error.message)
        raise unread  # it may run: the unit's last command looks again
    if now is None or not now.running or error.reason in ENDS:
        _not_restored(unit, spec, container, now, error)
        return
    unit.say("warning", f"{error.message} The container was restored, and is kept.")
    if not conmon_lives(unit.ctx.paths, spec):
        raise CheckpointError(
            f"Cannot complete the start of '{unit.name}.service': its container runs without conmon. It is dumped; "
            "start the unit again.",
            reason="restore_incomplete",
        )
    prove(unit, spec, replace(now, stamp=container.stamp))


def prove(unit: Unit, spec: Spec, container: Container) -> None:
    """Compares the labels of a container that runs since an unfinished restore, and removes the used checkpoint."""
    size = images_bytes(unit.engine.images_dir(container))
    desired = Desired(unit.name, None, spec.options)
    situation = Situation(container, _record_of(unit, container), read_selinux(unit.ctx.paths))
    work = Restore(unit.ctx, unit.engine, desired, situation, "container")
    dummy, error = attempt(f"prove the labels of container {unit.name!r}", lambda: unit.apply(*proof_steps(work)))
    if error is not None and error.reason in ENDS:
        _not_restored(unit, spec, container, unit.inspect(), error)
        return
    if error is not None:
        unit.say("warning", f"{error.message} The labels are not proved yet: the next start of the unit does it.")
        return
    closing = end(unit.ctx.paths, unit.name)
    unit.tries("remove the used checkpoint", *health_steps(work), *last_steps(work), *closing)
    _restored(unit, container, work, size)


def remains(paths: Paths, name: str, cgroups: tuple[str, ...]) -> list[int]:
    """Returns the rest of a restore that hung: conmon and the runtime in the unit's cgroup, CRIU in the container's."""
    return [pid for pid in processes_of(paths, name, cgroups) if pid != os.getpid()]


def _not_restored(unit: Unit, spec: Spec, container: Container, now: Container | None, error: CheckpointError) -> None:
    """Starts the container without its state after a failed restore, or fails, as on_restore_failure says.

    If the failure is one of ``CURABLE``, it fails in any case.
    """
    why = {"why": error.message, "reason": error.reason}
    if error.facts.get("rc") == TIMED_OUT:
        cgroups = unit.engine.cgroups(container)
        steps = Kill(lambda: remains(unit.ctx.paths, unit.name, cgroups), why="end what the restore that hung has left")
        unit.tries("end what the restore that hung has left", steps)
    if now is not None and now.alive:
        unit.apply(*unit.engine.stop_steps(now, "stop the container of the failed restore"))
    if spec.on_restore_failure == "refuse" or error.reason in CURABLE:
        known = unit.known(container)
        size = known.size_bytes if known is not None and known.stamp == container.stamp else None
        unit.note("refused", container, stamp=container.stamp, size_bytes=size, **why)
        raise error
    unit.say("err", error.message)
    fresh(unit, spec, now or container, Choice("start", error.message), error.reason)


def fresh(unit: Unit, spec: Spec, container: Container | None, choice: Choice, reason: str | None = None) -> None:
    """Starts the container without its old state; puts an existing checkpoint aside."""
    unit.allow(BASE_SECONDS + COMMAND_SECONDS, "starting the container")
    why = choice.why or ""
    aside = None
    if container is not None and container.stamp:
        unit.allow(seconds_for(images_bytes(unit.engine.images_dir(container))) + COMMAND_SECONDS, "putting aside")
        aside = put_aside(unit, container)
    unit.apply(forget(spec))
    if choice.action == "replace" and container is not None:
        unit.apply(*unit.engine.remove_steps(container, f"remove the old container {unit.name!r}"))
    if choice.action in ("create", "replace"):
        unit.apply(Command(spec.create, why=f"create container {unit.name!r}"))
    kept = container if choice.action == "start" else None
    unit.apply(*unit.engine.start_steps(kept or unit.name))
    unit.note("fresh", kept, why=why, reason=reason, aside=aside)
    where = f" The checkpoint is kept in {aside!r}." if aside else ""
    unit.say(
        "warning" if aside else "info",
        f"Container {unit.name!r} was started without its state: {why.rstrip('.')}.{where}",
    )
