# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Defines the one exception that every layer raises; only _core/module.py turns it into a task failure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Callable

# The advice if the cause is not known: the fact log_tail has CRIU's own words.
READ_TAIL = "Read log_tail."
# Names of processes and files are chosen by others.
NAME_LENGTH = 120


@dataclass(frozen=True)
class Cause:
    """The reason for which a command failed; ``reason`` is tool_failed if none is known."""

    why: str
    advice: str
    reason: str


def shown(name: str) -> str:
    """Returns a name as a message shows it: quoted, in one line, not too long."""
    return repr(name if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH]}...")


def shown_word(word: str) -> str:
    """Returns what a log names, for a message: a number as it is, all else as a name."""
    return word if word.isascii() and word.isdigit() else shown(word)


class CheckpointError(Exception):
    """A failure that the user can act on.

    Args:
        message: one line: what was tried, on what, why it failed, what to do.
        reason: a stable snake_case word that playbooks may branch on.
        facts: JSON-able values that are returned beside ``msg``.
    """

    def __init__(self, message: str, *, reason: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.facts = facts


def _internal(what: str, error: Exception) -> CheckpointError:
    """Returns the failure for an error that nobody foresaw: one line, with the place in the code, for a report."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return CheckpointError(
        f"Cannot {what}: an error in the collection, {words} ({place}). Run the task again; if it comes back, report "
        "this line to the project.",
        reason="internal",
    )


def attempt(what: str, call: Callable[[], Any]) -> tuple[Any, CheckpointError | None]:
    """Calls ``call``; returns its result and its failure, one of which is None.

    This is the only place that catches every error: what follows a failed step must run after any of them.
    """
    try:
        return call(), None
    except CheckpointError as error:
        return None, error
    except Exception as error:  # noqa: BLE001 -- see above
        return None, _internal(what, error)
