# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out why an engine's command failed, from its own words and CRIU's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._denials import failure
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def read_failure(
    paths: Paths, engine: Engine, error: CheckpointError, container: Container | None, action: str
) -> failure.Failure:
    """Reads CRIU's log and the denials since the task began."""
    path = engine.log_path(container, action) if container is not None else ""
    owns, cause_of = engine.owns, engine.cause
    return failure.read_failure(
        paths, error, kind="container", action=action, log_path=path, owns=owns, cause_of=cause_of
    )
