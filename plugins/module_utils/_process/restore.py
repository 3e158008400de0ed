# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Restores a process from its images, after a check that this would neither fail nor make a second copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import read_criu
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import read_statistics
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DYNTRANS_BOOLEAN
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit, read_unit, unit_name
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loan import read_loan
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import (
    may_take,
    permissive_warning,
    read_selinux,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread, summary
from ansible_collections.criu.hosts.plugins.module_utils._process.options import (
    MINIMUM_CRIU,
    ProcessOptions,
    require_root_for,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_steps import Restore, Restored, restore_steps
from ansible_collections.criu.hosts.plugins.module_utils._process.second_copy import read_note, refuse_second_copy
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    check_parents,
    read_images,
    read_labels,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_images_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def choose_unit(ctx: Context, images: Images, options: ProcessOptions, before: tuple[Thread, ...]) -> Unit | None:
    """Returns the unit to restore by: the task's, the record's, or one of ours if this task may not or cannot restore.

    Raises:
        CheckpointError: unit_running.
    """
    name = options.unit or (images.record.unit if images.record else "")
    if not name and (options.terminal or not may_take(ctx.paths, before)):
        name = f"criu-hosts-{images.tasks[0].pid}"
    if not name or not ctx.is_root:
        return None
    unit = read_unit(ctx.runner, unit_name(name))
    if unit.active:
        raise CheckpointError(
            f"Cannot restore {images.text} into the unit {unit.name!r}: it is {unit.state}"
            f"{f' with the main process {unit.pid}' if unit.pid else ''}. Stop it first, or set a different unit.",
            reason="unit_running",
            pid=unit.pid,
        )
    return unit


def preflight(ctx: Context, images: Images, options: ProcessOptions) -> Restore:
    """Returns what the restore is planned from; refuses one that would fail or do harm.

    Raises:
        CheckpointError: images_pre_dump, terminal_missing, policy_missing and those of the called functions.
    """
    if images.pre_dump:
        raise CheckpointError(
            f"Cannot restore from {images.path!r}: it contains only a pre-dump, which is memory without processes. Set "
            "images_path to the checkpoint that is based on it.",
            reason="images_pre_dump",
        )
    refuse_second_copy(ctx.paths, images)
    check_parents(images)
    before, selinux = read_labels(images), read_selinux(ctx.paths)
    if options.shell_job and not options.terminal:
        raise CheckpointError(
            f"Cannot restore {images.text} with shell_job: a shell job needs a terminal, which a task does not have. "
            "Set terminal, for example to /dev/pts/3, or detach the process from its terminal before the checkpoint.",
            reason="terminal_missing",
        )
    criu = read_criu(ctx.runner, MINIMUM_CRIU, selinux)
    if selinux.mode == "enforcing" and before and selinux.dyntrans is None:
        raise CheckpointError(
            f"Cannot restore {images.text} with the label {before[0].label!r}: SELinux is enforcing, and its policy "
            f"does not have the boolean {DYNTRANS_BOOLEAN!r}. Apply the role criu.hosts.criu_selinux.",
            reason="policy_missing",
        )
    unit = choose_unit(ctx, images, options, before if selinux.mode == "enforcing" else ())
    loan = read_loan(ctx.paths, DYNTRANS_BOOLEAN) if ctx.is_root else None
    return Restore(ctx.paths, images, options, criu, selinux, before, unit, loan)


def view(images: Images, process: Process | None, unit: str) -> dict[str, Any]:
    """Returns the value of ``restore``."""
    root = images.root
    return {
        "pid": process.pid if process else (root.pid if root and root.pid != 1 else None),
        "comm": process.comm if process else (images.record.comm if images.record else None),
        "state": "running",
        "images_path": images.path,
        "unit": unit or None,
        "cgroup": process.cgroup if process else None,
    }


def proof_word(back: Restored) -> str:
    """Returns what the comparison of labels is worth."""
    if not back.work.selinux.enabled:
        return "selinux_disabled"
    if back.wrong is not None:
        return "label_changed"
    return back.work.selinux.mode if back.work.before else "label_unknown"


def restore(ctx: Context) -> Outcome:
    """Restores the process, unless one that was restored from the images is running."""
    options = ProcessOptions.of(ctx)
    check_images_path(options.images_path)
    require_root_for(options)
    images = read_images(options.images_path)
    if images is None:
        raise CheckpointError(
            f"Cannot restore from {options.images_path!r}: there are no images. Create them with process_checkpoint.",
            reason="images_missing",
        )
    running = read_note(ctx.paths, images)
    if running is not None:
        state = {"images_path": images.path, "state": "running"}
        unit = options.unit or (images.record.unit if images.record else "")
        facts: dict[str, Any] = {"statistics": {}, "labels": [], "label_proof": "not_needed"}
        return Outcome("restore", view(images, running, unit), Plan(before=state, after=state), facts)
    return make(ctx, Restored(preflight(ctx, images, options), ctx.runner))


def make(ctx: Context, back: Restored) -> Outcome:
    """Applies the plan of the restore."""
    work, path = back.work, back.work.images.path
    plan = Plan(
        before={"images_path": path, "state": "absent"},
        after={"images_path": path, "state": "running"},
        steps=restore_steps(back),
    )
    applied = ctx.apply(plan)
    facts = {
        "statistics": read_statistics(work.statistics_path) if applied else {},
        "labels": summary(back.pairs),
        "label_proof": proof_word(back),
    }
    warnings = permissive_warning(work.selinux, "restore")
    if back.wrong is not None:
        warnings = (*warnings, back.wrong.message)
    value = view(work.images, back.process, work.unit.name if work.unit else "")
    return Outcome("restore", value, plan, facts, warnings)
