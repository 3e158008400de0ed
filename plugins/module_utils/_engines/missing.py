# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Runs the reading commands of an engine, which may not be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner

# The reasons with which engines say that they are not installed.
MISSING = ("engine_missing", "podman_missing")


def missing(program: str, package: str) -> CheckpointError:
    return CheckpointError(f"Cannot find {program} in PATH. Install the package {package}.", reason="engine_missing")


def run_engine(runner: Runner, argv: tuple[str, ...], package: str) -> Completed:
    """Run a reading command of an engine whose program Debian has in ``package``.

    Raises:
        CheckpointError: engine_missing.
    """
    try:
        return runner.run(argv)
    except CheckpointError as error:
        if error.reason != "tool_missing":
            raise
        raise missing(argv[0], package) from error
