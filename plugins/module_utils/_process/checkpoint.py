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
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, Plan
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import read_criu
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import read_statistics
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import permissive_warning, read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread, read_threads
from ansible_collections.criu.hosts.plugins.module_utils._process.checkpoint_steps import Dump, dump_steps
from ansible_collections.criu.hosts.plugins.module_utils._process.copies import begun_path
from ansible_collections.criu.hosts.plugins.module_utils._process.locks import hold_images, hold_process, hold_units
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
    boolean_steps,
    left_steps,
    refuse_partial,
    settle,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.target import (
    Target,
    journal_sockets,
    read_parent,
    read_target,
    refuse,
    refuse_strangers,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.unrestorable import refuse_unrestorable
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import read_begun
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    is_empty,
    read_images,
    work_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_images_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def is_current(images: Images | None, target: Target, options: ProcessOptions) -> bool:
    """Returns whether the images are of this very process, as docs/checkpoints.md defines it."""
    record = images.record if images else None
    if record is None or (record.pre_dump, record.parent) != (options.pre_dump, options.parent_path or ""):
        return False
    if tuple(record.external) != options.external or record.shell_job is not options.shell_job:
        return False
    if target.process is None:
        named = target.pid in (0, record.pid) and (target.unit is None or target.unit.name == record.unit)
        return named and not record.pre_dump
    same = target.process.identity == (record.pid, record.start, record.boot)
    return same and (record.leave_running or record.pre_dump) and (options.leave_running or options.pre_dump)


def view(options: ProcessOptions, target: Target | None, images: Images | None, **state: str) -> dict[str, Any]:
    """Returns the value of ``checkpoint``."""
    record, process = images.record if images else None, target.process if target else None
    source = process or record
    return {
        "pid": source.pid if source else None,
        "comm": source.comm if source else None,
        "start_ticks": int(source.start) if source and source.start else None,
        **state,
        "images_path": options.images_path,
        "record_path": os.path.join(options.images_path, RECORD),
        "size_bytes": images.size_bytes if images else None,
        "pre_dump": options.pre_dump,
        "parent_path": options.parent_path,
        "unit": record.unit or None if record else (target.unit.name if target and target.unit else None),
        "checkpointed_at": record.checkpointed_at if record else None,
    }


def checkpoint(ctx: Context) -> Outcome:
    """Brings the checkpoint to the state present."""
    options = ProcessOptions.of(ctx)
    check_images_path(options.images_path)
    require_root_for(options)
    with ExitStack() as held:
        hold_images(ctx, held, options.images_path, options.parent_path)
        begun = read_begun(begun_path(options.images_path))
        units = hold_units(ctx, held, (options.unit, begun.facts.get("unit") if begun is not None else None))
        target = read_target(ctx)
        if target.process is not None:
            hold_process(ctx, held, str(target.process.pid))
            target = target.again(ctx.paths)
        found = settle(ctx, options, begun)
        found = replace(found, steps=(*left_steps(ctx, units, begun), *boolean_steps(ctx), *found.steps))
        if found.steps and ctx.apply(Plan(steps=found.steps)) is not None:
            found = replace(found, images=read_images(options.images_path))
        return ensure(ctx, options, target, found)


def ensure(ctx: Context, options: ProcessOptions, target: Target, found: Found) -> Outcome:
    """Makes the images unless they are current."""
    images = found.images
    if is_current(images, target, options) and images is not None:
        state = "running" if target.process else "absent"
        after = {"images_path": options.images_path, "process": state, "checkpoint": "current"}
        before = {**after, "checkpoint": "unfinished"} if found.steps else after
        value = view(options, target, images, state="present", process_state=state)
        plan = Plan(before=before, after=after, steps=found.steps)
        return Outcome("checkpoint", value, plan, {"statistics": {}}, found.warnings)
    refuse_partial(found, options.images_path, "checkpoint to")
    refuse_only_copy(ctx, images, target, refuse(ctx.paths, target), options.images_path)
    return make(ctx, options, target, found)


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


def make(ctx: Context, options: ProcessOptions, target: Target, found: Found) -> Outcome:
    """Applies the plan of the checkpoint."""
    process = refuse(ctx.paths, target)
    selinux = read_selinux(ctx.paths)
    criu = read_criu(ctx.runner, MINIMUM_CRIU, selinux, ctx.paths)
    refuse_without_capabilities(ctx, criu, process.text)
    refuse_obstacles_of(ctx, options, process, criu)
    threads = profiled_threads(ctx.paths, process, options)
    work = Dump(
        ctx.paths,
        process,
        options,
        target.unit,
        criu,
        selinux,
        inherit=journal_sockets(ctx.paths, process) if target.unit and not options.pre_dump else (),
        parent=read_parent(options, process),
        replaced=not is_empty(options.images_path),
        program=program_of(ctx.paths, process.pid),
        profiles=tuple(sorted({one.label for one in threads})),
    )
    refuse_unrestorable(ctx, target, process, options)
    if target.unit is not None and work.ends:
        refuse_strangers(ctx.paths, target.unit, process)
    state = "absent" if work.ends else "running"
    plan = Plan(
        before={"images_path": options.images_path, "process": "running", "checkpoint": "none of this process"},
        after={"images_path": options.images_path, "process": state, "checkpoint": "current"},
        steps=dump_steps(work),
    )
    try:
        applied = ctx.apply(plan)
    except CheckpointError as error:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._process.recover import recover

        raise recover(ctx, work, error) from error
    images = read_images(options.images_path) if applied else None
    statistics = read_statistics(os.path.join(work_path(options.images_path), "stats-dump")) if applied else {}
    warnings = (*found.warnings, *permissive_warning(selinux, "checkpoint"), *hats(threads, process))
    value = view(options, target, images, state="present", process_state=state)
    plan = replace(plan, steps=(*found.steps, *plan.steps))
    return Outcome("checkpoint", value, plan, {"statistics": statistics}, warnings)
