# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Starts and stops the container of a stateful unit: by restore and dump, or plainly if those fail."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._container.checkpoint import make, refuse
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.restore import bring_back, proof_word
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import (
    Situation,
    place_record,
    preflight,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    Kill,
    MakeDir,
    Plan,
    Remove,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.session import TIMED_OUT
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import boot_id
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import cgroup_memory, folder_bytes
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import (
    aside_dir,
    last_path,
    state_dir,
    stopping_dir,
)
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import (
    KEPT_ASIDE,
    Choice,
    Last,
    Spec,
    before,
    choose,
    damage,
    is_same,
    processes_of,
    read_last,
    read_spec,
    render_last,
    seconds_for,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

# Podman may take so long for work that does not depend on memory.
COMMAND_SECONDS = 240
# The stop timeout if the spec of the unit is missing.
STOP_SECONDS = 10


@dataclass
class Unit:
    """One call of the program. ``allow`` asks systemd for more seconds, ``say`` writes to the journal."""

    name: str
    ctx: Context
    engine: Engine
    allow: Callable[[int, str], None]
    say: Callable[[str, str], None]
    last: Last | None = None
    began: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.engine.require_caller(f"start or stop the unit '{self.name}.service'")
        self.last = read_last(self.ctx.paths, self.name)

    def inspect(self) -> Container | None:
        return self.engine.inspect(self.ctx, self.name)

    def apply(self, *steps: Step) -> None:
        self.ctx.apply(Plan(steps=steps))

    def note(self, action: str, container: Container | None, **known: Any) -> None:
        """Records the action. A record that cannot be written, for example to a full disk, stops nothing."""
        seconds = round(time.time() - self.began, 3)
        boot = boot_id(self.ctx.paths)
        entry = Last(action, round(self.began, 3), seconds, boot, previous=before(self.last), **known)
        if container is not None:
            entry = replace(entry, id=container.id)
        try:
            self.apply(
                MakeDir(state_dir(self.ctx.paths, self.name), 0o700, why="make the folder"),
                WriteFile(last_path(self.ctx.paths, self.name), render_last(entry), why="write the record"),
            )
        except CheckpointError as error:
            self.say("warning", error.message)


def start(unit: Unit) -> None:
    """Restores the container, or starts it if it has no state that can be restored.

    Raises:
        CheckpointError: both failed, or the restore failed and the unit must not start without its state.
    """
    spec = _required(unit, read_spec(unit.ctx.paths, unit.name))
    unit.allow(seconds_for(0), "inspecting the container")
    unit.apply(Remove(f"{stopping_dir(unit.ctx.paths)}/{unit.name}", why="remove the note of the last stop"))
    container = unit.inspect()
    record = place_record(unit.ctx.paths, container) if container is not None else None
    choice = choose(spec, container, record, unit.last)
    if choice.action == "running" and conmon_lives(unit.ctx.paths, spec):
        unit.say("notice", f"Container {unit.name!r} is already running.")
        return
    if choice.action == "running":
        choice = Choice("replace", "its conmon is gone, so the container's exit would go unnoticed")
    if choice.action == "restore" and container is not None:
        _restore(unit, spec, container)
        return
    _fresh(unit, spec, container if choice.action in ("start", "replace") else None, choice.action, choice.why or "")


def conmon_lives(paths: Paths, spec: Spec) -> bool:
    """Returns whether systemd will find the main process."""
    text = (read_text(spec.conmon_pid_file) or "").strip()
    return text.isdigit() and os.path.isdir(f"{paths.proc}/{text}")


def _required(unit: Unit, spec: Spec | None) -> Spec:
    if spec is None:
        raise CheckpointError(
            f"Cannot start the unit '{unit.name}.service': its description is gone. Apply container_unit again.",
            reason="unit_spec_invalid",
        )
    return spec


def forget(spec: Spec) -> Step:
    """Returns the step after which systemd cannot read the pid of an earlier conmon."""
    return Remove(spec.conmon_pid_file, why="remove the old pid file")


def _restore(unit: Unit, spec: Spec, container: Container) -> None:
    size = folder_bytes(unit.engine.images_dir(container))
    desired = Desired(unit.name, None, spec.options)
    situation = Situation(container, place_record(unit.ctx.paths, container), read_selinux(unit.ctx.paths))
    unit.allow(seconds_for(size) + COMMAND_SECONDS, f"restoring {size >> 20} MiB")
    try:
        wrong = damage(unit.engine.images_dir(container), container, unit.last)
        if wrong is not None:
            raise CheckpointError(
                f"Cannot restore container {unit.name!r}: the images of its checkpoint are damaged: {wrong}. Copy them "
                "from a backup, or set on_restore_failure to fresh to start without the state.",
                reason="checkpoint_damaged",
            )
        situation = preflight(unit.ctx, unit.engine, desired, situation, "container")
        unit.apply(forget(spec))
        restored = bring_back(unit.ctx, unit.engine, desired, situation)
    except CheckpointError as error:
        if error.reason == "interrupted":
            raise  # for example at a shutdown of the host: the next start restores
        _not_restored(unit, spec, container, error)
        return
    word = proof_word(restored)
    unit.note(
        "restored",
        container,
        stamp=container.stamp,
        size_bytes=size,
        label_proof=word,
        labels=restored.label_facts["labels"],
        statistics=restored.statistics,
    )
    unit.say("info", f"Container {unit.name!r} was restored from {size >> 20} MiB; label proof: {word}.")


def remains(paths: Paths, cgroups: tuple[str, ...]) -> list[int]:
    """Returns the rest of a restore that hung: conmon and the runtime in the unit's cgroup, CRIU in the container's."""
    return [pid for pid in processes_of(paths, cgroups) if pid != os.getpid()]


def _not_restored(unit: Unit, spec: Spec, container: Container, error: CheckpointError) -> None:
    """Starts the container without its state after a failed restore, or fails, as on_restore_failure says."""
    why = {"why": error.message, "reason": error.reason}
    if error.facts.get("rc") == TIMED_OUT:
        cgroups = unit.engine.cgroups(container)
        unit.apply(Kill(lambda: remains(unit.ctx.paths, cgroups), why="end the processes of the restore that hung"))
    now = unit.inspect()
    if now is not None and now.running:
        unit.apply(*unit.engine.stop_steps(unit.name, "stop the container of the failed restore"))
    if spec.on_restore_failure == "refuse":
        size = unit.last.size_bytes if unit.last is not None and unit.last.stamp == container.stamp else None
        unit.note("refused", container, stamp=container.stamp, size_bytes=size, **why)
        raise error
    unit.say("err", error.message)
    _fresh(unit, spec, now or container, "start", error.message, error.reason)


def _fresh(
    unit: Unit, spec: Spec, container: Container | None, action: str, why: str, reason: str | None = None
) -> None:
    """Starts the container without its old state; puts an existing checkpoint aside."""
    unit.allow(COMMAND_SECONDS * 2, "starting the container")
    aside = _put_aside(unit, container) if container is not None and container.stamp else None
    unit.apply(forget(spec))
    if action == "replace" and container is not None:
        unit.apply(*unit.engine.remove_steps(unit.name, f"remove the old container {unit.name!r}"))
    if action in ("create", "replace"):
        unit.apply(Command(spec.create, why=f"create container {unit.name!r}"))
    unit.apply(*unit.engine.start_steps(unit.name))
    now = container if action == "start" else None
    unit.note("fresh", now, why=why, reason=reason, aside=aside)
    kept = f" The checkpoint is kept in {aside!r}." if aside else ""
    unit.say(
        "warning" if aside else "info",
        f"Container {unit.name!r} was started without its state: {why.rstrip('.')}.{kept}",
    )


def _put_aside(unit: Unit, container: Container) -> str:
    """Moves the checkpoint out of the container with mv, since the storage may be a different file system."""
    base = aside_dir(unit.ctx.paths, unit.name)
    folder = f"{base}/{time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
    there = [path for path in unit.engine.checkpoint_files(container) if os.path.lexists(path)]
    old = sorted(os.listdir(base))[: -(KEPT_ASIDE - 1)] if os.path.isdir(base) else []
    unit.apply(
        *(Remove(f"{base}/{name}", why="remove an old checkpoint") for name in old),
        MakeDir(folder, 0o700, why="make the folder"),
        Command(("mv", "-t", folder, "--", *there), why=f"put the checkpoint of {unit.name!r} aside"),
    )
    return folder


def stop(unit: Unit) -> None:
    """Dumps the container, which ends it; stops it as podman does if the dump fails or is not wanted."""
    spec, container = read_spec(unit.ctx.paths, unit.name), unit.inspect()
    if container is None or not container.running:
        return  # systemd calls this after the container has ended on its own, too
    unit.apply(
        MakeDir(stopping_dir(unit.ctx.paths), 0o700, why="make the folder"),
        WriteFile(f"{stopping_dir(unit.ctx.paths)}/{unit.name}", "", why="note the stop of the unit in"),
    )
    if spec is None:
        stop_cleanly(unit, container, STOP_SECONDS, "the unit's description is gone")
    elif not is_same(spec, container):
        stop_cleanly(unit, container, spec.stop_timeout, "the description of the container has changed")
    else:
        _dump(unit, spec, container)


def _dump(unit: Unit, spec: Spec, container: Container) -> None:
    size = cgroup_memory(unit.ctx.paths, container.pid) or 0
    desired = Desired(unit.name, None, spec.options)
    unit.allow(seconds_for(size) + spec.stop_timeout + COMMAND_SECONDS, f"dumping {size >> 20} MiB")
    try:
        made = make(unit.ctx, unit.engine, desired, refuse(unit.engine, desired, container))
    except CheckpointError as error:
        unit.say("warning", f"{error.message} The unit is stopped without its state.")
        stop_cleanly(unit, container, spec.stop_timeout, error.message, error.reason)
        return
    except Exception as error:
        stop_cleanly(unit, container, spec.stop_timeout, f"internal error during the dump: {error}")
        raise
    size = folder_bytes(unit.engine.images_dir(container))
    stamp = unit.engine.stamp(container)
    unit.note("dumped", container, stamp=stamp, size_bytes=size, statistics=made.facts["statistics"])
    unit.say("info", f"Container {unit.name!r} was dumped: {size >> 20} MiB.")


def stop_cleanly(unit: Unit, container: Container, seconds: int, why: str, reason: str | None = None) -> None:
    """Stops the container; podman kills it after ``seconds``."""
    unit.allow(seconds + COMMAND_SECONDS, "stopping the container")
    unit.apply(*unit.engine.stop_steps(unit.name, f"stop container {unit.name!r}", seconds))
    unit.note("clean_stop", container, why=why, reason=reason)
    unit.say("info", f"Container {unit.name!r} was stopped without a checkpoint: {why.rstrip('.')}.")


def stopped(unit: Unit, result: str, status: str) -> None:
    """Stops a container that outlived its unit, because systemd would no longer know it.

    Raises:
        CheckpointError: the container ended on its own.
    """
    container = unit.inspect()
    if container is not None and container.running:
        stop_cleanly(unit, container, STOP_SECONDS, f"the unit ended ({result}) while the container kept running")
    if result == "success":
        raise CheckpointError(
            f"Container {unit.name!r} ended on its own with status {status}. Read its log.", reason="container_ended"
        )
