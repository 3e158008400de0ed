# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: what became of the stateful units of a host through a reboot, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

Unit = Mapping[str, Any]


def last_of(unit: Unit) -> Mapping[str, Any]:
    """What the unit wrote down at its last start or stop."""
    return unit["last"] or {}


def is_dumped(unit: Unit) -> bool:
    return last_of(unit).get("action") == "dumped"


# What container_restore says of the comparison, in a word for the table; without SELinux there is nothing to compare.
PROOFS = {"enforcing": "same", "permissive": "same", "selinux_disabled": "none"}


def labels_of(last: Mapping[str, Any]) -> str:
    """Whether every thread has the label that it had."""
    if last["label_proof"] == "label_changed" or any(one["before"] != one["after"] for one in last["labels"]):
        return "changed"
    return PROOFS.get(last["label_proof"], "not proved")


def why_not(unit: Unit, action: str | None, labels: str | None) -> str:
    """What is not as it should be; empty if all is."""
    if unit["state"] != "active":
        return f"it is {unit['state']}"
    if action != "restored":
        return last_of(unit).get("why") or "it was not restored"
    return "" if labels in PROOFS.values() else f"its labels are {labels}"


def row_of(planned: Mapping[str, Any], stopped: Unit, unit: Unit) -> dict[str, Any]:
    """One unit: how it was stopped, how it came back, how long it was away."""
    before, after = last_of(stopped), last_of(unit)
    if after.get("began") == before.get("began"):
        after = {}  # still the record of the stop: it did not start
    action = after.get("action")
    labels = labels_of(after) if action == "restored" else None
    down = after["began"] + after["seconds"] - before["began"] if before and after else None
    return {
        "name": unit["name"],
        "expected": planned["expected"],
        "state": unit["state"],
        "came_back": action,
        "labels": labels,
        "size_bytes": before.get("size_bytes"),
        "dump_seconds": before["seconds"] if is_dumped(stopped) else None,
        "restore_seconds": after["seconds"] if action == "restored" else None,
        "down_seconds": round(down, 1) if down is not None else None,
        "problem": why_not(unit, action, labels),
    }


def reboot_report(units: Any, plan: Any = None, stopped: Any = ()) -> list[dict[str, Any]]:
    """The rows of the units that were stopped, in the order of the plan."""
    try:
        now, then = ({one["name"]: one for one in some} for some in (units, stopped))
        rows = [row for row in plan["units"] if row["name"] in plan["stop"]]
        return [row_of(row, then[row["name"]], now[row["name"]]) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(
            "reboot_report takes the units that the module criu.hosts.container_unit_info returns, those that it "
            f"returned when they were stopped, and what the filter reboot_plan returns: {error!r}"
        ) from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        return {"reboot_report": reboot_report}
