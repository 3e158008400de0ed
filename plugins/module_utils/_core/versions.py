# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses versions of programs, and converts them to tuples and numbers that can be compared."""

from __future__ import annotations

import re

Version = tuple[int, ...]


def parse_version(text: str) -> str | None:
    """Returns the version in the output of ``criu --version`` and the like: the first word that begins like one."""
    found = re.search(r"(?:^|\s)v?([0-9]+\.[0-9]+(?:\.[0-9]+)*)", text)
    return found.group(1) if found else None


def version_tuple(text: str | None) -> Version:
    """Returns "4.2.1" as (4, 2, 1), and an unknown version as ()."""
    # No part of a version has nine digits; a date has eight.
    return tuple(int(part[:9]) for part in (text or "").split(".") if part.isascii() and part.isdigit())


def version_text(version: Version) -> str:
    """Returns (4, 2, 1) as "4.2.1"."""
    return ".".join(str(part) for part in version)


def version_number(text: str | None) -> int | None:
    """Returns "4.2.1" as 40201, as CRIU itself writes a version as a number."""
    if text is None:
        return None
    major, minor, sublevel = (*version_tuple(text), 0, 0, 0)[:3]
    return major * 10000 + minor * 100 + sublevel
