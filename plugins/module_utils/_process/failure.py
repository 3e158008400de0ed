# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns a failed criu into one clear line, with CRIU's own errors beside it."""

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


def explain(
    error: CheckpointError, *, what: str, images_path: str, action: str, outcome: str, programs: tuple[str, ...]
) -> CheckpointError:
    """Returns the failure of ``what`` as a task reports it; ``outcome`` is the state of process and images."""
    return failure.explain(
        error,
        kind="process",
        what=what,
        outcome=outcome,
        log_path=log_path(images_path, action),
        programs=programs,
        cause_of=cause_of,
    )
