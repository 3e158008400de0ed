# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads and writes versions as tuples of numbers."""

from __future__ import annotations

Version = tuple[int, ...]


def version_tuple(text: str) -> Version:
    """Returns (4, 2, 1) for "4.2.1"."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def version_text(version: Version) -> str:
    return ".".join(str(part) for part in version)
