# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out why CRIU failed, from its output and its log."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import READ_TAIL, Cause, CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import BEFORE, LINE_LENGTH, first_error, tail
from ansible_collections.criu.hosts.plugins.module_utils._denials import failure
from ansible_collections.criu.hosts.plugins.module_utils._process.options import log_path

# criu/include/util-caps.h: CRIU says it in its log, or before it has one. It is no error line.
_CAPABILITY = re.compile(BEFORE + r"Effective capability ([0-9]{1,3}) missing")
# What glibc's getopt_long says of a word in a configuration file or on the command line.
_OPTION = re.compile(r"\S{0,200}criu: (?:unrecognized option|option) '--([a-z0-9-]{1,60})")


def cause_of(completed: Completed) -> Cause:
    """Returns the first error that criu or systemctl printed."""
    for line in f"{completed.err}\n{completed.out}".split("\n"):
        capability, option = _CAPABILITY.match(line[:LINE_LENGTH]), _OPTION.match(line[:LINE_LENGTH])
        if capability:
            return Cause(
                f"CRIU lacks the capability {capability[1]}",
                "Run the task as root, or apply criu_non_root for this user.",
                reason="capabilities_missing",
            )
        if option and f"--{option[1]}" not in completed.argv:
            return Cause(
                f"CRIU does not accept the option {option[1]!r} in its configuration file (/etc/criu/default.conf, "
                "or ~/.criu/default.conf)",
                "Correct that file; criu_config_info shows what is wrong in it.",
                reason="config_broken",
            )
    said = first_error(tail(completed.err or completed.out))
    return Cause(said or "CRIU failed", READ_TAIL, reason="tool_failed")


def read_failure(
    paths: Paths, error: CheckpointError, images_path: str, action: str, programs: tuple[str, ...]
) -> failure.Failure:
    """Reads CRIU's log and the denials since the task began; the cause only if one of ``programs`` has failed."""
    return failure.read_failure(
        paths,
        error,
        kind="process",
        action=action,
        log_path=log_path(images_path, action),
        owns=lambda completed: completed.argv[0] in programs,
        cause_of=cause_of,
    )
