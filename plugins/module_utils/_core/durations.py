# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses durations as people write them in options, and times as engines print them."""

from __future__ import annotations

import re
from datetime import datetime

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?(Z|[+-]\d\d:\d\d)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> int | None:
    """Returns the seconds of ``30m``, ``2h``, ``7d``, ``90s`` or ``90``; None if the text is no duration."""
    found = re.fullmatch(r"([0-9]{1,18})([smhd]?)", text)
    return int(found.group(1)) * _SECONDS[found.group(2)] if found else None


def seconds_of(text: str) -> float | None:
    """Returns a time of an engine in seconds since 1970; None if it is none."""
    found = _TIME.match(text)
    if found is None:
        return None
    whole, fraction, zone = found.groups()
    offset = "+00:00" if zone == "Z" else zone
    try:
        return datetime.fromisoformat(f"{whole}.{(fraction or '0').ljust(6, '0')}{offset}").timestamp()
    except (ValueError, OverflowError):
        return None
