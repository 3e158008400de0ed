# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Defines the one exception that every layer raises; only _core/module.py turns it into a task failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cause:
    """The reason for which a command failed; ``reason`` is tool_failed if none is known."""

    why: str
    advice: str
    reason: str


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
