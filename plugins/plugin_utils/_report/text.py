# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Formats values of a checkpoint for people: names that others chose, sizes, durations, times."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timezone
from typing import Callable

# A dash.
UNKNOWN = "\u2013"
UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
# Control, format (as the overrides of the direction of writing), surrogate, private and unassigned characters, and the
# separators of lines: none of them is to be seen, and some change how the text around them is shown.
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# A store names a checkpoint by its time (UTC) and 8 hexadecimal digits.
STORE_ID = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")


def visible(text: str) -> str:
    """Returns a text in which each character that is not to be seen is written as its number: ``\\u202e``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if unicodedata.category(one) not in HIDDEN else _number(ord(one)) for one in text)


def _number(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cut(text: str, length: int) -> str:
    """Returns the beginning of a long text."""
    return text if len(text) <= length else f"{text[:length]}…"


def number(value: object) -> int:
    """Returns a count of bytes or microseconds; 0 for all that is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def size_text(count: int) -> str:
    """Returns a number of bytes as checkpointctl shows it."""
    if count < 1024:
        return f"{count} B"
    size, unit = count / 1024, 0
    while size >= 1024 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {UNITS[unit]}"


def duration_text(microseconds: float) -> str:
    """Returns a duration with three digits: ``74.0 ms``."""
    for limit, divisor, unit in ((1000, 1, "µs"), (1_000_000, 1000, "ms"), (60_000_000, 1_000_000, "s")):
        if microseconds < limit:
            value = microseconds / divisor
            return f"{value:.0f} {unit}" if value >= 100 or divisor == 1 else f"{value:.3g} {unit}"
    minutes, seconds = divmod(microseconds / 1_000_000, 60)
    return f"{minutes:.0f} min {seconds:.0f} s"


def parse_time(text: object) -> datetime | None:
    """Returns a time such as ``2026-11-30T16:45:00Z`` in UTC; None for all else."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    zone = "+00:00" if found.group(2) == "Z" else found.group(2)
    return _plausible(lambda: datetime.fromisoformat(found.group(1) + zone).astimezone(timezone.utc))


def _plausible(read: Callable[[], datetime]) -> datetime | None:
    """Returns the time that ``read`` returns, if it can be one of this or the next centuries."""
    try:
        time = read()
    except (ValueError, OverflowError):
        return None
    return time if 1970 <= time.year < 3000 else None


def parse_store_id(name: str) -> datetime | None:
    """Returns the time in the id of a checkpoint in a store; None for all else."""
    found = STORE_ID.fullmatch(name)
    if found is None:
        return None
    return _plausible(lambda: datetime.strptime(found.group(1), "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc))


def time_text(time: datetime | None) -> str:
    return UNKNOWN if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def counted(count: int, one: str, many: str = "") -> str:
    """Returns a number with its noun: ``1 host``, ``2 hosts``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
