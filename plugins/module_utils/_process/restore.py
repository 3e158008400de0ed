# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Restoring a process from its images: never a second copy, by systemd where it has to be, and with a proof."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Plan,
    Remove,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu, read_criu
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import read_statistics
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DYNTRANS_BOOLEAN
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process, read_process
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit, read_unit, unit_name
from ansible_collections.criu.hosts.plugins.module_utils._host.user import is_root
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loan import borrow, read_loan
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux, may_take, read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import (
    Pair,
    Thread,
    changed_error,
    compare,
    read_threads,
    read_tree,
    summary,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.failure import explain
from ansible_collections.criu.hosts.plugins.module_utils._process.options import (
    MINIMUM_CRIU,
    ProcessOptions,
    require_root_for,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_unit import START_SECONDS, start_steps
from ansible_collections.criu.hosts.plugins.module_utils._process.second_copy import read_note, refuse_second_copy
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    check_parents,
    note_path,
    pid_file_path,
    read_images,
    read_labels,
    work_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_images_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# kill(1) is a package of its own that a minimal Debian lacks.
END = """\
import os, sys
for pid in sys.argv[1:]:
    try:
        os.kill(int(pid), 9)
    except ProcessLookupError:
        pass
"""
Result = tuple[dict[str, Any], Plan, dict[str, Any], tuple[str, ...]]


@dataclass(frozen=True)
class Restore:
    """All that a plan is made from."""

    images: Images
    options: ProcessOptions
    criu: Criu
    selinux: Selinux
    before: tuple[Thread, ...]
    unit: Unit | None

    @property
    def label(self) -> str:
        return self.before[0].label if self.before else ""

    @property
    def pid_file(self) -> str:
        path = self.images.path
        return pid_file_path(path) if is_root() else os.path.join(work_path(path), "restored.pid")


def choose_unit(ctx: Context, images: Images, options: ProcessOptions, before: tuple[Thread, ...]) -> Unit | None:
    """The unit to restore by: that of the task, that of the record, or one of ours where a shell may not or cannot.

    Raises:
        CheckpointError: unit_running.
    """
    name = options.unit or (images.record.unit if images.record else "")
    if not name and (options.terminal or not may_take(before)):
        name = f"criu-hosts-{images.tasks[0].pid}"
    if not name or not is_root():
        return None
    unit = read_unit(ctx.runner, unit_name(name))
    if unit.active:
        raise CheckpointError(
            f"Refuse to restore {images.text} into the unit {unit.name!r}: it is {unit.state}"
            f"{f' with the main process {unit.pid}' if unit.pid else ''}. Stop it first, or give another unit.",
            reason="unit_running",
            pid=unit.pid,
        )
    return unit


def restore_argv(work: Restore) -> tuple[str, ...]:
    """The argument list of criu restore."""
    images = work.images
    inherit: tuple[str, ...] = ()
    if work.unit is None:
        cgroup = images.record.cgroup if images.record else ""
        # A cgroup that is gone would be made anew behind systemd's back.
        there = bool(cgroup.strip("/")) and os.path.isdir(f"{PLACES.cgroups}{cgroup}")
        mode = "soft" if there else "ignore"
    else:
        mode = "ignore"
        known = images.record.inherit if images.record else ()
        inherit = tuple(word for number, inode in known for word in ("--inherit-fd", f"fd[{number}]:socket:[{inode}]"))
    return (
        work.criu.path,
        "restore",
        *work.options.common_flags(images.path, "restore.log"),
        *(() if work.options.terminal else ("--restore-detached",)),
        "--pidfile",
        work.pid_file,
        f"--manage-cgroups={mode}",
        *inherit,
        *(word for one in work.options.external for word in ("--external", one)),
    )


def wait_for_job(runner: Runner, work: Restore) -> str:
    """A CRIU that stays tells its success by its statistics, and its failure by its end. Returns the unit's name."""
    name = work.unit.name if work.unit else ""
    until = time.monotonic() + START_SECONDS
    while not os.path.exists(statistics_path(work.images)):
        check(runner.run(("systemctl", "is-active", "--quiet", name)), f"restore into the unit {name!r}")
        if time.monotonic() > until:
            raise CheckpointError(
                f"Cannot restore into the unit {name!r}: CRIU is not done after {START_SECONDS} s. Stop the unit.",
                reason="tool_failed",
            )
        time.sleep(0.2)
    return f"{name}\n"


def restore_steps(runner: Runner, work: Restore) -> tuple[Step, ...]:
    """Restore, with the boolean borrowed around it."""
    argv = restore_argv(work)
    if work.unit is None:
        core: tuple[Step, ...] = (
            Command(argv, why=f"restore {work.images.text}", cwd="/", label="restore", finish=True),
        )
    else:
        core = start_steps(work.unit, argv, work.pid_file, work.options.terminal)
        if work.options.terminal:
            # The boolean has to stay until CRIU, which systemd only started, is done.
            path = os.path.join(work_path(work.images.path), "unit")
            core = (*core, WriteFile(path, lambda: wait_for_job(runner, work), why="note the unit of the job in"))
    lent = borrow(core, work.selinux, read_loan(DYNTRANS_BOOLEAN), work.label) if is_root() else core
    return (
        MakeDir(work_path(work.images.path), why="make the folder of the log"),
        MakeDir(os.path.dirname(work.pid_file), why="make the folder of the pid"),
        Remove(work.pid_file, why="remove the old pid"),
        Remove(statistics_path(work.images), why="remove the old statistics"),
        *lent,
    )


def statistics_path(images: Images) -> str:
    return os.path.join(work_path(images.path), "stats-restore")


@dataclass(frozen=True)
class Back:
    """What a restore brought. ``wrong`` is the difference that the task let pass (on_label_mismatch: warn)."""

    process: Process
    pairs: tuple[Pair, ...] = ()
    wrong: CheckpointError | None = None


def prove(ctx: Context, work: Restore, process: Process) -> Back:
    """Compare the label of every thread with the one in the images; on a difference end them all and fail.

    Raises:
        CheckpointError: label_changed.
    """
    if not work.selinux.enabled or not work.before:
        return Back(process)
    pairs = compare(work.before, read_threads(process.pid, host_labels()), work.label)
    passed = work.options.on_label_mismatch == "warn"
    then = "It runs on, as on_label_mismatch is warn." if passed else "It is ended, and its images are kept."
    error = changed_error(pairs, str(process.pid), then, kind=f"Process {process.comm!r},")
    if error is not None and not passed:
        argv = (sys.executable, "-c", END, *(str(pid) for pid in read_tree(process.pid, host_labels())))
        ctx.apply(Plan(steps=(Command(argv, why="end what has the wrong label"),)))
        raise error
    return Back(process, pairs, error)


def bring_back(ctx: Context, work: Restore) -> Back | None:
    """Restore, prove the labels, note what was restored. None in check mode."""
    images = work.images
    try:
        applied = ctx.apply(Plan(steps=restore_steps(ctx.runner, work)))
    except CheckpointError as error:
        raise explain(
            error,
            what=f"restore {images.text} from {images.path!r}",
            images_path=images.path,
            action="restore",
            outcome="The images are as they were.",
            programs=(work.criu.path, "systemctl", "systemd-run"),
        ) from error
    if applied is None:
        return None
    text = (read_text(work.pid_file) or "").strip()
    process = read_process(int(text)) if text.isdigit() else None
    if process is None:
        raise CheckpointError(
            f"{images.text[:1].upper()}{images.text[1:]} ended right after its restore from {images.path!r}. "
            "Read its own log.",
            reason="process_ended",
        )
    back = prove(ctx, work, process)
    note = {"pid": process.pid, "start": process.start, "boot": process.boot, "inventory": images.digest}
    why = "note what was restored in"
    ctx.apply(Plan(steps=(WriteFile(note_path(images.path), json.dumps(note) + "\n", why=why),)))
    return back


def preflight(ctx: Context, images: Images, options: ProcessOptions) -> Restore:
    """Refuse what would fail or harm, before anything is touched.

    Raises:
        CheckpointError: images_pre_dump, terminal_missing, policy_missing and those of the functions above.
    """
    if images.pre_dump:
        raise CheckpointError(
            f"Cannot restore from {images.path!r}: it holds a pre-dump, memory without processes. Give the folder of "
            "the checkpoint that was made on it.",
            reason="images_pre_dump",
        )
    refuse_second_copy(images)
    check_parents(images)
    before, selinux = read_labels(images), read_selinux()
    if options.shell_job and not options.terminal:
        raise CheckpointError(
            f"Cannot restore {images.text} with shell_job: a shell job needs a terminal, and a task has none. Give "
            "terminal, such as /dev/pts/3, or attach it to none before the checkpoint.",
            reason="terminal_missing",
        )
    criu = read_criu(ctx.runner, MINIMUM_CRIU, selinux)
    if selinux.mode == "enforcing" and before and selinux.dyntrans is None:
        raise CheckpointError(
            f"Refuse to restore {images.text} with the label {before[0].label!r}: SELinux is enforcing, and its "
            f"policy has no boolean {DYNTRANS_BOOLEAN!r} to allow it. Apply the role criu.hosts.criu_selinux.",
            reason="policy_missing",
        )
    unit = choose_unit(ctx, images, options, before if selinux.mode == "enforcing" else ())
    return Restore(images, options, criu, selinux, before, unit)


def view(images: Images, process: Process | None, unit: str) -> dict[str, Any]:
    """The noun of process_restore."""
    root = images.root
    return {
        "pid": process.pid if process else (root.pid if root and root.pid != 1 else None),
        "comm": process.comm if process else (images.record.comm if images.record else None),
        "state": "running",
        "images_path": images.path,
        "unit": unit or None,
        "cgroup": process.cgroup if process else None,
    }


def proof_word(work: Restore, back: Back | None) -> str:
    """What the comparison of labels is worth."""
    if not work.selinux.enabled:
        return "selinux_disabled"
    if back is not None and back.wrong is not None:
        return "label_changed"
    return work.selinux.mode if work.before else "label_unknown"


def restore(ctx: Context, params: Mapping[str, Any]) -> Result:
    """The module's work: value, plan, facts, warnings."""
    options = ProcessOptions.of(params)
    check_images_path(options.images_path)
    require_root_for(options)
    images = read_images(options.images_path)
    if images is None:
        raise CheckpointError(
            f"Cannot restore from {options.images_path!r}: there are no images. Make them with process_checkpoint.",
            reason="images_missing",
        )
    living = read_note(images)
    known = options.unit or (images.record.unit if images.record else "")
    if living is not None:
        state = {"images_path": images.path, "state": "running"}
        facts: dict[str, Any] = {"statistics": {}, "labels": [], "label_proof": "not_needed"}
        return view(images, living, known), Plan(before=state, after=state), facts, ()
    work = preflight(ctx, images, options)
    plan = Plan(
        before={"images_path": images.path, "state": "absent"},
        after={"images_path": images.path, "state": "running"},
        steps=restore_steps(ctx.runner, work),
    )
    back = bring_back(ctx, work)
    statistics = read_statistics(statistics_path(images)) if back else {}
    labels = summary(back.pairs) if back else []
    facts = {"statistics": statistics, "labels": labels, "label_proof": proof_word(work, back)}
    warnings: tuple[str, ...] = ()
    if work.selinux.mode == "permissive":
        warnings = ("SELinux is permissive: equal labels now do not prove that a restore works when it is enforcing.",)
    if back is not None and back.wrong is not None:
        warnings = (*warnings, back.wrong.message)
    return view(images, back.process if back else None, work.unit.name if work.unit else ""), plan, facts, warnings
