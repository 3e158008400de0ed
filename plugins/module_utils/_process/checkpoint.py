# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checkpoints a process unless its images are current; brings it back if that fails."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, Plan, Step
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import read_criu
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import read_statistics
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import permissive_warning, read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread, read_threads
from ansible_collections.criu.hosts.plugins.module_utils._process.checkpoint_steps import Based, Dump, dump_steps
from ansible_collections.criu.hosts.plugins.module_utils._process.locks import (
    hold_images,
    hold_process,
    hold_store,
    hold_stored,
    hold_units,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.obstacles import refuse_obstacles_of
from ansible_collections.criu.hosts.plugins.module_utils._process.only_copy import program_of, refuse_only_copy
from ansible_collections.criu.hosts.plugins.module_utils._process.options import (
    MINIMUM_CRIU,
    ProcessOptions,
    require_root_for,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.permission import refuse_without_capabilities
from ansible_collections.criu.hosts.plugins.module_utils._process.settle import (
    Found,
    Kept,
    boolean_steps,
    left_steps,
    refuse_partial,
    settle,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.target import (
    Target,
    journal_sockets,
    read_target,
    refuse,
    refuse_strangers,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.unrestorable import refuse_unrestorable
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import read_begun
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    begun_path,
    is_empty,
    read_images,
    work_path,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def has_parent(kept: Kept, options: ProcessOptions) -> bool:
    """Returns whether the images are based on those that the task names, or on none if it names none."""
    if options.store is None:
        return kept.record is not None and kept.record.parent == (options.parent_path or "")
    from ansible_collections.criu.hosts.plugins.module_utils._process.stored import is_built_on

    return is_built_on(kept.stored, options.parent)


def is_current(kept: Kept | None, target: Target, options: ProcessOptions) -> bool:
    """Returns whether the recorded images are of this very process, as docs/checkpoints.md defines it."""
    record = kept.record if kept is not None else None
    if kept is None or record is None or record.pre_dump is not options.pre_dump or not has_parent(kept, options):
        return False
    if tuple(record.external) != options.external or record.shell_job is not options.shell_job:
        return False
    if target.process is None:
        named = target.pid in (0, record.pid) and (target.unit is None or target.unit.name == record.unit)
        return named and not record.pre_dump
    same = target.process.identity == (record.pid, record.start, record.boot)
    return same and (record.leave_running or record.pre_dump) and (options.leave_running or options.pre_dump)


def view(options: ProcessOptions, target: Target | None, kept: Kept | None, **state: str) -> dict[str, Any]:
    """Returns the value of ``checkpoint``; ``kept`` are the images, None if they are not there yet."""
    record, process = kept.record if kept else None, target.process if target else None
    source = process or record
    path = options.images_path if options.store is None else kept.path if kept else None
    parent, parent_path = options.parent, options.parent_path
    if kept and kept.stored and kept.stored.manifest:
        parent = kept.stored.manifest.parent
        parent_path = kept.stored.parents[0].part("images") if kept.stored.parents else None
    return {
        "pid": source.pid if source else None,
        "comm": source.comm if source else None,
        "start_ticks": int(source.start) if source and source.start else None,
        **state,
        "images_path": path,
        "record_path": os.path.join(path, RECORD) if path else None,
        "store": options.store,
        "checkpoint_id": os.path.basename(os.path.dirname(path)) if path and options.store else None,
        "size_bytes": kept.size_bytes if kept else None,
        "pre_dump": options.pre_dump,
        "parent": parent or None,
        "parent_path": parent_path,
        "unit": record.unit or None if record else (target.unit.name if target and target.unit else None),
        "checkpointed_at": record.checkpointed_at if record else None,
    }


def kept_images(options: ProcessOptions, images: Images | None) -> Kept | None:
    """Returns the images in a folder as a task shows them."""
    return Kept(options.images_path, images.record, images.size_bytes) if images is not None else None


def look_again(options: ProcessOptions, found: Found) -> Found:
    """Returns what is there after the steps."""
    if options.store is None:
        return replace(found, images=read_images(options.images_path))
    from ansible_collections.criu.hosts.plugins.module_utils._process.stored import newest

    kept, passed = newest(options)
    return replace(found, kept=kept, passed=passed)


def stored_parents(options: ProcessOptions) -> tuple[str, ...]:
    """Returns the images in the store that the new ones are to be based on."""
    if not options.parent:
        return ()
    from ansible_collections.criu.hosts.plugins.module_utils._process.chain import parent_images

    return parent_images(options)


def checkpoint(ctx: Context) -> Outcome:
    """Brings the checkpoint to the state present."""
    options = ProcessOptions.of(ctx)
    require_root_for(options)
    with ExitStack() as held:
        if options.store is None:
            hold_images(ctx, held, options.images_path, options.parent_path)
        else:
            hold_store(ctx, held, options.images_path)
            hold_stored(ctx, held, (options.images_path, *stored_parents(options)))
        begun = read_begun(begun_path(options.images_path))
        units = hold_units(ctx, held, (options.unit, begun.facts.get("unit") if begun is not None else None))
        target = read_target(ctx)
        if target.process is not None:
            hold_process(ctx, held, str(target.process.pid))
            target = target.again(ctx.paths)
        found = settle(ctx, options, begun)
        found = replace(found, steps=(*left_steps(ctx, units, begun), *boolean_steps(ctx), *found.steps))
        if options.store is not None:
            from ansible_collections.criu.hosts.plugins.module_utils._process.stored import end_left

            found = end_left(options, found)
        if found.steps and ctx.apply(Plan(steps=found.steps)) is not None:
            found = look_again(options, found)
        return ensure(ctx, options, target, found)


def ensure(ctx: Context, options: ProcessOptions, target: Target, found: Found) -> Outcome:
    """Makes the images unless they are current."""
    kept = found.kept if options.store is not None else kept_images(options, found.images)
    stale, current = None, is_current(kept, target, options) and not is_lost(ctx, options, target)
    if current and kept is not None and kept.record is not None and (options.max_age or options.when == "always"):
        # Few tasks have these: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._process.age import find_stale

        stale = find_stale(options, target, kept.record)
    if current and options.signing_key is not None:
        from ansible_collections.criu.hosts.plugins.module_utils._process.stored import is_signed

        current = is_signed(kept.stored if kept else None, running=target.process is not None)
    if current and stale is None:
        state = "running" if target.process else "absent"
        after = {**options.place, "process": state, "checkpoint": "current"}
        before = {**after, "checkpoint": "unfinished"} if found.steps else after
        value = view(options, target, kept, state="present", process_state=state)
        plan = Plan(before=before, after=after, steps=found.steps)
        return Outcome("checkpoint", value, plan, {"statistics": {}}, found.warnings)
    refuse_partial(found, options.images_path, "checkpoint to")
    process = refuse(ctx.paths, target)
    if options.store is None:
        refuse_only_copy(ctx, found.images, target, process, options.images_path)
    outcome = make(ctx, options, target, found)
    return outcome if stale is None else stale.explain(outcome)


def profiled_threads(paths: Paths, process: Process, options: ProcessOptions) -> tuple[Thread, ...]:
    """Returns the threads with their AppArmor profiles; none under a different LSM, whose labels CRIU saves whole."""
    labels = host_labels(paths)
    return read_threads(paths, process.pid, labels) if labels.lsm == "apparmor" and not options.pre_dump else ()


def hats(threads: tuple[Thread, ...], process: Process) -> tuple[str, ...]:
    """Returns the warning about threads in a hat."""
    if not threads:
        return ()
    # Hosts with SELinux need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.hats import hat_warning

    return hat_warning(threads, process.text)


def based(ctx: Context, options: ProcessOptions, found: Found, process: Process) -> Based:
    """Returns what the dump is based on; most are on nothing."""
    if options.parent:
        from ansible_collections.criu.hosts.plugins.module_utils._process.chain import stored_base

        return stored_base(ctx, options, found.completed, process)
    if options.tracks:
        from ansible_collections.criu.hosts.plugins.module_utils._process.parent import folder_base

        return folder_base(ctx, options, process)
    return Based(options)


def is_lost(ctx: Context, options: ProcessOptions, target: Target) -> bool:
    """Returns whether a pre-dump is of no use, since a later dump was cut off: none can be based on it any more."""
    if not options.pre_dump or target.process is None:
        return False
    from ansible_collections.criu.hosts.plugins.module_utils._process.tracking import tracked_since

    return tracked_since(ctx, target.process) == ""


def planned(ctx: Context, work: Dump) -> tuple[tuple[Step, ...], str]:
    """Returns the steps of the checkpoint, and the path that its images have then."""
    if work.options.store is None:
        return dump_steps(work), work.options.images_path
    from ansible_collections.criu.hosts.plugins.module_utils._process.stored import draft_of

    draft = draft_of(ctx, work)
    return draft.around(dump_steps(work)), draft.stored_images


def check_key(ctx: Context, options: ProcessOptions) -> None:
    """Refuses a key that cannot sign, before anything is dumped.

    Raises:
        CheckpointError: signing_failed, tool_missing.
    """
    if options.signing_key is not None:
        # Few tasks sign: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.signature import check_signing

        check_signing(ctx.runner, options.signing_key)


def prepare(ctx: Context, options: ProcessOptions, target: Target, found: Found, process: Process) -> Dump:
    """Returns what the dump is planned from; refuses one that would fail or do harm."""
    selinux = read_selinux(ctx.paths)
    criu = read_criu(ctx.runner, MINIMUM_CRIU, selinux, ctx.paths)
    refuse_without_capabilities(ctx, criu, process.text)
    refuse_obstacles_of(ctx, options, process, criu)
    base = based(ctx, options, found, process)
    work = Dump(
        ctx.paths,
        process,
        base.options,
        target.unit,
        criu,
        selinux,
        inherit=journal_sockets(ctx.paths, process) if target.unit and not options.pre_dump else (),
        parent=base.images,
        replaced=options.store is None and not is_empty(options.images_path),
        program=program_of(ctx.paths, process.pid),
        threads=profiled_threads(ctx.paths, process, options),
        links=base.links,
        tracking=base.tracking,
    )
    refuse_unrestorable(ctx, target, process, options)
    if target.unit is not None and work.ends:
        refuse_strangers(ctx.paths, target.unit, process)
    check_key(ctx, options)
    return work


def make(ctx: Context, options: ProcessOptions, target: Target, found: Found) -> Outcome:
    """Applies the plan of the checkpoint."""
    process = refuse(ctx.paths, target)
    work = prepare(ctx, options, target, found, process)
    state = "absent" if work.ends else "running"
    steps, path = planned(ctx, work)
    plan = Plan(
        before={**options.place, "process": "running", "checkpoint": "none of this process"},
        after={**options.place, "process": state, "checkpoint": "current"},
        steps=steps,
    )
    try:
        applied = ctx.apply(plan)
    except CheckpointError as error:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._process.recover import recover

        raise recover(ctx, work, error) from error
    images = read_images(path) if applied else None
    statistics = read_statistics(os.path.join(work_path(path), "stats-dump")) if applied else {}
    kept = Kept(path, images.record, images.size_bytes) if images is not None else None
    warnings = (*found.warnings, *permissive_warning(work.selinux, "checkpoint"), *hats(work.threads, process))
    value = view(work.options, target, kept, state="present", process_state=state)
    plan = replace(plan, steps=(*found.steps, *plan.steps))
    return Outcome("checkpoint", value, plan, {"statistics": statistics}, warnings)
