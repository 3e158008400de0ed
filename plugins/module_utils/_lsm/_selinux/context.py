# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses SELinux contexts."""

from __future__ import annotations

from dataclasses import dataclass


def type_of(context: str) -> str:
    """Returns the type of a context, or the whole text if it is not a context."""
    parts = context.split(":")
    return parts[2] if len(parts) > 2 else context


@dataclass(frozen=True)
class Context:
    """The parts of a context; ``level`` is empty without MCS."""

    user: str
    role: str
    type: str
    level: str

    @classmethod
    def parse(cls, text: str) -> Context | None:
        parts = text.split(":", 3)
        return cls(parts[0], parts[1], parts[2], parts[3] if len(parts) > 3 else "") if len(parts) > 2 else None

    def __str__(self) -> str:
        return ":".join(part for part in (self.user, self.role, self.type, self.level) if part)


def same_level(source: Context, target: Context) -> list[tuple[Context, Context]]:
    """Returns the pair with the same level for both."""
    return [
        (source, Context(target.user, target.role, target.type, source.level)),
        (Context(source.user, source.role, source.type, target.level), target),
    ]


def same_identity(source: Context, target: Context) -> list[tuple[Context, Context]]:
    """Returns the pair with the same user and role for both; for files, with the same user."""
    if target.role == "object_r":
        return [(source, Context(source.user, target.role, target.type, target.level))]
    return [
        (source, Context(source.user, source.role, target.type, target.level)),
        (Context(target.user, target.role, source.type, source.level), target),
    ]
