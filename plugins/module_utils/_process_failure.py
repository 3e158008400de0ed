# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns a failed criu into one clear line, with CRIU's own errors beside it."""

from __future__ import annotations

import os
import re
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._engine import Cause
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._failure import (
    LOG_CAUSES,
    MINOR,
    denied_cause,
    read_denials,
    tail,
)
from ansible_collections.criu.hosts.plugins.module_utils._local import read_text
from ansible_collections.criu.hosts.plugins.module_utils._process_record import work_path

# What CRIU says on the way and can do without.
HARMLESS = re.compile(r"rlimit: Can't setup")

# The same as for containers, for what only plain processes have. Asked first.
PROCESS_CAUSES = (
    (
        "tty: Found dangling tty",
        Cause(
            "it is a job of a shell, with that shell's terminal and session",
            "Set shell_job.",
            reason="shell_job_needed",
        ),
    ),
    (
        "A session leader of",
        Cause("it is a job of a shell, with that shell's session", "Set shell_job.", reason="shell_job_needed"),
    ),
    (
        "External socket is used",
        Cause(
            "it has a Unix socket whose other end is not among the processes",
            "Name it in external, as unix[INODE]; the output of a service to the journal is taken care of with unit.",
            reason="external_needed",
        ),
    ),
    (
        "Can't dump half of stream unix connection",
        Cause(
            "it has a Unix connection whose other end is not among the processes",
            "Name it in external, as unix[INODE].",
            reason="external_needed",
        ),
    ),
    (
        "Tracking memory is not available",
        Cause(
            "this kernel cannot track changes of memory (CONFIG_MEM_SOFT_DIRTY)",
            "Leave out pre_dump and parent_path.",
            reason="memory_tracking_missing",
        ),
    ),
    (
        "can't write lsm profile",
        Cause(
            "SELinux does not let the process take its label back",
            "Apply the role criu.hosts.criu_selinux, or give unit to restore by systemd.",
            reason="policy_missing",
        ),
    ),
    (
        "Can't map restorer code",
        Cause(
            "SELinux does not let CRIU map its restorer",
            "Apply the role criu.hosts.criu_selinux.",
            reason="policy_missing",
        ),
    ),
)


def log_path(images_path: str, action: str) -> str:
    return os.path.join(work_path(images_path), "dump.log" if action == "checkpoint" else "restore.log")


def read_log(images_path: str, action: str) -> dict[str, Any]:
    """``log_path`` and ``log_tail``; the path is empty if there is no log."""
    path = log_path(images_path, action)
    text = read_text(path)
    return {"log_path": path if text else "", "log_tail": tail(text or "")}


def _cause(error: CommandError, lines: list[str]) -> Cause:
    for text, known in (*PROCESS_CAUSES, *LOG_CAUSES):
        if any(text in line for line in lines):
            return known
    telling = [line for line in lines if not (MINOR.search(line) or HARMLESS.search(line))] or lines
    said = re.sub(r"^.*?Error +\([^)]*\): ", "", telling[0].strip()) if telling else error.completed.last_line
    return Cause(f"CRIU says {said.rstrip('.')!r}", "Read the log.", reason="tool_failed")


def explain(error: CheckpointError, *, what: str, images_path: str, action: str, outcome: str) -> CheckpointError:
    """The failure of ``what`` as a task reports it; ``outcome`` says what became of process and images."""
    log = read_log(images_path, action)
    log.update(read_denials(log))
    ours = isinstance(error, CommandError) and error.completed.argv[:1] not in (("setsebool",),)
    if not isinstance(error, CommandError) or not ours:
        return CheckpointError(f"{error.message} {outcome}".strip(), reason=error.reason, **{**log, **error.facts})
    cause = denied_cause(_cause(error, log["log_tail"]), log["denials"])
    return CheckpointError(
        f"Cannot {what}: {cause.why}. {outcome} {cause.advice}".replace("  ", " "),
        reason=cause.reason,
        **{**error.facts, **log},
    )
