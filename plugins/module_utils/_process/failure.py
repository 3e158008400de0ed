# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out why CRIU failed, from its output and its log."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause, CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import first_error, tail
from ansible_collections.criu.hosts.plugins.module_utils._denials import failure
from ansible_collections.criu.hosts.plugins.module_utils._process.options import log_path


def cause_of(completed: Completed) -> Cause:
    """Returns the first error that criu or systemctl printed."""
    said = first_error(tail(completed.err or completed.out))
    return Cause(said or "CRIU failed", "Read log_tail.", reason="tool_failed")


def read_failure(
    paths: Paths, error: CheckpointError, images_path: str, action: str, programs: tuple[str, ...]
) -> failure.Failure:
    """Reads CRIU's log and the denials since the task began; the cause only if one of ``programs`` has failed."""
    return failure.read_failure(
        paths,
        error,
        kind="process",
        log_path=log_path(images_path, action),
        owns=lambda completed: completed.argv[0] in programs,
        cause_of=cause_of,
    )
