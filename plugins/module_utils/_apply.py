# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The only place that changes a host: walks the steps of a plan, always-steps included when one fails."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._command import Completed, Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._lock import locked
from ansible_collections.criu.hosts.plugins.module_utils._plan import (
    Command,
    Link,
    MakeDir,
    Plan,
    Remove,
    Rename,
    Step,
    Together,
    Unpack,
    WriteFile,
)

# What an unpacked folder gets, whatever the umask.
FOLDER_MODE = 0o755
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


class Interrupted(CheckpointError):
    """The task was told to stop (SIGTERM, SIGHUP): raised so that always-steps still run."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP (a lost connection) into an exception for the time of the block."""

    def stop(number: int, dummy_frame: Any) -> None:
        raise Interrupted(
            f"Stopped by {signal.Signals(number).name} before the work was complete. Run the task again.",
            reason="interrupted",
        )

    numbers = (signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Keep a stop back until the block has ended; it is forgotten when the block fails, as that stops the work too."""
    stops: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, lambda got, dummy_frame: stops.append(got)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if stops:
        signal.raise_signal(stops[0])


def apply_plan(runner: Runner, plan: Plan) -> Applied:
    """Walk the steps of ``plan``; after a failure only those with ``always`` still run, then the failure is raised.

    Raises:
        CheckpointError: the first failure; a failing always-step after it is named in ``cleanup_failed``.
    """
    with interruptible():
        if plan.lock is None:
            return _walk(runner, plan)
        apply_step(runner, MakeDir(plan.lock, 0o700, why="make the folder"), Applied())
        with locked(plan.lock):
            return _walk(runner, plan)


def _walk(runner: Runner, plan: Plan) -> Applied:
    applied = Applied()
    failure: CheckpointError | None = None
    for step in plan.steps:
        if failure is not None and not step.always:
            continue
        try:
            apply_step(runner, step, applied)
        except CheckpointError as error:
            if failure is None:
                failure = error
            else:
                failure.facts.setdefault("cleanup_failed", []).append(error.message)
    if failure is not None:
        raise failure
    return applied


def apply_step(runner: Runner, step: Step, applied: Applied) -> None:
    """Carry out one step; every failure becomes a CheckpointError."""
    try:
        if isinstance(step, Command):
            _run(runner, step, applied)
        elif isinstance(step, MakeDir):
            make_dir(step.path, step.mode)
        elif isinstance(step, WriteFile):
            write_file(step.path, step.content() if callable(step.content) else step.content, step.mode)
        elif isinstance(step, Rename):
            _rename(step)
        elif isinstance(step, Link):
            _link(step)
        elif isinstance(step, Remove):
            remove_path(step.path)
        elif isinstance(step, Unpack):
            # Few tasks unpack anything: the others need not compile this.
            from ansible_collections.criu.hosts.plugins.module_utils._unpack import unpack

            unpack(step)
        elif isinstance(step, Together):
            _together(runner, step, applied)
    except OSError as error:
        raise _os_error(step, error) from error


def _together(runner: Runner, step: Together, applied: Applied) -> None:
    make_dir(step.lock, 0o700)
    with held() if step.always else nullcontext(), locked(step.lock, wait=LOCK_SECONDS):
        for one in step.steps:
            apply_step(runner, one, applied)


def _os_error(step: Step, error: OSError) -> CheckpointError:
    path = getattr(step, "path", getattr(step, "target", getattr(step, "lock", "")))
    what = step.why or "change"
    full = error.errno in (28, 122)  # ENOSPC, EDQUOT
    advice = "Free space on that file system." if full else "Check the path and its owner."
    return CheckpointError(
        f"Cannot {what} {path!r}: {error.strerror}. {advice}",
        reason="disk_full" if full else "file_failed",
        path=path,
    )


def _run(runner: Runner, step: Command, applied: Applied) -> None:
    if step.unless is not None and step.unless():
        return
    try:
        with held() if step.finish else nullcontext():
            completed = runner.run(step.argv, cwd=step.cwd, stdin=step.stdin)
            if step.label:
                applied.completed[step.label] = completed
            check(completed, step.why)
    except BaseException:
        if step.creates_partial:
            remove_path(step.creates_partial)
        raise


def make_dir(path: str, mode: int) -> None:
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
            continue  # another task has made it meanwhile, as units do that start together
        os.chmod(folder, mode)


def fsync_dir(path: str) -> None:
    """Make a rename in the folder ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: str, content: str | bytes, mode: int) -> None:
    """Replace ``path`` atomically: temporary name, fsync, rename, fsync of the folder."""
    folder = os.path.dirname(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, mode)
        os.rename(temporary, path)
    except BaseException:
        remove_path(temporary)
        raise
    fsync_dir(folder)


def _rename(step: Rename) -> None:
    folder = os.path.isdir(step.source) and not os.path.islink(step.source)
    paths = [entry.path for entry in os.scandir(step.source) if entry.is_file(follow_symlinks=False)] if folder else []
    for path in paths if folder else [step.source]:
        if step.mode is not None:
            os.chmod(path, step.mode)
        _fsync(path)
    if folder:
        fsync_dir(step.source)
    os.rename(step.source, step.target)
    fsync_dir(os.path.dirname(step.target))


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(step: Link) -> None:
    temporary = f"{step.path}.new"
    remove_path(temporary)
    os.symlink(step.target, temporary)
    os.rename(temporary, step.path)
    fsync_dir(os.path.dirname(step.path))


def remove_path(path: str) -> None:
    """Remove a file, link or folder tree; no error if it is gone."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
