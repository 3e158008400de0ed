# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: shows the readiness of a host, as criu_info returns it, in a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

import yaml
from ansible.errors import AnsibleFilterError
from ansible.parsing.yaml.dumper import AnsibleDumper

HEAD = ("INTENT", "READY", "WHY")
WORDS = {True: "yes", False: "no", None: "?"}


def row_of(intent: str, answer: Mapping[str, Any]) -> tuple[str, str, str]:
    """Returns the line of an intent, with warnings in parentheses."""
    codes = [one["code"] if one["level"] != "warns" else f"({one['code']})" for one in answer["reasons"]]
    return intent, WORDS[answer["ready"]], " ".join(unique(codes))


def unique(values: list[Any]) -> list[Any]:
    """Returns the values without duplicates, in their order."""
    return [value for number, value in enumerate(values) if value not in values[:number]]


def explain(reason: Mapping[str, Any]) -> str:
    """Returns the message, the advice and the source of a reason."""
    source = [f"  Known from {reason['source']}"] if reason["source"] else []
    return "\n".join([f"{reason['code']}: {reason['message']}", f"  {reason['advice']}", *source])


def render(readiness: Mapping[str, Any], tasks: bool) -> str:
    """Renders the table, the reasons and, if wanted, the tasks."""
    rows = [HEAD, *(row_of(intent, answer) for intent, answer in readiness.items())]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{intent:{widths[0]}}  {ready:{widths[1]}}  {why}".rstrip() for intent, ready, why in rows]
    reasons = [one for answer in readiness.values() for one in answer["reasons"]]
    explained = unique([explain(one) for one in reasons])
    if explained:
        lines += ["", *explained]
    repairs = unique([one["task"] for one in reasons if one["task"]])
    if tasks and repairs:
        lines += ["", "TASKS", yaml.dump(repairs, Dumper=AnsibleDumper, sort_keys=False, width=110).rstrip()]
    return "\n".join(lines)


def readiness_table(value: Any, tasks: bool = False) -> str:
    """Returns the table for a result of criu_info."""
    readiness = value.get("readiness", value) if isinstance(value, Mapping) else None
    try:
        if not isinstance(readiness, Mapping) or not readiness:
            raise TypeError("the value has no readiness")
        return render(readiness, tasks)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(
            f"Cannot render the readiness: {error}. Use the key criu that the module criu.hosts.criu_info returns."
        ) from error


class FilterModule:
    """Provides the filter of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"readiness_table": readiness_table}
