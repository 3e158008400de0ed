# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out why CRIU failed, from its output and its log."""

from __future__ import annotations

import os

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause, CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import cause_in_log, first_error, tail
from ansible_collections.criu.hosts.plugins.module_utils._denials import failure
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import work_path


def log_path(images_path: str, action: str) -> str:
    return os.path.join(work_path(images_path), "dump.log" if action == "checkpoint" else "restore.log")


def cause_of(completed: Completed) -> Cause:
    """Returns the cause that the output of criu or systemctl names."""
    lines = tail(completed.err or completed.out)
    unknown = Cause(first_error(lines) or "CRIU failed", "Read log_tail.", reason="tool_failed")
    return cause_in_log(lines, "process") or unknown


def read_failure(error: CheckpointError, images_path: str, action: str, programs: tuple[str, ...]) -> failure.Failure:
    """Reads CRIU's log and the denials since the task began; the cause only if one of ``programs`` has failed."""
    return failure.read_failure(
        error,
        kind="process",
        log_path=log_path(images_path, action),
        owns=lambda completed: completed.argv[0] in programs,
        cause_of=cause_of,
    )
