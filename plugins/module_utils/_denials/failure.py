# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns a failed command into one clear line, with CRIU's errors and the denials since the task began beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.context import STARTED
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause, CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import cause_in_log, first_error, tail
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text


def read_log(path: str) -> dict[str, Any]:
    """Returns ``log_path`` and ``log_tail``; the path is empty if there is no log."""
    text = read_text(path) if path else None
    return {"log_path": path if text else "", "log_tail": tail(text or "")}


def read_denials(log: dict[str, Any]) -> dict[str, Any]:
    """Returns ``denials`` and ``silent_denials`` since the task began, explained as selinux_denial_info does."""
    # A task that succeeds need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._denials.report import look_back

    found = look_back(STARTED, [log["log_path"]] if log["log_path"] else [])
    return {"denials": found["denials"], "silent_denials": found["silent_denials"]}


def denied_cause(cause: Cause, denials: list[dict[str, Any]]) -> Cause:
    """Returns ``cause``, with what SELinux refused if nothing better is known."""
    refused = [one for one in denials if one["matters"] == "yes" and one["permissive"] is False]
    if cause.reason != "tool_failed" or not refused:
        return cause
    first = refused[0]
    why = f"{cause.why}; SELinux refused it: {first['cause'].rstrip('.')}"
    return Cause(why, first["remedy"]["advice"], reason="policy_missing")


def logged_cause(cause: Cause, lines: list[str], kind: str) -> Cause:
    """Returns ``cause``, or if it is not known the one that CRIU's log names; at least its first error is added."""
    if cause.reason != "tool_failed":
        return cause
    said = first_error(lines)
    return cause_in_log(lines, kind) or (replace(cause, why=f"{cause.why} ({said})") if said else cause)


@dataclass(frozen=True)
class Failure:
    """A failed step with what was found out about it. ``cause`` is None if the command is not one that runs CRIU."""

    error: CheckpointError
    cause: Cause | None
    log: dict[str, Any]

    def told(self, what: str, outcome: str, facts: dict[str, Any] | None = None) -> CheckpointError:
        """Returns the failure of ``what`` as a task reports it; ``outcome`` is the state of container or process."""
        error, cause, more = self.error, self.cause, facts or {}
        if cause is None:
            message = f"{error.message} {outcome}".strip()
            return CheckpointError(message, reason=error.reason, **{**self.log, **error.facts, **more})
        message = f"Cannot {what}: {cause.why}. {outcome} {cause.advice}".replace("  ", " ")
        return CheckpointError(message, reason=cause.reason, **{**error.facts, **self.log, **more})


def read_failure(
    error: CheckpointError,
    *,
    kind: str,
    log_path: str,
    owns: Callable[[Completed], bool],
    cause_of: Callable[[Completed], Cause],
) -> Failure:
    """Reads CRIU's log and the denials since the task began.

    For a command that ``owns`` accepts, the cause is looked for in its output (``cause_of``), then in CRIU's log.
    """
    log = read_log(log_path)
    log.update(read_denials(log))
    if not isinstance(error, CommandError) or not owns(error.completed):
        return Failure(error, None, log)
    cause = logged_cause(cause_of(error.completed), log["log_tail"], kind)
    return Failure(error, denied_cause(cause, log["denials"]), log)
