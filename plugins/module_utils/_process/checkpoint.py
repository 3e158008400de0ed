# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checkpointing a process: what is current, what to do, and how it comes back when that fails."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Plan,
    Remove,
    Rename,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu, read_criu
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import read_statistics
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux, read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._process.failure import explain, log_path
from ansible_collections.criu.hosts.plugins.module_utils._process.options import (
    MINIMUM_CRIU,
    ProcessOptions,
    require_root_for,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.restore import Result, bring_back, preflight
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_unit import ENDING, with_drop_in
from ansible_collections.criu.hosts.plugins.module_utils._process.second_copy import read_note
from ansible_collections.criu.hosts.plugins.module_utils._process.target import (
    Target,
    journal_sockets,
    read_parent,
    read_target,
    refuse,
    refuse_partial,
    refuse_strangers,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    inventory_hash,
    is_empty,
    note_path,
    old_path,
    partial_path,
    read_images,
    work_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import (
    ProcessRecord,
    parse_record,
    render_record,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_images_path, unsafe

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# Stands for what became of the process until that is known: the log has to be read before.
_HOLE = "\0"


@dataclass(frozen=True)
class Dump:
    """All that a plan is made from. ``inherit``: the process's own connections to the journal."""

    process: Process
    options: ProcessOptions
    unit: Unit | None
    criu: Criu
    selinux: Selinux
    inherit: tuple[tuple[int, int], ...] = ()
    parent: Images | None = None
    replaced: bool = False

    @property
    def ends(self) -> bool:
        """Whether the process is gone after a successful dump."""
        return not (self.options.leave_running or self.options.pre_dump)

    def record(self) -> str:
        """The text of the record, made when the images are there."""
        process, options = self.process, self.options
        return render_record(
            ProcessRecord(
                **process.__dict__,
                inventory=inventory_hash(partial_path(options.images_path)),
                unit=self.unit.name if self.unit else "",
                inherit=self.inherit,
                leave_running=options.leave_running,
                pre_dump=options.pre_dump,
                shell_job=options.shell_job,
                parent=options.parent_path or "",
                parent_inventory=self.parent.digest if self.parent else "",
                checkpointed_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                criu=self.criu.text,
                selinux=self.selinux.mode,
                external=options.external,
            )
        )


def is_current(images: Images | None, target: Target, options: ProcessOptions) -> bool:
    """Whether the images are of this very process: docs/checkpoints.md says when."""
    record = images.record if images else None
    if record is None or (record.pre_dump, record.parent) != (options.pre_dump, options.parent_path or ""):
        return False
    if tuple(record.external) != options.external or record.shell_job is not options.shell_job:
        return False
    if target.process is None:
        meant = target.pid in (0, record.pid) and (target.unit is None or target.unit.name == record.unit)
        return meant and not record.pre_dump
    same = target.process.identity == (record.pid, record.start, record.boot)
    return same and (record.leave_running or record.pre_dump) and (options.leave_running or options.pre_dump)


def refuse_other_images(images: Images | None, process: Process) -> None:
    """Refuse to replace the only copy of another program.

    Raises:
        CheckpointError: images_mismatch.
    """
    record = images.record if images else None
    if images is None or (record is not None and (record.exe == process.exe or record.pre_dump or record.alive)):
        return
    raise CheckpointError(
        f"Refuse to replace the images in {images.path!r} by those of {process.text}: they hold {images.text}, "
        "another program. Give another images_path, or remove them (state: absent).",
        reason="images_mismatch",
        path=images.path,
    )


def dump_argv(work: Dump) -> tuple[str, ...]:
    """The argument list of criu dump or pre-dump."""
    options = work.options
    tracked = options.pre_dump or options.parent_path is not None
    parent = f"../{os.path.basename(options.parent_path)}" if options.parent_path else ""
    return (
        work.criu.path,
        "pre-dump" if options.pre_dump else "dump",
        "--tree",
        str(work.process.pid),
        *options.common_flags(partial_path(options.images_path), "dump.log"),
        *(("--leave-running",) if options.leave_running and not options.pre_dump else ()),
        *(("--track-mem",) if tracked else ()),
        *(("--prev-images-dir", parent) if parent else ()),
        *(word for dummy_fd, inode in work.inherit for word in ("--external", f"unix[{inode}]")),
        *(word for one in options.external for word in ("--external", one)),
    )


def dump_steps(work: Dump) -> tuple[Step, ...]:
    """Images under another name first, then the record, then both in place in one rename."""
    path = work.options.images_path
    partial, old = partial_path(path), old_path(path)
    command: tuple[Step, ...] = (
        Command(dump_argv(work), why=f"checkpoint {work.process.text}", cwd="/", label="dump", finish=True),
    )
    if work.unit is not None and work.ends:
        command = with_drop_in(work.unit.name, ENDING, command)
    return (
        Remove(partial, why="remove what is left of an earlier try"),
        MakeDir(partial, why="make the folder"),
        MakeDir(work_path(path), why="make the folder of the log"),
        Remove(log_path(path, "checkpoint"), why="remove the old log"),
        *command,
        WriteFile(os.path.join(partial, RECORD), work.record, why="write the record"),
        *((Rename(path, old, why="put aside the old images"),) if work.replaced else ()),
        Rename(partial, path, mode=0o600, why="put the images in place at"),
        Remove(old, why="remove the old images"),
        Remove(note_path(path), why="remove the note of a restore"),
    )


def failed(ctx: Context, work: Dump, error: CheckpointError) -> CheckpointError:
    """After a failure: say what became of the process, and bring it back if only its images are left."""
    path, process = work.options.images_path, work.process
    partial, old = partial_path(path), old_path(path)
    report = explain(
        error,
        what=f"checkpoint {process.text}",
        images_path=path,
        action="checkpoint",
        outcome=_HOLE,
        programs=(work.criu.path,),
    )
    steps: tuple[Step, ...] = (Rename(old, path),) if os.path.isdir(old) and not os.path.lexists(path) else ()
    facts: dict[str, Any] = {"process_state": "running"}
    if ProcessRecord(**process.__dict__).alive:
        outcome = "It keeps running."
    elif not inventory_hash(partial):
        outcome, facts = "It does not run any more.", {"process_state": "absent"}
    else:
        outcome = "It was brought back from its images and runs on."
        try:
            undo(ctx, work)
        except CheckpointError as second:
            outcome = f"It is stopped in {partial!r}, as it could not be brought back: {second.message}"
            facts = {"process_state": "checkpointed", "cleanup_failed": [second.message]}
    if facts["process_state"] != "checkpointed":
        steps = (Remove(partial), Remove(work_path(partial)), *steps)
    ctx.apply(Plan(steps=steps))
    if not os.path.exists(log_path(path, "checkpoint")):
        facts["log_path"] = ""
    return CheckpointError(report.message.replace(_HOLE, outcome), reason=report.reason, **{**report.facts, **facts})


def undo(ctx: Context, work: Dump) -> None:
    """Restore the process from where its images are. The old log makes room: the disk may be full."""
    partial = partial_path(work.options.images_path)
    ctx.apply(Plan(steps=(Remove(log_path(work.options.images_path, "checkpoint")),)))
    images = read_images(partial)
    if images is None:
        raise unsafe(partial, "it is gone", "Look who removed it.")
    options = replace(work.options, images_path=partial, parent_path=None)
    bring_back(ctx, preflight(ctx, replace(images, record=parse_record(work.record())), options))


def view(options: ProcessOptions, target: Target | None, images: Images | None, **state: str) -> dict[str, Any]:
    """The noun of process_checkpoint."""
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


def checkpoint(ctx: Context, params: Mapping[str, Any]) -> Result:
    """The state present: value, plan, facts, warnings."""
    options = ProcessOptions.of(params)
    check_images_path(options.images_path)
    require_root_for(options)
    target = read_target(ctx.runner, params)
    images = read_images(options.images_path)
    if is_current(images, target, options) and images is not None:
        state = "running" if target.process else "absent"
        same = {"images_path": options.images_path, "process": state, "checkpoint": "current"}
        value = view(options, target, images, state="present", process_state=state)
        return value, Plan(before=same, after=same), {"statistics": {}}, ()
    refuse_partial(options.images_path)
    process = refuse(target)
    living = read_note(images) if images else None
    if living is None or living.identity != process.identity:
        refuse_other_images(images, process)
    return make(ctx, options, target, process)


def make(ctx: Context, options: ProcessOptions, target: Target, process: Process) -> Result:
    """Make the checkpoint."""
    selinux = read_selinux()
    criu = read_criu(ctx.runner, MINIMUM_CRIU, selinux)
    work = Dump(
        process,
        options,
        target.unit,
        criu,
        selinux,
        inherit=journal_sockets(process) if target.unit and not options.pre_dump else (),
        parent=read_parent(options, process),
        replaced=not is_empty(options.images_path),
    )
    if target.unit is not None and work.ends:
        refuse_strangers(target.unit, process)
    state = "absent" if work.ends else "running"
    plan = Plan(
        before={"images_path": options.images_path, "process": "running", "checkpoint": "none of this process"},
        after={"images_path": options.images_path, "process": state, "checkpoint": "current"},
        steps=dump_steps(work),
    )
    try:
        applied = ctx.apply(plan)
    except CheckpointError as error:
        raise failed(ctx, work, error) from error
    images = read_images(options.images_path) if applied else None
    statistics = read_statistics(os.path.join(work_path(options.images_path), "stats-dump")) if applied else {}
    warnings: tuple[str, ...] = ()
    if selinux.mode == "permissive":
        warnings = ("SELinux is permissive: a checkpoint now does not prove that one works when it is enforcing.",)
    value = view(options, target, images, state="present", process_state=state)
    return value, plan, {"statistics": statistics}, warnings


def remove(ctx: Context, params: Mapping[str, Any]) -> Result:
    """The state absent: the images with their record and logs, never the process."""
    options = ProcessOptions.of(params)
    path = options.images_path
    check_images_path(path)
    if not is_empty(path):
        read_images(path)  # refuses a folder that holds something else
    there = tuple(one for one in (path, partial_path(path), old_path(path), work_path(path)) if os.path.lexists(one))
    steps = tuple(Remove(one, why="remove the images") for one in there)
    state = "present" if os.path.lexists(path) else "absent"
    plan = Plan(before={"images": state}, after={"images": "absent"}, steps=steps)
    ctx.apply(plan)
    return view(options, None, None, state="absent", process_state="unknown"), plan, {"statistics": {}}, ()
