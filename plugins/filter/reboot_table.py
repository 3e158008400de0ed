# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: what reboot_plan or reboot_report say of the units, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError


def mebibytes(value: int) -> str:
    return f"{value / (1 << 20):.1f} MiB"


def seconds(value: float) -> str:
    return f"{value:.1f} s"


def codes(value: list[Mapping[str, str]]) -> str:
    return " ".join(dict.fromkeys(one["code"] for one in value))


# Key, head, and how a value is written: those that a row has, in this order.
COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("name", "UNIT", str),
    ("state", "STATE", str),
    ("expected", "EXPECTED", str),
    ("came_back", "CAME BACK", str),
    ("labels", "LABELS", str),
    ("memory_bytes", "MEMORY", mebibytes),
    ("size_bytes", "SIZE", mebibytes),
    ("dump_seconds", "DUMP", seconds),
    ("restore_seconds", "RESTORE", seconds),
    ("down_seconds", "DOWN", seconds),
    ("reasons", "WHY", codes),
    ("problem", "PROBLEM", str),
)


def render(rows: list[Mapping[str, Any]]) -> str:
    columns = [column for column in COLUMNS if column[0] in rows[0]]
    lines = [[head for dummy, head, dummy_write in columns]]
    for row in rows:
        lines.append(["-" if row[key] is None else write(row[key]) for key, dummy, write in columns])
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    text = ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines]
    reasons = [f"{row['name']}: {one['message']}" for row in rows for one in row.get("reasons", ())]
    return "\n".join([*text, *([""] if reasons else []), *dict.fromkeys(reasons)])


def reboot_table(rows: Any) -> str:
    """The table of the rows."""
    try:
        return render(list(rows)) if rows else "No units."
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(
            f"reboot_table takes the units of the filter reboot_plan, or what reboot_report returns: {error!r}"
        ) from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"reboot_table": reboot_table}
