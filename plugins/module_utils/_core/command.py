# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Runs commands, and is the only place that does: argument lists, C locale, no shell."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# LANGUAGE outranks LC_ALL for translated messages, so both are needed for output that can be parsed.
C_LOCALE = {"LANGUAGE": "C", "LC_ALL": "C"}
# A tool may print megabytes; a task result keeps the end, where the error is.
OUTPUT_LIMIT = 4000


@dataclass(frozen=True)
class Completed:
    """A finished command: argument list, exit status, standard output and error as text."""

    argv: tuple[str, ...]
    rc: int
    out: str
    err: str

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

    def run(self, argv: Sequence[str], *, cwd: str | None = None, stdin: str | None = None) -> Completed:
        """Runs ``argv`` to its end; any exit status is accepted."""

    def which(self, name: str) -> str | None:
        """Returns the full path of the executable ``name``, or None."""


class ModuleRunner:
    """The Runner of a real module."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def run(self, argv: Sequence[str], *, cwd: str | None = None, stdin: str | None = None) -> Completed:
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
        except OSError as error:
            raise missing(argv, error) from error
        return Completed(tuple(argv), rc, out, err)

    def which(self, name: str) -> str | None:
        return self._module.get_bin_path(name)


# The exit status of what was killed since it took too long.
TIMED_OUT = 124
# Set by systemd for the unit's own program; not passed on to commands.
NOT_INHERITED = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")


class ProgramRunner:
    """The Runner of a program outside Ansible. It kills a command, with its children, after ``limit`` seconds."""

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit

    def run(self, argv: Sequence[str], *, cwd: str | None = None, stdin: str | None = None) -> Completed:
        import subprocess  # a module has run_command instead

        kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        pipe = subprocess.PIPE
        # A session of its own, so that the command and its children (an engine and its CRIU) can be ended together.
        options: dict[str, Any] = {"cwd": cwd, "env": {**kept, **C_LOCALE}, "start_new_session": True}
        options["stdin"] = subprocess.DEVNULL if stdin is None else pipe
        try:
            child = subprocess.Popen(list(argv), stdout=pipe, stderr=pipe, **options)
        except OSError as error:
            raise missing(argv, error) from error
        try:
            out, err = child.communicate(None if stdin is None else stdin.encode(), timeout=self.limit)
        except subprocess.TimeoutExpired:
            text = f"it did not end in {self.limit:.0f} seconds"
            return Completed(tuple(argv), TIMED_OUT, "", text)
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        return Completed(tuple(argv), child.returncode, _text(out), _text(err))

    def which(self, name: str) -> str | None:
        return shutil.which(name)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def missing(argv: Sequence[str], error: OSError) -> CheckpointError:
    """Returns the failure of a command that cannot be started."""
    return CheckpointError(
        f"Cannot run {argv[0]!r}: {error.strerror}. Install the package that ships it.",
        reason="tool_missing",
        cmd=list(argv),
    )


def check(completed: Completed, what: str, *, reason: str = "tool_failed", advice: str = "") -> Completed:
    """Returns ``completed`` if it succeeded, else raises CommandError ``Cannot <what>: <last line>. <advice>``."""
    if completed.rc != 0:
        detail = completed.last_line.rstrip(".")
        raise CommandError(completed, f"Cannot {what}: {detail}.{' ' + advice if advice else ''}", reason=reason)
    return completed
