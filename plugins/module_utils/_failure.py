# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns a failed command of an engine into one clear line, with CRIU's own errors beside it."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._context import STARTED
from ansible_collections.criu.hosts.plugins.module_utils._engine import Cause, Container, Engine
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._local import read_text

TAIL_LINES = 20
LINE_LENGTH = 400

# What CRIU's log says, reason, why, what to do; asked when the engine's own words do not tell.
LOG_CAUSES = (
    (
        "No space left on device",
        Cause("there is no space left for its images", "Free space on that file system.", reason="disk_full"),
    ),
    (
        "seccomp: SECCOMP_SET_MODE_FILTER returned -13",
        Cause(
            "SELinux does not let the container put its seccomp filter back",
            "Apply the role criu.hosts.criu_selinux.",
            reason="policy_missing",
        ),
    ),
    (
        "Locking network failed",
        Cause(
            "CRIU cannot lock its network, as iptables is not installed and this CRIU uses it",
            "Use a CRIU with nftables as its lock (role criu.hosts.criu), or install iptables.",
            reason="network_lock_missing",
        ),
    ),
    (
        "Connected TCP socket, consider using --tcp-established",
        Cause("it has established TCP connections", "Set tcp_established.", reason="tcp_established_needed"),
    ),
    (
        "Some file locks are hold by dumping tasks",
        Cause("it holds file locks", "Set file_locks.", reason="file_locks_needed"),
    ),
)


# CRIU looks for tools that it does not need, and calls it an error when they are not there.
NOISE = re.compile(r"ip6?tables[a-z-]*-save")
# What went wrong for want of a tool is told by a later line.
MINOR = re.compile(r"execvp\(|exited, status=")


def tail(text: str) -> list[str]:
    """The lines of a CRIU log that tell most: the last ones with an error, else the last ones."""
    lines = [line[:LINE_LENGTH] for line in text.splitlines() if line.strip() and not NOISE.search(line)]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines)[-TAIL_LINES:]


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


def read_denials(log: dict[str, Any]) -> dict[str, Any]:
    """``denials`` and ``silent_denials`` since the task began, explained as selinux_denial_info does."""
    # A task that succeeds need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._denial_look import look_back

    found = look_back(STARTED, [log["log_path"]] if log["log_path"] else [])
    return {"denials": found["denials"], "silent_denials": found["silent_denials"]}


def denied_cause(cause: Cause, denials: list[dict[str, Any]]) -> Cause:
    """``cause``, with what SELinux refused if nothing better is known."""
    refused = [one for one in denials if one["matters"] == "yes" and one["permissive"] is False]
    if cause.reason != "tool_failed" or not refused:
        return cause
    told = refused[0]
    why = f"{cause.why}; SELinux refused it: {told['cause'].rstrip('.')}"
    return Cause(why, told["remedy"]["advice"], reason="policy_missing")


def explain(
    engine: Engine, error: CheckpointError, *, what: str, container: Container | None, action: str, outcome: str
) -> CheckpointError:
    """The failure of ``what`` as a task reports it; ``outcome`` says what became of the container."""
    log = read_log(engine, container, action)
    log.update(read_denials(log))
    if not isinstance(error, CommandError) or error.completed.argv[:1] != (engine.name,):
        return CheckpointError(f"{error.message} {outcome}".strip(), reason=error.reason, **{**log, **error.facts})
    cause = denied_cause(_cause(engine, error, log["log_tail"]), log["denials"])
    return CheckpointError(
        f"Cannot {what}: {cause.why}. {outcome} {cause.advice}".replace("  ", " "),
        reason=cause.reason,
        **{**error.facts, **log},
    )
