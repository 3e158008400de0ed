# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Explains why a unit was not installed or did not start."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

# A failed start leaves no more lines than these.
JOURNAL_LINES = 40
# Podman reports each event of a container or image with all its labels, which explains nothing.
EVENT = r"\d{4}-\d\d-\d\d .* m=\+[0-9.]+ (container|image|volume|network|secret) "


def journal_of(runner: Runner, name: str) -> list[str]:
    """Returns the last lines of systemd, podman and our program; not the container's, which may hold secrets."""
    unit = f"{name}.service"
    own = [word for comm in ("podman", "python3") for word in ("+", f"_SYSTEMD_UNIT={unit}", f"_COMM={comm}")]
    options = (f"--lines={JOURNAL_LINES}", "--output=cat", "--no-pager", "--quiet")
    argv = ("journalctl", *options, f"UNIT={unit}", *own)
    return [line for line in runner.run(argv).out.splitlines() if line.strip() and not re.match(EVENT, line)]


def explained(runner: Runner, name: str, error: CommandError) -> CheckpointError:
    """Returns the failure that the task reports for a failed command of the plan."""
    argv = error.completed.argv
    if argv[:1] in (("env",), ("systemd-analyze",)) or argv[:2] == ("systemctl", "cat"):
        return CommandError(
            error.completed,
            f"Cannot install the unit '{name}.service': {error.completed.last_line.rstrip('.')}. Nothing was changed; "
            "correct the option that this is about.",
            reason="unit_refused",
        )
    if argv[:2] in (("systemctl", "start"), ("systemctl", "restart")):
        return start_failed(runner, name, "", error)
    return error


def start_failed(runner: Runner, name: str, why: str, error: CommandError | None = None) -> CheckpointError:
    """Returns the failure of a start, with the journal."""
    journal = journal_of(runner, name)
    said = why or _podmans_error(journal) or (error.completed.last_line if error else "")
    message = f"Cannot start the unit '{name}.service': {said.rstrip('.')}. See 'journalctl --unit={name}.service'."
    if error is None:
        return CheckpointError(message, reason="start_failed", journal=journal)
    return CommandError(error.completed, message, reason="start_failed", journal=journal)


def _podmans_error(journal: list[str]) -> str:
    """Returns the last line of podman, since systemd's lines say only that the unit failed."""
    errors = [line for line in journal if line.startswith(("Error:", "time="))]
    return errors[-1].partition("Error: ")[2] or errors[-1] if errors else ""
