# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns a failed command of an engine into one clear line, with CRIU's own errors beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause, CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import LOG_CAUSES, MINOR, tail
from ansible_collections.criu.hosts.plugins.module_utils._denials.failure import denied_cause, read_denials
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def read_log(engine: Engine, container: Container | None, action: str) -> dict[str, Any]:
    """``log_path`` and ``log_tail``; the path is empty if there is no log."""
    path = engine.log_path(container, action) if container is not None else ""
    text = read_text(path) if path else None
    return {"log_path": path if text else "", "log_tail": tail(text or "")}


def _cause(engine: Engine, error: CommandError, lines: list[str]) -> Cause:
    cause = engine.cause(error.completed)
    if cause.reason == "tool_failed":
        for text, known in LOG_CAUSES:
            if any(text in line for line in lines):
                return known
        telling = [line for line in lines if not MINOR.search(line)] or lines
        if telling:
            said = re.sub(r"^.*?Error \([^)]*\): ", "", telling[0].strip()).rstrip(".")
            return Cause(f"{cause.why} ({said})", cause.advice, reason="tool_failed")
    return cause


@dataclass(frozen=True)
class Failure:
    """A failed step with what was found out about it. ``cause`` is None if no command of the engine failed."""

    error: CheckpointError
    cause: Cause | None
    log: dict[str, Any]

    def told(self, what: str, outcome: str, facts: dict[str, Any] | None = None) -> CheckpointError:
        """The failure of ``what`` as the task reports it; ``outcome`` says what became of the container."""
        error, cause, more = self.error, self.cause, facts or {}
        if cause is None:
            message = f"{error.message} {outcome}".strip()
            return CheckpointError(message, reason=error.reason, **{**self.log, **error.facts, **more})
        message = f"Cannot {what}: {cause.why}. {outcome} {cause.advice}".replace("  ", " ")
        return CheckpointError(message, reason=cause.reason, **{**error.facts, **self.log, **more})


def read_failure(engine: Engine, error: CheckpointError, container: Container | None, action: str) -> Failure:
    """Reads CRIU's log and the denials since the task began."""
    log = read_log(engine, container, action)
    log.update(read_denials(log))
    if not isinstance(error, CommandError) or not engine.owns(error.completed):
        return Failure(error, None, log)
    return Failure(error, denied_cause(_cause(engine, error, log["log_tail"]), log["denials"]), log)
