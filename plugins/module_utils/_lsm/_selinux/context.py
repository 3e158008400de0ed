# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses SELinux contexts."""

from __future__ import annotations

import re
from dataclasses import dataclass


def type_of(context: str) -> str:
    """Returns the type of a context, or the whole text if it is not a context."""
    parts = context.split(":")
    return parts[2] if len(parts) > 2 else context


# The kernel's policies have 1,024.
_CATEGORY = r"c([0-9]{1,4})(?:\.c([0-9]{1,4}))?"


def categories(context: str) -> frozenset[int]:
    """Returns the categories that a context may reach, c1,c5.c7 as 1, 5, 6, 7; empty if there are none.

    The same ones can be written in many ways, which the kernel accepts.
    """
    level = ":".join(context.split(":")[3:]).rpartition("-")[2]
    found: set[int] = set()
    for part in level.partition(":")[2].split(",")[:1024]:
        word = re.fullmatch(_CATEGORY, part)
        if word:
            first = int(word.group(1))
            found.update(range(first, int(word.group(2) or first) + 1))
    return frozenset(found)


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
