# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Places the bars and marks of the charts, in percent of their width."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any, Iterable

SECOND = 1
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
STEPS = (
    *(SECOND, 5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY, 182 * DAY, 364 * DAY),
)
MOST_TICKS = 6
# Narrower bars are not to be seen.
NARROWEST = 0.4
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def percent(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def stacked(parts: Iterable[tuple[str, float]], whole: float) -> list[dict[str, str]]:
    """Returns the bars beside each other for the parts, each a kind and its amount; ``whole`` is the full width."""
    bars, at = [], 0.0
    for kind, amount in parts:
        if amount <= 0 or whole <= 0:
            continue
        width = max(100 * amount / whole, NARROWEST)
        bars.append({"kind": kind, "x": percent(min(at, 100 - NARROWEST)), "width": percent(min(width, 100 - at))})
        at = min(at + width, 100 - NARROWEST)
    return bars


def seconds_of(time: datetime) -> float:
    return (time - EPOCH).total_seconds()


class Axis:
    """The axis of a time line from the first to the last time, with some room at both ends."""

    def __init__(self, times: list[datetime]) -> None:
        first, last = seconds_of(min(times)), seconds_of(max(times))
        room = max((last - first) * 0.04, 30 * SECOND)
        self.begin, self.end = first - room, last + room

    def place(self, time: datetime) -> str:
        return percent(100 * (seconds_of(time) - self.begin) / (self.end - self.begin))

    def ticks(self) -> list[dict[str, str]]:
        """Returns the marks of the axis, at round times of UTC."""
        span = self.end - self.begin
        step = next((one for one in STEPS if span / one <= MOST_TICKS), span / MOST_TICKS)
        first = math.ceil(self.begin / step)
        marks = [(first + number) * step for number in range(MOST_TICKS + 1)]
        times = [EPOCH + timedelta(seconds=one) for one in marks if one <= self.end]
        shape = (
            "%Y-%m-%d" if step >= DAY else "%m-%d %H:%M" if span > DAY else "%H:%M" if step >= MINUTE else "%H:%M:%S"
        )
        return [{"x": self.place(time), "text": time.strftime(shape)} for time in times]


def radius(size: float, largest: float) -> str:
    """Returns the radius of a mark in pixels: its area grows with the size."""
    return percent(4 + 5 * math.sqrt(size / largest)) if size and largest else "4"


def memory_parts(sizes: dict[str, int], kinds: Iterable[str]) -> list[tuple[str, float]]:
    """Returns the parts of a bar in the order of the kinds; an unknown kind counts as other."""
    parts: dict[str, float] = dict.fromkeys(kinds, 0)
    for kind, size in sizes.items():
        known = kind if kind in parts else "other"
        parts[known] = parts.get(known, 0) + size
    return list(parts.items())


def widest(values: Iterable[Any]) -> float:
    return max((float(one) for one in values if one), default=0.0)
