# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: what criu_info says of a host's readiness, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

import yaml
from ansible.errors import AnsibleFilterError

HEAD = ("INTENT", "READY", "WHY")
WORDS = {True: "yes", False: "no", None: "?"}


def rows_of(readiness: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """A row for each reason; an intent without reasons has one row."""
    rows = []
    for intent, answer in readiness.items():
        why = [f"{one['code']}: {one['message']}" for one in answer["reasons"]] or [""]
        rows.append((intent, WORDS[answer["ready"]], why[0]))
        rows += [("", "", text) for text in why[1:]]
    return rows


def unique(values: list[Any]) -> list[Any]:
    """The values, each once, in their order."""
    return [value for number, value in enumerate(values) if value not in values[:number]]


def render(readiness: Mapping[str, Any], tasks: bool) -> str:
    rows = [HEAD, *rows_of(readiness)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{intent:{widths[0]}}  {ready:{widths[1]}}  {why}".rstrip() for intent, ready, why in rows]
    reasons = [one for answer in readiness.values() for one in answer["reasons"]]
    advice = unique([f"{one['code']}: {one['advice']}" for one in reasons])
    if advice:
        lines += ["", "WHAT TO DO", *advice]
    sources = unique([f"{one['code']}: {one['source']}" for one in reasons if one["source"]])
    if sources:
        lines += ["", "KNOWN FROM", *sources]
    repairs = unique([one["task"] for one in reasons if one["task"]])
    if tasks and repairs:
        lines += ["", "TASKS", yaml.safe_dump(repairs, sort_keys=False, width=110).rstrip()]
    return "\n".join(lines)


def readiness_table(value: Any, tasks: bool = False) -> str:
    """The table of what criu_info returned."""
    readiness = value.get("readiness", value) if isinstance(value, Mapping) else None
    try:
        if not isinstance(readiness, Mapping) or not readiness:
            raise TypeError("it is no dictionary with answers")
        return render(readiness, tasks)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(
            f"readiness_table takes the criu_info that the module criu.hosts.criu_info returns: {error}"
        ) from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"readiness_table": readiness_table}
