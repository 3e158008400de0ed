# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: shows the result of reboot_plan or reboot_report in a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError


def mebibytes(value: int) -> str:
    """Renders bytes."""
    return f"{value / (1 << 20):.1f} MiB"


def seconds(value: float) -> str:
    """Renders seconds."""
    return f"{value:.1f} s"


def codes(value: list[Mapping[str, str]]) -> str:
    """Renders the codes of reasons, without duplicates."""
    return " ".join(dict.fromkeys(one["code"] for one in value))


# Key, heading and renderer of each column. A table has the columns whose keys its rows have, in this order.
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
    """Renders the table and the reasons."""
    columns = [column for column in COLUMNS if column[0] in rows[0]]
    lines = [[head for dummy, head, dummy_write in columns]]
    for row in rows:
        lines.append(["-" if row[key] is None else write(row[key]) for key, dummy, write in columns])
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    text = ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines]
    reasons = [f"{row['name']}: {one['message']}" for row in rows for one in row.get("reasons", ())]
    return "\n".join([*text, *([""] if reasons else []), *dict.fromkeys(reasons)])


def reboot_table(rows: Any) -> str:
    """Returns the table for the rows."""
    try:
        return render(list(rows)) if rows else "No units."
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(
            f"Cannot render the table: the input is invalid ({error!r}). Use the units of the filter reboot_plan, or "
            "the result of the filter reboot_report."
        ) from error


class FilterModule:
    """Provides the filter of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"reboot_table": reboot_table}
