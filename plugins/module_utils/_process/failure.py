# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns a failed criu into one clear line, with CRIU's own errors beside it."""

from __future__ import annotations

import os
import re
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause, CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import (
    HARMLESS,
    LOG_CAUSES,
    MINOR,
    PROCESS_CAUSES,
    tail,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.failure import denied_cause, read_denials
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import work_path


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
