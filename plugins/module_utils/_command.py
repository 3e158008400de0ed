# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The only place that runs a command: argument lists, C locale, no shell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError

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
        """The last line that says something, standard error first."""
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
        """Run ``argv`` to its end whatever its exit status."""

    def which(self, name: str) -> str | None:
        """The full path of the executable ``name``, or None."""


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
            raise CheckpointError(
                f"Cannot run {argv[0]!r}: {error.strerror}. Install the package that ships it.",
                reason="tool_missing",
                cmd=list(argv),
            ) from error
        return Completed(tuple(argv), rc, out, err)

    def which(self, name: str) -> str | None:
        return self._module.get_bin_path(name)


def check(completed: Completed, what: str, *, reason: str = "tool_failed", advice: str = "") -> Completed:
    """Return ``completed`` if it succeeded, else raise CommandError ``Cannot <what>: <last line>. <advice>``."""
    if completed.rc != 0:
        detail = completed.last_line.rstrip(".")
        raise CommandError(completed, f"Cannot {what}: {detail}.{' ' + advice if advice else ''}", reason=reason)
    return completed
