# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: reports how the stateful units of a host came back from a reboot, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

Unit = Mapping[str, Any]


def last_of(unit: Unit) -> Mapping[str, Any]:
    """Returns the record of the last start or stop of the unit."""
    return unit["last"] or {}


def is_dumped(unit: Unit) -> bool:
    """Returns whether the last action of the unit was a dump."""
    return last_of(unit).get("action") == "dumped"


# The result of container_restore's comparison as a word for the table; without an LSM there is nothing to compare.
PROOFS = {"enforcing": "same", "permissive": "same", "apparmor": "same", "selinux_disabled": "none"}


def labels_of(last: Mapping[str, Any]) -> str:
    """Returns whether every thread has the same label as before."""
    if last["label_proof"] == "label_changed" or any(one["before"] != one["after"] for one in last["labels"]):
        return "changed"
    return PROOFS.get(last["label_proof"], "not proved")


def why_not(unit: Unit, action: str | None, labels: str | None) -> str:
    """Returns the problem with the unit; empty if there is none."""
    if unit["state"] != "active":
        return f"it is {unit['state']}"
    if action != "restored":
        return last_of(unit).get("why") or "it was not restored"
    return "" if labels in PROOFS.values() else f"its labels are {labels}"


def row_of(planned: Mapping[str, Any], stopped: Unit, unit: Unit) -> dict[str, Any]:
    """Returns how a unit was stopped, how it came back and how long it was down."""
    before, after = last_of(stopped), last_of(unit)
    if after.get("began") == before.get("began"):
        after = {}  # still the record of the stop, so the unit did not start
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
    """Returns the rows of the stopped units, in the order of the plan."""
    try:
        now, then = ({one["name"]: one for one in some} for some in (units, stopped))
        rows = [row for row in plan["units"] if row["name"] in plan["stop"]]
        return [row_of(row, then[row["name"]], now[row["name"]]) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(
            f"Cannot report the reboot: the input is invalid ({error!r}). Use the units of the module "
            "criu.hosts.container_unit_info now and when they were stopped, and the result of the filter reboot_plan."
        ) from error


class FilterModule:
    """Provides the filter of this file."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        return {"reboot_report": reboot_report}
