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


def only_warns(reason: Mapping[str, Any], intent: str) -> bool:
    return reason["level"] == "warns" or intent in reason["only_warns"]


def row_of(intent: str, answer: Mapping[str, Any], reasons: Mapping[str, Any]) -> tuple[str, str, str]:
    """Returns the line of an intent, with warnings in parentheses."""
    codes = [f"({code})" if only_warns(reasons[code], intent) else code for code in answer["reasons"]]
    return intent, WORDS[answer["ready"]], " ".join(codes)


def explain(reason: Mapping[str, Any]) -> str:
    """Returns the message, the advice and the sources of a reason."""
    sources = [f"  Known from {source}" for source in reason["sources"]]
    return "\n".join([f"{reason['code']}: {reason['message']}", f"  {reason['advice']}", *sources])


def render(readiness: Mapping[str, Any], reasons: list[Any], tasks: bool) -> str:
    """Renders the table, the reasons and, if wanted, the tasks."""
    by_code = {one["code"]: one for one in reasons}
    rows = [HEAD, *(row_of(intent, answer, by_code) for intent, answer in readiness.items())]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{intent:{widths[0]}}  {ready:{widths[1]}}  {why}".rstrip() for intent, ready, why in rows]
    if reasons:
        lines += ["", *map(explain, reasons)]
    found = [one["task"] for one in reasons if one["task"]]
    repairs = [task for number, task in enumerate(found) if task not in found[:number]]
    if tasks and repairs:
        lines += ["", "TASKS", yaml.dump(repairs, Dumper=AnsibleDumper, sort_keys=False, width=110).rstrip()]
    return "\n".join(lines)


def readiness_table(value: Any, tasks: bool = False) -> str:
    """Returns the table for a result of criu_info."""
    try:
        return render(value["readiness"], value["reasons"], tasks)
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(
            f"Cannot render the readiness: the value has none ({error!r}). Use the key criu that the module "
            "criu.hosts.criu_info returns if its gather includes readiness."
        ) from error


class FilterModule:
    """Provides the filter of this file."""

    def filters(self) -> dict[str, Callable[..., str]]:
        return {"readiness_table": readiness_table}
