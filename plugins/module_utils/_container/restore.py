# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Restoring a container: what is there, what to do, and the proof that every label is what it was."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._container.failure import explain
from ansible_collections.criu.hosts.plugins.module_utils._container.label_proof import Proof, prove
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import (
    Situation,
    preflight,
    read_situation,
    source_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Plan,
    Remove,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Container, Engine
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.losses import unlabelled_warning
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.rootless import require_root
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loan import borrow, read_loan
from ansible_collections.criu.hosts.plugins.module_utils._store.record import place_record_path, restored_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


@dataclass(frozen=True)
class Restored:
    """What a restore brought: statistics, the proof, and the container as it runs now."""

    statistics: dict[str, Any]
    proof: Proof
    container: Container | None


def restore_steps(engine: Engine, desired: Desired, situation: Situation, source: str) -> tuple[Step, ...]:
    """The steps of the restore itself, with the boolean borrowed around them; none if the source is nowhere."""
    steps: tuple[Step, ...] = ()
    if source == "container" and situation.container is not None:
        # Podman throws the checkpoint away after a restore in place: it has to stay until the labels are proved.
        keep = desired.options.keep or situation.selinux.enabled
        argv = engine.restore_argv(situation.container.name, replace(desired.options, keep=keep))
        steps = (Command(argv, why=f"restore container {desired.name!r}", label="restore"),)
    elif source == "archive":
        runtime = situation.record.runtime if situation.record else ""
        argv = engine.import_argv(desired.archive_path or "", runtime, desired.new_name, desired.options)
        steps = (Command(argv, why=f"restore container {desired.target!r} from the archive", label="restore"),)
    return borrow(steps, situation.selinux, read_loan(), situation.process_label)


def cleanup_steps(engine: Engine, desired: Desired, situation: Situation, source: str) -> tuple[Step, ...]:
    """What is done after the proof: the checkpoint in place goes, unless it is to be kept."""
    container = situation.container
    if source != "container" or container is None or desired.options.keep:
        return ()
    paths: tuple[str, ...] = (place_record_path(container.id),)
    if situation.selinux.enabled:
        paths = (*engine.checkpoint_files(container), *paths)
    return tuple(Remove(path, why="remove the used checkpoint") for path in paths)


def bring_back(ctx: Context, engine: Engine, desired: Desired, situation: Situation) -> Restored | None:
    """Restore in place, prove the labels, remove the used checkpoint. None in check mode."""
    container = situation.container
    if container is None:
        return None
    try:
        applied = ctx.apply(Plan(steps=restore_steps(engine, desired, situation, "container")))
    except CheckpointError as error:
        raise explain(
            engine,
            error,
            what=f"restore container {container.name!r}",
            container=container,
            action="restore",
            outcome="Its checkpoint is kept.",
        ) from error
    if applied is None:
        return None
    pid = engine.live_pid(container)
    now = replace(container, pid=pid, status="running") if pid else engine.inspect(ctx.runner, container.name)
    stop = Command(engine.stop_argv(container.name), why=f"stop container {container.name!r}")
    said = "It is stopped, and its checkpoint is kept."
    proof = prove(ctx, engine, desired, situation, now or container, (stop, said))
    ctx.apply(Plan(steps=cleanup_steps(engine, desired, situation, "container")))
    return Restored(engine.parse_statistics(applied.output("restore")), proof, now)


def bring_in(ctx: Context, engine: Engine, desired: Desired, situation: Situation) -> Restored | None:
    """Restore from the archive and prove the labels. None in check mode."""
    what = f"restore container {desired.target!r} from {desired.archive_path!r}"
    try:
        applied = ctx.apply(Plan(steps=restore_steps(engine, desired, situation, "archive")))
    except CheckpointError as error:
        left = engine.inspect(ctx.runner, desired.target)
        raised = explain(
            engine, error, what=what, container=left, action="restore", outcome="The archive is as it was."
        )
        if left is not None and not left.running:
            # Podman leaves a container behind that has never run and would be in the way of the next try.
            ctx.apply(
                Plan(steps=(Command(engine.remove_argv(left.name), why="remove the container that podman left"),))
            )
        raise raised from error
    if applied is None:
        return None
    now = engine.inspect(ctx.runner, desired.target)
    if now is None:
        raise CheckpointError(
            f"Cannot {what}: the container is gone again. Read the host's journal.", reason="tool_failed"
        )
    remove = Command(engine.remove_argv(now.name), why=f"remove container {now.name!r}")
    undo = (remove, "It is removed again, and the archive is kept.")
    proof = prove(ctx, engine, desired, situation, now, undo)
    note = {"id": now.id, "sha256": situation.sha256, "archive_path": desired.archive_path}
    path = restored_path(desired.target)
    steps = (
        MakeDir(os.path.dirname(path)),
        WriteFile(path, json.dumps(note) + "\n", why="note where the container is from in"),
    )
    ctx.apply(Plan(steps=steps))
    return Restored(engine.parse_statistics(applied.output("restore")), proof, now)


def view(container: Container | None, desired: Desired, source: str) -> dict[str, Any]:
    """The noun of container_restore. Without a failure the container runs, or would in check mode."""
    return {
        "name": desired.target,
        "id": container.id if container else None,
        "state": "running",
        "source": None if source == "nowhere" else source,
        "archive_path": desired.archive_path,
        "runtime": container.runtime if container else None,
        "pid": container.pid if container and container.running else None,
    }


def plan_of(engine: Engine, desired: Desired, situation: Situation, source: str) -> Plan:
    """The whole restore as one plan, for the diff and the commands."""
    container = situation.container
    before = {"name": desired.target, "state": container.status if container else "absent"}
    after = {"name": desired.target, "state": "running"}
    steps = restore_steps(engine, desired, situation, source) + cleanup_steps(engine, desired, situation, source)
    return Plan(before=before, after=after, steps=steps)


def proof_word(situation: Situation, restored: Restored | None) -> str:
    """What the comparison of labels is worth."""
    if restored is None:
        return "not_needed"
    if not situation.selinux.enabled:
        return "selinux_disabled"
    if restored.proof.wrong is not None:
        return "label_changed"
    known = situation.before or situation.process_label or (restored.container and restored.container.process_label)
    return situation.selinux.mode if known else "label_unknown"


def restore(
    ctx: Context, engine: Engine, desired: Desired
) -> tuple[dict[str, Any], Plan, dict[str, Any], tuple[str, ...]]:
    """The module's work: value, plan, facts, warnings."""
    require_root(f"restore container {desired.name!r}")
    situation = read_situation(ctx, engine, desired)
    source = source_of(desired, situation)
    restored = None
    if source != "nowhere":
        situation = preflight(ctx.runner, engine, desired, situation, source)
    plan = plan_of(engine, desired, situation, source)
    if source == "container":
        restored = bring_back(ctx, engine, desired, situation)
    elif source == "archive":
        restored = bring_in(ctx, engine, desired, situation)
    else:
        ctx.apply(plan)
    warnings = unlabelled_warning(restored is not None and situation.selinux.enabled)
    if restored is not None and situation.selinux.mode == "permissive":
        warnings += ("SELinux is permissive: equal labels now do not prove that a restore works when it is enforcing.",)
    if restored is not None and restored.proof.wrong is not None:
        warnings = (*warnings, restored.proof.wrong.message)
    container = restored.container if restored is not None else situation.container
    facts = {
        "statistics": restored.statistics if restored else {},
        **(restored.proof if restored else Proof()).facts,
        "label_proof": proof_word(situation, restored),
    }
    return view(container, desired, source), plan, facts, warnings
