# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reports a failed checkpoint; first it restores a container whose state is only left in its checkpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._container.failure import read_failure
from ansible_collections.criu.hosts.plugins.module_utils._container.notes import end, removal, written_since
from ansible_collections.criu.hosts.plugins.module_utils._container.record_writer import RecordWriter
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.restore import bring_back
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import Situation
from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished_archive import (
    left_advice,
    read_unfinished,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.context import STARTED
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import raise_waiting, watched
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import partial_path, unfinished_record_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


@dataclass
class _Work:
    """A failed checkpoint. A failure in ``do`` is noted, and does not end the work.

    ``kept``: the unfinished archive, where that is all that is left of the container.
    """

    ctx: Context
    desired: Desired
    writer: RecordWriter
    failures: list[str] = field(default_factory=list)
    kept: str = ""

    def do(self, what: str, call: Callable[[], Any]) -> bool:
        """Calls ``call``; returns whether it succeeded."""
        dummy, error = attempt(what, call)
        if error is not None:
            self.failures.append(error.message)
        return error is None

    def apply(self, what: str, *steps: Step) -> bool:
        return self.do(what, lambda: self.ctx.apply(Plan(steps=steps)))


def failed(ctx: Context, desired: Desired, writer: RecordWriter, error: CheckpointError) -> CheckpointError:
    """Returns the failure to report, with the state of the container, which runs again if it can be restored.

    A task that was asked to stop does this nevertheless: it ends anyway.
    """
    with watched():
        while attempt("go on", raise_waiting)[1] is not None:
            pass
        return _failed(_Work(ctx, desired, writer), error)


def _failed(work: _Work, error: CheckpointError) -> CheckpointError:
    engine, container = work.writer.engine, work.writer.container
    # Podman answers when its work on the container has ended: nobody writes the partial archive any more.
    now, unread = attempt(f"read container {container.name!r}", lambda: engine.inspect(work.ctx, container.name))
    if now is not None and now.id != container.id:
        now = None  # somebody has given the name to a different container since
    if unread is not None:
        work.failures.append(unread.message)
        state, outcome, used = "unknown", "It is not known whether it runs.", None
    elif now is not None and not now.alive and now.stamp not in ("", container.stamp):
        state, outcome, used = _back(work, now)
    else:
        state, outcome, used = _left(work, now)
    if work.desired.image is not None:
        _image(work, now)
    # Only now, since a log may be long; it goes with a checkpoint that is used.
    failure, unread = attempt(
        "read why it failed", lambda: read_failure(work.ctx.paths, engine, error, now or container, "checkpoint")
    )
    told = error
    if failure is not None:
        told = failure.told(f"checkpoint container {container.name!r}", outcome)
    elif unread is not None:
        work.failures.append(unread.message)
        told = CheckpointError(f"{error.message} {outcome}", reason=error.reason, **error.facts)
    if used is not None:
        files = removal(engine, used, engine.checkpoint_files(used), used.stamp)
        if work.apply("remove the used checkpoint", *files, *end(work.ctx.paths, container.name)):
            told.facts["log_path"] = ""
    told.facts["container_state"] = state
    if work.failures:
        told.facts.setdefault("cleanup_failed", []).extend(work.failures)
    return told


def _back(work: _Work, now: Container) -> tuple[str, str, Container | None]:
    """Restores the container from the checkpoint in place that a failed export has left."""
    path = work.desired.archive_path
    if path is not None and work.writer.written is None:
        # It may be what fills the disk. The whole state is in place.
        drop = (Remove(partial_path(path)), Remove(unfinished_record_path(path)))
        work.apply("remove the unfinished archive", *drop)
    place = Desired(work.desired.name, None, replace(work.desired.options, keep=True, leave_running=False))
    record = replace(work.writer.known(), stamp=now.stamp)
    situation = Situation(now, record, work.writer.selinux)
    restored, error = attempt(
        f"restore container {now.name!r}",
        lambda: bring_back(work.ctx, work.writer.engine, place, situation, noted=False),
    )
    if error is not None:
        work.failures.append(error.message)
        return now.status, f"It could not be restored: {error.message}", None
    work.failures.extend(restored.warnings)
    _archive(work, lambda record: None)
    return "running", "It was restored from its checkpoint and runs again.", now


def _archive(work: _Work, stamp_of: Callable[[Any], Any]) -> bool:
    """Ends the unfinished archive; returns whether it is complete."""
    path = work.desired.archive_path
    if path is None:
        return False
    found, error = attempt("read the archive", lambda: read_unfinished(work.writer.engine, path, stamp_of))
    if error is not None:
        work.failures.append(error.message)
        return False
    work.kept = found.kept
    if found.kept:
        return False
    done = work.apply("end the unfinished archive", *found.steps)
    if work.desired.store is not None:
        done = _store(work, path, found.record) and done
    return done and found.record is not None


def _store(work: _Work, path: str, record: Record | None) -> bool:
    from ansible_collections.criu.hosts.plugins.module_utils._container.stored import end_left

    ended, error = attempt(
        "read the checkpoint",
        lambda: end_left(os.path.dirname(path), {} if record is None else {path: record}, work.desired.signing_key),
    )
    if error is not None:
        work.failures.append(error.message)
        return False
    return work.apply("end the unfinished checkpoint", *ended.steps)


def _image(work: _Work, now: Container | None) -> None:
    """Ends the unfinished image."""
    from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished_image import end_image

    writer, name = work.writer, work.desired.image or ""
    known = replace(writer.known(), stamp=now.stamp if now is not None and not now.alive else "")
    ended, error = attempt(
        "read the image",
        lambda: end_image(work.ctx, writer.engine, name, known, STARTED, work.writer.old_image),
    )
    if error is not None:
        work.failures.append(error.message)
        return
    work.apply("end the unfinished image", *ended.steps)


def _images(work: _Work, now: Container) -> tuple[str, ...]:
    """Returns what the dump has left beside a container that runs on."""
    engine, options = work.writer.engine, work.desired.options
    left = written_since(engine.checkpoint_files(now), STARTED)
    if not (options.pre_checkpoint or options.with_previous):
        return left
    # Few tasks have these: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.chain import spent_images

    return spent_images(engine, now, left)


def _left(work: _Work, now: Container | None) -> tuple[str, str, None]:
    """Cleans up after a checkpoint that has ended nothing, or has ended a container that is gone."""
    engine, paths = work.writer.engine, work.ctx.paths
    if now is None:
        complete = _archive(work, lambda record: "")
        kept = "; the archive has its state" if complete else ""
        state, outcome = "absent", f"It was made with --rm and is gone{kept}."
        if work.kept:
            outcome = f"{outcome} {left_advice(work.kept)}"
    else:
        if now.running:
            work.apply("let the container go on", *engine.thaw_steps(now))
        _archive(work, lambda record: None)
        # The images are memory, and may fill the disk.
        left = _images(work, now) if now.running else ()
        work.apply("clean up", *(Remove(path, why="remove the images of the failed dump") for path in left))
        state = now.status
        outcome = "It keeps running." if now.running else f"It no longer runs (status {now.status!r})."
    if not work.failures:
        work.apply("remove the note", *end(paths, work.writer.container.name))
    return state, outcome, None
