# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Restores a process from its images, after a check that this would neither fail nor make a second copy."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, Plan, Step
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
from ansible_collections.criu.hosts.plugins.module_utils._process.changed_files import (
    refuse_changed_files,
    refuse_taken_ports,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.copies import find_copy, restored_by
from ansible_collections.criu.hosts.plugins.module_utils._process.file_locks import refuse_held_locks
from ansible_collections.criu.hosts.plugins.module_utils._process.locks import hold_images, hold_process, hold_units
from ansible_collections.criu.hosts.plugins.module_utils._process.options import (
    MINIMUM_CRIU,
    ProcessOptions,
    require_root_for,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.permission import refuse_without_capabilities
from ansible_collections.criu.hosts.plugins.module_utils._process.profiles import refuse_missing_profiles
from ansible_collections.criu.hosts.plugins.module_utils._process.proof import labels_before
from ansible_collections.criu.hosts.plugins.module_utils._process.recorded import as_recorded, lost_locks
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_steps import Restore, Restored, restore_steps
from ansible_collections.criu.hosts.plugins.module_utils._process.second_copy import (
    refuse_other_copy,
    refuse_second_copy,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.settle import (
    Found,
    boolean_steps,
    left_steps,
    settle,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import read_begun
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    begun_path,
    check_parents,
    read_images,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def possible_units(images: Images, options: ProcessOptions) -> tuple[str, ...]:
    """Returns the unit that the task or the record names, or else the one of ours that may be needed."""
    return (options.unit or (images.record.unit if images.record else "") or f"criu-hosts-{images.tasks[0].pid}",)


def choose_unit(ctx: Context, images: Images, options: ProcessOptions, before: tuple[Thread, ...]) -> Unit | None:
    """Returns the unit to restore by: the task's, the record's, or one of ours if this task may not or cannot restore.

    Raises:
        CheckpointError: unit_running.
    """
    name = options.unit or (images.record.unit if images.record else "")
    if not name and (options.terminal or not may_take(ctx.paths, before)):
        name = possible_units(images, options)[0]
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


def check_trust(ctx: Context, images: Images) -> None:
    """Refuses images that the trust policy of the host does not accept.

    A process that a failed dump has to bring back is never judged: its images have not left this host.

    Raises:
        CheckpointError: as ``require_trusted``.
    """
    if os.path.lexists(ctx.paths.trust_policy):
        # Few hosts have a trust policy: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._process.trust import require_trusted

        require_trusted(ctx, images)


def preflight(ctx: Context, images: Images, options: ProcessOptions) -> Restore:
    """Returns what the restore is planned from; refuses one that would fail or do harm.

    Raises:
        CheckpointError: images_pre_dump, policy_missing and those of the called functions.
    """
    if images.pre_dump:
        raise CheckpointError(
            f"Cannot restore from {images.path!r}: it contains only a pre-dump, which is memory without processes. Set "
            f"{'images_path' if options.store is None else 'checkpoint'} to one that is based on it.",
            reason="images_pre_dump",
        )
    refuse_second_copy(ctx.paths, images)
    check_parents(images)
    options = as_recorded(images, options)
    if options.file_locks:
        refuse_held_locks(ctx.paths, images)
    before, selinux = labels_before(ctx.paths, images), read_selinux(ctx.paths)
    criu = read_criu(ctx.runner, MINIMUM_CRIU, selinux, ctx.paths)
    refuse_without_capabilities(ctx, criu, images.text)
    refuse_changed_files(ctx.paths, images)
    refuse_taken_ports(images)
    if selinux.mode == "enforcing" and before and selinux.dyntrans is None:
        raise CheckpointError(
            f"Cannot restore {images.text} with the label {before[0].label!r}: SELinux is enforcing, and its policy "
            f"does not have the boolean {DYNTRANS_BOOLEAN!r}. Apply the role criu.hosts.criu_selinux.",
            reason="policy_missing",
        )
    refuse_missing_profiles(ctx.paths, images)
    unit = choose_unit(ctx, images, options, before if selinux.mode == "enforcing" else ())
    loan = read_loan(ctx.paths, DYNTRANS_BOOLEAN) if ctx.is_root else None
    return Restore(ctx.paths, images, options, selinux, before, criu, unit, loan)


def view(images: Images, options: ProcessOptions, process: Process | None, unit: str) -> dict[str, Any]:
    """Returns the value of ``restore``."""
    root, path = images.root, options.images_path
    return {
        "pid": process.pid if process else (root.pid if root and root.pid != 1 else None),
        "comm": process.comm if process else (images.record.comm if images.record else None),
        "state": "running",
        "images_path": path,
        "store": options.store,
        "checkpoint_id": os.path.basename(os.path.dirname(path)) if options.store else None,
        "unit": unit or None,
        "cgroup": process.cgroup if process else None,
    }


def restore(ctx: Context) -> Outcome:
    """Restores the process, unless one that was restored from the images is running."""
    options = ProcessOptions.of(ctx)
    require_root_for(options)
    with ExitStack() as held:
        if options.store is not None:
            # Few tasks have a store: the others need not compile this.
            from ansible_collections.criu.hosts.plugins.module_utils._process.restore_stored import look_in_store

            options, begun, found = look_in_store(ctx, held, options)
        else:
            hold_images(ctx, held, options.images_path)
            begun = read_begun(begun_path(options.images_path))
            found = settle(ctx, options, begun)
        images = found.images
        if images is None:
            raise CheckpointError(
                f"Cannot restore from {options.images_path!r}: there are no images. Create them with "
                "process_checkpoint.",
                reason="images_missing",
            )
        wanted = () if images.pre_dump else possible_units(images, options)
        units = hold_units(ctx, held, (*wanted, begun.facts.get("unit") if begun is not None else None))
        hold_process(ctx, held, images.digest)
        found = replace(found, steps=(*left_steps(ctx, units, begun), *found.steps))
        return ensure(ctx, options, found, images)


def ensure(ctx: Context, options: ProcessOptions, found: Found, images: Images) -> Outcome:
    """Completes what has begun, then restores the process if it is not running."""
    proof, copy = found.proof, None
    if proof is None and images.tasks:
        copy = find_copy(ctx.paths, images, root=ctx.is_root)
        refuse_other_copy(copy, images, options)
    process = proof.process if proof is not None else (copy.process if copy is not None else None)
    if process is None:
        if found.steps and ctx.apply(Plan(steps=found.steps)) is not None:
            again = read_images(options.images_path)
            images = replace(again, parents=images.parents) if again is not None else images
        if found.stored is None:
            check_trust(ctx, images)
            return make(ctx, Restored(preflight(ctx, images, options), ctx.runner), found)
        from ansible_collections.criu.hosts.plugins.module_utils._process.chain import link_steps, require_chain

        require_chain(found.stored, found.completed)
        check_trust(ctx, images)
        links = link_steps(found.stored, images.path)
        return make(ctx, Restored(preflight(ctx, images, options), ctx.runner), found, links)
    steps = (*boolean_steps(ctx), *found.steps)
    if steps:
        ctx.apply(Plan(steps=steps))
    after = {**options.place, "state": "running"}
    before = {**after, "state": "not proved"} if steps else after
    unit = options.unit or (images.record.unit if images.record else "")
    facts: dict[str, Any] = {
        "statistics": {},
        "labels": summary(proof.pairs) if proof is not None else [],
        "label_proof": proof.word() if proof is not None else "not_needed",
    }
    value = view(images, options, process, unit)
    warnings = found.warnings
    if proof is not None and proof.wrong is not None:
        warnings = (*warnings, proof.wrong.message)
    return Outcome("restore", value, Plan(before=before, after=after, steps=steps), facts, warnings)


def make(ctx: Context, back: Restored, found: Found, links: tuple[Step, ...] = ()) -> Outcome:
    """Applies the plan of the restore; ``links``: steps that make those between the images of a store."""
    work, place = back.work, back.work.options.place
    plan = Plan(
        before={**place, "state": "absent"},
        after={**place, "state": "running"},
        steps=(*links, *restore_steps(back)),
    )
    try:
        applied = ctx.apply(plan)
    except CheckpointError as error:
        raise after_failure(ctx, back, error) from error
    proof = back.proof
    facts = {
        "statistics": read_statistics(work.statistics_path) if applied else {},
        "labels": summary(proof.pairs),
        "label_proof": proof.word(),
    }
    lost = lost_locks(work.images, work.options)
    warnings = (*found.warnings, *permissive_warning(work.selinux, "restore"), *lost)
    if proof.wrong is not None:
        warnings = (*warnings, proof.wrong.message)
    value = view(work.images, work.options, proof.process, work.unit.name if work.unit else "")
    return Outcome("restore", value, replace(plan, steps=(*found.steps, *plan.steps)), facts, warnings)


def after_failure(ctx: Context, back: Restored, error: CheckpointError) -> CheckpointError:
    """Returns the failure with the state of the process; what has begun has ended if nothing was restored."""
    work = back.work
    if error.reason == "label_changed":
        return error  # it has just been ended; the note stays until the next task has seen that
    try:
        process = restored_by(ctx.paths, work.begun(since="0"), work.images)
    except CheckpointError:
        return error  # the note stays
    if process is None:
        attempt("remove the note", lambda: ctx.apply(Plan(steps=work.end_steps())))
        return error
    proved = "" if back.proof.proved else ", and its labels have not been compared yet"
    error.message += (
        f" The restored {process.text} is running{proved}. Run this task again: it completes the restore and makes no "
        "second copy."
    )
    return error
