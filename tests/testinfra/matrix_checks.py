# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirements that each case of the matrix must meet, on an enabled host and again after its reboot."""

from __future__ import annotations

import re
from typing import Any

# The labels of containers, without the categories that differ
SELINUX = re.compile(r"system_u:system_r:container_t:s0:c\d+,c\d+")
APPARMOR = re.compile(r"containers-default-\d[\w.~+-]* \(enforce\)")
CONNECTION = re.compile(r"count (\d+) port (\d+)")


def entry(matrix: dict[str, Any], case: str) -> dict[str, Any]:
    """Return the observations of a case, which must have run exactly once."""
    found: list[dict[str, Any]] = [one for one in matrix["cases"] if one["case"] == case]
    assert len(found) == 1, f"{case} was run {len(found)} times"
    return found[0]


def threads_of(seen: dict[str, Any]) -> int:
    """Return the minimum number of threads of the case's program: descriptors.py has one thread."""
    return 1 if seen["case"].startswith("descriptors-") else 4


def require_same_labels(seen: dict[str, Any], label: re.Pattern[str] = SELINUX) -> None:
    """Check that every thread has the same label as before, and that it is the label of a container."""
    assert len(seen["before"]["threads"]) >= threads_of(seen)
    assert seen["after"]["threads"] == seen["before"]["threads"]
    assert all(label.fullmatch(thread["label"]) for thread in seen["after"]["threads"])


def require_counting_on(seen: dict[str, Any]) -> None:
    """Check that every thread continues to count from its value before."""
    before, after = seen["before"]["counters"], seen["after"]["counters"]
    assert len(before) == threads_of(seen)
    assert set(after) == set(before)
    assert all(after[number] >= before[number] for number in before)


def require_connection(seen: dict[str, Any], moment: str) -> None:
    """Check that the client's connection continues from the same local port, and so does its count."""
    before, later = CONNECTION.fullmatch(seen["before"]["client"]), CONNECTION.fullmatch(seen[moment]["client"])
    assert before, seen["before"]["client"]
    assert later, seen[moment]["client"]
    assert later.group(2) == before.group(2)
    assert int(later.group(1)) >= int(before.group(1))
