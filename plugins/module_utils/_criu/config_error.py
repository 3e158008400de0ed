# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the line of a configuration file that CRIU refuses, by letting CRIU read the lines. Only after a failure."""

from __future__ import annotations

import os

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, shown
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DEFAULT_CONFIG, user_config
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

# CRIU opens this path itself, so it can read a text on its standard input.
STDIN = "/proc/self/fd/0"
# Real files of options are far smaller.
SIZE_LIMIT = 65536


def is_accepted(completed: Completed) -> bool:
    """Returns whether CRIU has printed its version. Exit status 0 is not enough: a file with "help" causes it, too."""
    return completed.rc == 0 and "Version:" in completed.out and parse_version(completed.out) is not None


def _accepts(runner: Runner, criu: str, lines: list[str]) -> Completed | None:
    """Returns None if CRIU accepts the lines, or else what it printed."""
    completed = runner.run((criu, "--config", STDIN, "--version"), stdin="\n".join([*lines, ""]))
    return None if is_accepted(completed) else completed


def _said(completed: Completed) -> str:
    """Returns the first line of an error about a file; CRIU's help follows it."""
    lines = [line.strip() for line in f"{completed.err}\n{completed.out}".splitlines() if line.strip()]
    return lines[0].rstrip(".") if completed.rc and lines else "CRIU prints its help because of it"


def refused_line(runner: Runner, criu: str, path: str) -> CheckpointError | None:
    """Returns the failure that names the first line of the file that CRIU refuses; None if it refuses none."""
    text = read_text(path, limit=SIZE_LIMIT, may_fail=True)
    lines = (text or "").split("\n")
    refused = _accepts(runner, criu, lines) if text else None
    if refused is None:
        return None
    good, bad = 0, len(lines)
    while bad - good > 1:
        middle = (good + bad) // 2
        now = _accepts(runner, criu, lines[:middle])
        good, bad, refused = (good, middle, now) if now is not None else (middle, bad, refused)
    return CheckpointError(
        f"Cannot use {criu!r}: it refuses line {bad} of its configuration file {path!r}, {shown(lines[bad - 1])}: "
        f"{_said(refused)}. Correct or remove the line; criu_config checks a file before it writes it.",
        reason="config_broken",
        path=path,
    )


def explain_version(paths: Paths, runner: Runner, printed: Completed) -> CheckpointError | None:
    """Returns the failure for a CRIU that cannot print its version because of a configuration file; None otherwise."""
    criu = printed.argv[0]
    if not is_accepted(runner.run((criu, "--no-default-config", "--version"))):
        return None
    own = user_config()
    found = (refused_line(runner, criu, path) for path in (paths.below(DEFAULT_CONFIG), own))
    unknown = CheckpointError(
        f"Cannot use {criu!r}: its configuration file {DEFAULT_CONFIG} or {own} breaks every call "
        f"({_said(printed)[:200]}). Correct that file; criu_config_info shows what is wrong in it.",
        reason="config_broken",
        path=criu,
    )
    return next((error for error in found if error is not None), unknown)


def refuse_config(paths: Paths, runner: Runner, criu: str, name: str) -> None:
    """Refuses a configuration file that a runtime hands to CRIU if CRIU does not accept it.

    Raises:
        CheckpointError: config_broken.
    """
    path = paths.below(name)
    error = refused_line(runner, criu, path) if os.path.isfile(path) else None
    if error is not None:
        raise error
