# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Walks the steps of a plan, always-steps included when one fails. Only this, files and unpack change a host."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.command import (
    CommandError,
    Completed,
    Runner,
    check,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.files import (
    _chmod,
    _fsync,
    fsync_dir,
    make_dir,
    make_pipe,
    remove_path,
    write_file,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import locked
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import temporary_path
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Check,
    Command,
    Kill,
    Link,
    MakeDir,
    MakePipe,
    Plan,
    Remove,
    Rename,
    Step,
    Together,
    Unpack,
    Wait,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import (
    raise_waiting,
    stoppable,
    watched,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.feed import Feed
    from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Stream, Streamed

# How long to wait for other tasks that do a moment's work under the same lock.
LOCK_SECONDS = 60.0


@dataclass
class Applied:
    """What the steps of a plan printed, by their label."""

    completed: dict[str, Completed] = field(default_factory=dict)

    def output(self, label: str) -> str:
        """Standard output of the command with this label; empty if it has not run."""
        found = self.completed.get(label)
        return found.out if found else ""


def apply_plan(runner: Runner, plan: Plan) -> Applied:
    """Walks the steps of ``plan``; after a failure only those with ``always`` still run.

    Then the failed step explains its failure and is undone, and the failure is raised. A signal that asks the task to
    stop is such a failure, until a step with ``finish`` has begun: from there on the plan is carried out to its end.

    Raises:
        CheckpointError: the first failure; a step that fails after it is named in ``cleanup_failed``.
    """
    with watched():
        if plan.lock is None:
            return _walk(runner, plan)
        apply_step(runner, MakeDir(plan.lock, 0o700, why="make the folder"), Applied())
        with locked(plan.lock):
            return _walk(runner, plan)


def _walk(runner: Runner, plan: Plan) -> Applied:
    applied = Applied()
    failure: tuple[Step, CheckpointError] | None = None
    begun = False
    for step in plan.steps:
        if failure is not None and not step.always:
            continue
        if getattr(step, "finish", False) and failure is None and not begun:
            dummy, stopped = attempt(step.why, raise_waiting)
            begun = stopped is None
        else:
            stopped = None
        may_stop = not (begun or step.always or failure is not None)
        error = _tolerated(step, stopped or _try(runner, step, applied, may_stop=may_stop))
        if error is not None and failure is None:
            failure = (step, error)
        elif error is not None and failure is not None:
            _also_failed(failure[1], error)
    if failure is not None:
        _give_up(runner, *failure)
    return applied


def _try(runner: Runner, step: Step, applied: Applied, *, may_stop: bool = False) -> CheckpointError | None:
    """Carries out one step; returns its failure, of whatever kind."""

    def do() -> None:
        with stoppable(may_stop):
            apply_step(runner, step, applied)

    dummy, error = attempt(step.why or "change the host", do)
    return error


def _tolerated(step: Step, error: CheckpointError | None) -> CheckpointError | None:
    """Hands the failure of a step that the plan does not depend on to its caller; a stop of the task is none."""
    tolerate = getattr(step, "tolerate", None)
    if error is None or tolerate is None or error.reason == "interrupted":
        return error
    tolerate(error)
    return None


def _also_failed(failure: CheckpointError, error: CheckpointError) -> None:
    failure.facts.setdefault("cleanup_failed", []).append(error.message)


def _give_up(runner: Runner, step: Step, failure: CheckpointError) -> NoReturn:
    """Explain the failure of ``step``, undo it, raise."""
    told = failure
    explain = getattr(step, "explain", None)
    if explain is not None:
        found, error = attempt(step.why, lambda: explain(failure))
        if error is not None:
            _also_failed(failure, error)
        told = found or failure
    for one in getattr(step, "undo", ()):
        error = _try(runner, one, Applied())
        if error is not None:
            _also_failed(told, error)
    if told is failure:
        raise failure
    raise told from failure


def apply_step(runner: Runner, step: Step, applied: Applied) -> None:
    """Carry out one step; every failure becomes a CheckpointError."""
    try:
        if isinstance(step, Command):
            _run(runner, step, applied)
        elif isinstance(step, MakeDir):
            make_dir(step.path, step.mode)
        elif isinstance(step, WriteFile):
            write_file(step.path, step.content() if callable(step.content) else step.content, step.mode)
        elif isinstance(step, MakePipe):
            make_pipe(step.path)
        elif isinstance(step, Rename):
            _rename(step)
        elif isinstance(step, Link):
            _link(step)
        elif isinstance(step, Remove):
            if step.unless is None or not step.unless():
                remove_path(step.path)
                remove_path(temporary_path(step.path))  # of a task that was killed while it wrote the file
        elif isinstance(step, Unpack):
            # Few tasks unpack anything: the others need not compile this.
            from ansible_collections.criu.hosts.plugins.module_utils._core.unpack import unpack

            unpack(step)
        elif isinstance(step, Together):
            _together(runner, step, applied)
        elif isinstance(step, Check):
            step.run()
        elif isinstance(step, Wait):
            _wait(step)
        elif isinstance(step, Kill):
            _kill(step)
    except OSError as error:
        raise _os_error(step, error) from error


def _together(runner: Runner, step: Together, applied: Applied) -> None:
    make_dir(step.lock, 0o700)
    with locked(step.lock, wait=LOCK_SECONDS):
        for one in step.steps:
            apply_step(runner, one, applied)


def _wait(step: Wait) -> None:
    last = time.monotonic() + step.seconds
    while not step.until():
        if time.monotonic() >= last:
            raise CheckpointError(
                f"Cannot {step.why}: it did not end within {step.seconds:.0f} s. {step.advice}", reason="tool_failed"
            )
        time.sleep(step.pause)


def _kill(step: Kill) -> None:
    for pid in step.pids():
        try:
            os.kill(pid, step.number)
        except ProcessLookupError:
            continue


def _os_error(step: Step, error: OSError) -> CheckpointError:
    # Checks and signals have no path of their own.
    path = str(getattr(step, "path", getattr(step, "target", getattr(step, "lock", error.filename or ""))))
    what = f"{step.why or 'change'} {path!r}" if path else step.why
    full = error.errno in (28, 122)  # ENOSPC, EDQUOT
    advice = "Free space on that file system." if full else "Check the path and its owner."
    if not path:
        advice = "Check which user runs the task."
    return CheckpointError(
        f"Cannot {what}: {error.strerror}. {advice}",
        reason="disk_full" if full else "file_failed",
        path=path,
    )


def _took_too_long(completed: Completed) -> bool:
    # Few tasks have a limit: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._core.session import TIMED_OUT

    return completed.rc == TIMED_OUT


def _timed_out(step: Command, completed: Completed) -> CommandError:
    return CommandError(
        completed,
        f"Cannot {step.why}: it did not end in {step.time_limit:.0f} s. Look at the load of the host and its disks.",
        reason="timed_out",
    )


def _run(runner: Runner, step: Command, applied: Applied) -> None:
    if step.unless is not None and step.unless():
        return
    # A signal may end the wait for a command that still writes: then its partial file stays, and is replaced next time.
    given: dict[str, Any] = {"limit": step.time_limit, "stream": step.stream}
    given = {key: value for key, value in given.items() if value is not None}
    completed = runner.run(step.argv, cwd=step.cwd, stdin=step.stdin, finish=step.finish, **given)
    if completed.rc != 0 and step.creates_partial:
        remove_path(step.creates_partial)
    if step.label:
        applied.completed[step.label] = completed
    if step.time_limit is not None and _took_too_long(completed):
        raise _timed_out(step, completed)
    if step.stream is not None and completed.streamed is not None:
        _refuse_filter(step.stream, completed.streamed)
    check(completed, step.why)
    if step.stream is not None and completed.streamed is not None:
        _take(step.stream, completed.streamed)


def _refuse_filter(stream: Stream | Feed, streamed: Streamed) -> None:
    """Raises the failure of a filter, which is the cause of the command's if that failed, too."""
    from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import FILTER_FAILED, FILTER_KILLED

    if streamed.number == FILTER_KILLED:
        raise CheckpointError(
            f"Cannot read {stream.path!r}: {streamed.fault}. Run the task again.",
            reason="file_failed",
            path=stream.path,
        )
    if streamed.number == FILTER_FAILED and stream.failed is not None:
        raise stream.failed(streamed.fault)


def _take(stream: Stream | Feed, streamed: Streamed) -> None:
    if streamed.number:
        raise _os_error(WriteFile(stream.path, "", why="write"), OSError(streamed.number, streamed.fault))
    if streamed.fault:
        raise CheckpointError(
            f"Cannot write {stream.path!r}: {streamed.fault}. Run the task again.",
            reason="file_failed",
            path=stream.path,
        )
    stream.done(streamed)


def _rename(step: Rename) -> None:
    folder = os.path.isdir(step.source) and not os.path.islink(step.source)
    paths = [entry.path for entry in os.scandir(step.source) if entry.is_file(follow_symlinks=False)] if folder else []
    for path in paths if folder else [step.source]:
        if step.mode is not None:
            _chmod(path, step.mode)
        _fsync(path)
    if folder:
        fsync_dir(step.source)
    os.rename(step.source, step.target)
    fsync_dir(os.path.dirname(step.target))


def _link(step: Link) -> None:
    temporary = f"{step.path}.new"
    remove_path(temporary)
    os.symlink(step.target, temporary)
    os.rename(temporary, step.path)
    fsync_dir(os.path.dirname(step.path))
