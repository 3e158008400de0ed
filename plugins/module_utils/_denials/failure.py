# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns a failed command into one clear line, and adds CRIU's errors and the denials since the task began."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.context import STARTED
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import READ_TAIL, Cause, CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.causes import cause_in_log
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import first_error, tail
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_end

# As _denials/records.py names it, which a task that succeeds need not compile.
APPARMOR = "apparmor"
# The errors are at the end of the log, and a person reads twenty lines.
LOG_LIMIT = 4 << 20
# A file's time may be so much behind the clock: the kernel takes that of its last tick (100 Hz at least).
CLOCK_SECONDS = 0.02
SLOW = "Look at the load of the host and at its disks, then run the task again."
# What a denial explains better.
UNSURE = ("tool_failed", "process_traced", "mapping_refused", "capabilities_missing", "label_unreadable")


@dataclass(frozen=True)
class Failure:
    """A failed step, the log of CRIU, the denials, and the cause (None if the command does not run CRIU)."""

    error: CheckpointError
    cause: Cause | None
    log_path: str
    log_tail: list[str]
    denials: list[dict[str, Any]]
    silent_denials: list[dict[str, Any]]

    @property
    def advice(self) -> str:
        """What to do. Without a log there is nothing in log_tail; the last line of the output is in the message."""
        if self.cause is None or self.cause.advice != READ_TAIL or self.log_tail:
            return self.cause.advice if self.cause is not None else ""
        output = str(self.error.facts.get("stderr") or self.error.facts.get("stdout") or "")
        return "Read stderr and stdout." if len(output.strip().split("\n")) > 1 else ""

    def told(self, what: str, outcome: str) -> CheckpointError:
        """Returns the error that the task reports for ``what``; ``outcome`` is the state of container or process."""
        error, cause = self.error, self.cause
        message = f"{error.message} {outcome}".strip()
        if cause is not None:
            message = f"Cannot {what}: {cause.why}. {outcome} {self.advice}".replace("  ", " ").strip()
        return CheckpointError(
            message,
            reason=cause.reason if cause is not None else error.reason,
            **{
                **error.facts,
                "log_path": self.log_path,
                "log_tail": self.log_tail,
                "denials": self.denials,
                "silent_denials": self.silent_denials,
            },
        )


def read_failure(
    paths: Paths,
    error: CheckpointError,
    *,
    kind: str,
    action: str,
    log_path: str,
    owns: Callable[[Completed], bool],
    cause_of: Callable[[Completed], Cause],
) -> Failure:
    """Reads CRIU's log and the denials since the task began, which it explains as denial_info does.

    The cause is looked for only if ``owns`` accepts the command.
    """
    # A task that succeeds need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._denials.report import look_back

    began = error.completed.began if isinstance(error, CommandError) else 0.0
    text = read_log(log_path, max(began - CLOCK_SECONDS, STARTED))
    path, lines = log_path if text else "", tail(text)
    found = look_back(paths, STARTED, [path] if path else [])
    cause = None
    if isinstance(error, CommandError) and owns(error.completed):
        cause = logged_cause(error.completed, lines, (kind, action), cause_of)
        cause = denied_cause(cause, found["denials"], found["silent_denials"])
        if error.reason == "timed_out":
            cause = Cause(error.completed.err.rstrip("."), SLOW, reason="timed_out")
    return Failure(error, cause, path, lines, found["denials"], found["silent_denials"])


def read_log(path: str, since: float = 0.0) -> str:
    """Returns the end of a log of CRIU that was written ``since`` (seconds since 1970); empty if there is none.

    An older one is that of an earlier failure. One that cannot be read is none: a failure is not to hide another.
    """
    try:
        if path and os.stat(path).st_mtime < since:
            return ""
        data = read_end(path, limit=LOG_LIMIT) if path else None
    except (OSError, ValueError):
        return ""
    return (data or b"").decode("utf-8", "backslashreplace")


def logged_cause(
    completed: Completed, lines: list[str], of: tuple[str, str], cause_of: Callable[[Completed], Cause]
) -> Cause:
    """Returns the cause that the command's output or the ``lines`` of CRIU's log name, for a kind and an action.

    If neither names one, returns ``cause_of`` the output, with the first error of the log.
    """
    passed_on = cause_in_log(f"{completed.err}\n{completed.out}".split("\n"), *of)
    cause = passed_on or cause_of(completed)
    if cause.reason != "tool_failed":
        return cause
    said = first_error(lines)
    return cause_in_log(lines, *of) or (replace(cause, why=f"{cause.why} ({said})") if said else cause)


def _profile_cause(cause: Cause, silent: list[dict[str, Any]]) -> Cause | None:
    """Returns what AppArmor refused by CRIU's log, whose errors of the label are the same for both LSMs."""
    shown = [one for one in silent if one["lsm"] == APPARMOR and one["id"] != "unknown"]
    if not shown or cause.reason not in (*UNSURE, "policy_missing"):
        return None
    return Cause(_sentence(shown[0]["cause"]), shown[0]["remedy"]["advice"], reason="apparmor_denied")


def _sentence(text: str) -> str:
    return text.rstrip(".")


def denied_cause(cause: Cause, denials: list[dict[str, Any]], silent: list[dict[str, Any]]) -> Cause:
    """Returns ``cause``, or what SELinux or AppArmor refused if the cause is not known."""
    from ansible_collections.criu.hosts.plugins.module_utils._denials.known_elsewhere import of_checkpoints

    told = _profile_cause(cause, silent)
    if told is not None:
        return told
    refused = [one for one in denials if of_checkpoints(one) and one["permissive"] is False]
    if cause.reason not in UNSURE or not refused:
        return cause
    first = refused[0]
    if first["lsm"] == APPARMOR:
        why = f"{cause.why}; AppArmor refused it: {_sentence(first['cause'])}"
        return Cause(why, first["remedy"]["advice"], reason="apparmor_denied")
    why = f"{cause.why}; SELinux refused it: {_sentence(first['cause'])}"
    return Cause(why, first["remedy"]["advice"], reason="policy_missing")
