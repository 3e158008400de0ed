# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Runs commands, and is the only place that does: argument lists, C locale, no shell."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.criu.hosts.plugins.module_utils._core.feed import Feed
    from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Stream, Streamed

# LANGUAGE outranks LC_ALL for translated messages, so both are needed for output that can be parsed.
C_LOCALE = {"LANGUAGE": "C", "LC_ALL": "C"}
# A tool may print megabytes; a task result keeps the end, where the error is.
OUTPUT_LIMIT = 4000


@dataclass(frozen=True)
class Completed:
    """A finished command: argument list, exit status, standard output and error as text.

    ``began`` is when it was started, in seconds since 1970; 0 if that is not known. ``streamed`` is what it wrote into
    its pipe, if it had one.
    """

    argv: tuple[str, ...]
    rc: int
    out: str
    err: str
    began: float = field(default=0.0, compare=False)
    streamed: Streamed | None = None

    @property
    def last_line(self) -> str:
        """The last line that is not empty, standard error first."""
        for text in (self.err, self.out):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return f"no output, exit status {self.rc}"


class CommandError(CheckpointError):
    """A command that failed; carries cmd, rc, stdout and stderr."""

    def __init__(self, completed: Completed, message: str, *, reason: str = "tool_failed", **facts: Any) -> None:
        super().__init__(
            message,
            reason=reason,
            cmd=list(completed.argv),
            rc=completed.rc,
            stdout=completed.out[-OUTPUT_LIMIT:],
            stderr=completed.err[-OUTPUT_LIMIT:],
            **facts,
        )
        self.completed = completed


class Runner(Protocol):
    """Runs commands; the unit tests have one that replays recordings."""

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        stdin: str | None = None,
        finish: bool = False,
        limit: float | None = None,
        stream: Stream | Feed | None = None,
    ) -> Completed:
        """Runs ``argv`` to its end; any exit status is accepted.

        With ``finish``, nothing but a kill of it ends it, or its ``limit`` of seconds; and it may have a ``stream``.
        """

    def which(self, name: str) -> str | None:
        """Returns the full path of the executable ``name``, or None."""


class ModuleRunner:
    """The Runner of a real module."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        stdin: str | None = None,
        finish: bool = False,
        limit: float | None = None,
        stream: Stream | Feed | None = None,
    ) -> Completed:
        if finish:
            return to_end(argv, cwd=cwd, stdin=stdin, limit=limit, stream=stream)
        try:
            rc, out, err = self._module.run_command(
                list(argv),
                cwd=cwd,
                data=stdin,
                environ_update=C_LOCALE,
                expand_user_and_vars=False,
                handle_exceptions=False,
                errors="surrogateescape",
            )
        except (OSError, ValueError) as error:  # ValueError: an argument with a NUL
            raise missing(argv, error) from error
        return Completed(tuple(argv), rc, out, err)

    def which(self, name: str) -> str | None:
        return self._module.get_bin_path(name)


# Set by systemd for the unit's own program; not passed on to commands.
NOT_INHERITED = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return {**kept, **C_LOCALE}


def to_end(
    argv: Sequence[str],
    *,
    cwd: str | None = None,
    stdin: str | None = None,
    limit: float | None = None,
    stream: Stream | Feed | None = None,
) -> Completed:
    """Runs a command that neither a signal to the task nor the end of the task cuts off."""
    from ansible_collections.criu.hosts.plugins.module_utils._core import session  # few tasks need it

    began = time.time()
    options: dict[str, Any] = {"cwd": cwd, "stdin": stdin, "env": _environment(), "limit": limit}
    try:
        if stream is None:
            return Completed(tuple(argv), *session.run_to_end(argv, **options), began)
        rc, out, err, streamed = session.stream_to_end(argv, **options, stream=stream)
    except (OSError, ValueError) as error:
        raise missing(argv, error) from error
    return Completed(tuple(argv), rc, out, err, began, streamed)


class ProgramRunner:
    """The Runner of a program outside Ansible. It kills a command, with its children, after ``limit`` seconds."""

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        stdin: str | None = None,
        finish: bool = False,
        limit: float | None = None,
        stream: Stream | Feed | None = None,
    ) -> Completed:
        if finish:
            shortest = min((one for one in (limit, self.limit) if one is not None), default=None)
            return to_end(argv, cwd=cwd, stdin=stdin, limit=shortest, stream=stream)
        from ansible_collections.criu.hosts.plugins.module_utils._core import session

        try:
            rc, out, err = session.communicate(argv, cwd=cwd, stdin=stdin, env=_environment(), limit=self.limit)
        except (OSError, ValueError) as error:
            raise missing(argv, error) from error
        return Completed(tuple(argv), rc, out, err)

    def which(self, name: str) -> str | None:
        return shutil.which(name)


def missing(argv: Sequence[str], error: Exception) -> CheckpointError:
    """Returns the failure of a command that cannot be started."""
    advice = "Install the package that ships it."
    if isinstance(error, PermissionError):
        advice = "Set become, or let this user run it."
    return CheckpointError(
        f"Cannot run {argv[0]!r}: {getattr(error, 'strerror', None) or error}. {advice}",
        reason="tool_missing",
        cmd=list(argv),
    )


def check(completed: Completed, what: str, *, reason: str = "tool_failed", advice: str = "") -> Completed:
    """Returns ``completed`` if it succeeded, else raises CommandError ``Cannot <what>: <last line>. <advice>``."""
    if completed.rc != 0:
        detail = completed.last_line.rstrip(".")
        raise CommandError(completed, f"Cannot {what}: {detail}.{' ' + advice if advice else ''}", reason=reason)
    return completed
