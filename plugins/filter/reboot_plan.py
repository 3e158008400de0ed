# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible filter: plans the order in which units are stopped for a reboot, and lists those that lose their state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.module_utils._host.resources import RESERVE_BYTES

# systemd stops the units in these properties together with a unit: inverse of Requires, BindsTo, Requisite and PartOf.
STOPPED_TOGETHER = ("RequiredBy", "BoundBy", "RequisiteOf", "ConsistsOf")
RESTORED = "restored"
LOST = "lost"
FRESH = "fresh"
AT_REST = "at rest"

Unit = Mapping[str, Any]
Reason = dict[str, str]


def service(name: str) -> str:
    """Returns the unit of a container."""
    return f"{name}.service"


def parse_shown(text: str) -> dict[str, dict[str, str]]:
    """Returns the properties of each unit from ``systemctl show``, which separates units with a blank line."""
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.strip().split("\n\n")
    ]
    return {block["Id"]: block for block in blocks if "Id" in block}


def relations(shown: Mapping[str, Mapping[str, str]], properties: Iterable[str]) -> dict[str, set[str]]:
    """Returns the units that are listed in the properties of each unit."""
    wanted = tuple(properties)
    return {name: {one for key in wanted for one in unit.get(key, "").split()} for name, unit in shown.items()}


def reachable(edges: Mapping[str, set[str]], start: str) -> set[str]:
    """Returns all units that can be reached from ``start``, directly or indirectly."""
    seen: set[str] = set()
    left = list(edges.get(start, ()))
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            left += edges.get(one, ())
    return seen


def dependents(order: Iterable[str], shown: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Returns the other running units that systemd stops together with these."""
    edges = relations(shown, STOPPED_TOGETHER)
    along = {one for name in order for one in reachable(edges, name)} - set(order)
    return sorted(one for one in along if shown.get(one, {}).get("ActiveState") == "active")


def stop_order(names: Iterable[str], after: Mapping[str, set[str]]) -> list[str]:
    """Returns the units in reverse start order; sorted by name if systemd defines no order."""
    wanted = sorted(set(names))
    sorter = TopologicalSorter({one: reachable(after, one) & set(wanted) - {one} for one in wanted})
    try:
        sorter.prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise AnsibleFilterError(
            f"Cannot order the units: they wait for each other ({circle}), so systemd ignores one of the orderings. "
            "Remove one of these After= or Before=."
        ) from error
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), reverse=True)
        order += ready
        sorter.done(*ready)
    return order[::-1]


def reason(code: str, message: str) -> Reason:
    """Returns a reason why a unit loses its state."""
    return {"code": code, "message": message}


def host_reasons(criu_info: Mapping[str, Any]) -> list[Reason]:
    """Returns the reasons that block a checkpoint of any container on this host."""
    codes = criu_info["readiness"]["container"]["reasons"]
    return [
        reason(one["code"], one["message"])
        for one in criu_info["reasons"]
        if one["code"] in codes and one["level"] == "blocks" and "container" not in one["only_warns"]
    ]


def unit_of(result: Mapping[str, Any]) -> str:
    """Returns the name of the unit that a result of the loop belongs to."""
    return str(result[result.get("ansible_loop_var", "item")]["name"])


def refusals(checked: Iterable[Mapping[str, Any]]) -> dict[str, list[Reason]]:
    """Returns the reasons for which container_checkpoint refused or failed, or a restore would, by unit.

    A paused container is none: the stop of its unit unpauses it before the dump.
    """
    found: dict[str, list[Reason]] = {}
    for one in checked:
        if one.get("reason") == "container_paused":
            continue
        if "reason" in one:
            found[unit_of(one)] = [reason(one["reason"], one["msg"])]
        elif one.get("restore_risks"):
            found[unit_of(one)] = [reason(risk["reason"], risk["message"]) for risk in one["restore_risks"]]
    return found


def rehearsed(checked: Iterable[Mapping[str, Any]]) -> set[str]:
    """Returns the units that were actually dumped, which proves that they can be. Check mode has no statistics."""
    return {unit_of(one) for one in checked if one.get("statistics")}


def own_reasons(unit: Unit) -> list[Reason]:
    """Returns the reasons that result from the unit itself."""
    if not unit["restart_due"]:
        return []
    text = f"{unit['name']} was changed and its container not yet recreated, so a stop discards its state. Restart it."
    return [reason("restart_due", text)]


def without_room(order: Iterable[str], memory: Mapping[str, int], free: int) -> dict[str, list[Reason]]:
    """Returns the units whose checkpoints do not fit on disk in addition to the earlier ones."""
    found: dict[str, list[Reason]] = {}
    for name in order:
        needed = memory[name] + RESERVE_BYTES
        if needed > free:
            text = f"A checkpoint of {name} may need {needed} bytes; {free} are free at that point."
            found[name] = [reason("disk_full", text)]
        else:
            free -= needed
    return found


def row_of(unit: Unit, reasons: list[Reason]) -> dict[str, Any]:
    """Returns what the reboot means for one unit."""
    if unit["state"] != "active":
        expected = AT_REST
    elif not unit["stateful"]:
        expected = FRESH
    else:
        expected = LOST if reasons else RESTORED
    return {
        "name": unit["name"],
        "state": unit["state"],
        "enabled": unit["enabled"],
        "expected": expected,
        "memory_bytes": unit["memory_bytes"],
        "reasons": reasons if expected == LOST else [],
    }


def plan(
    units: list[Unit], text: str, checked: list[Mapping[str, Any]], criu_info: Mapping[str, Any], free: int
) -> dict[str, Any]:
    """Plans the stops and the result for each unit."""
    running = {one["name"]: one for one in units if one["stateful"] and one["state"] == "active"}
    shown = parse_shown(text)
    order = [name.removesuffix(".service") for name in stop_order(map(service, running), relations(shown, ("After",)))]
    general, refused = host_reasons(criu_info), refusals(checked)
    proved = rehearsed(checked)
    reasons = {
        name: [*([] if name in proved else general), *own_reasons(one), *refused.get(name, [])]
        for name, one in ((one["name"], one) for one in units)
    }
    able = [name for name in order if not reasons[name]]
    room = without_room(able, {name: running[name]["memory_bytes"] or 0 for name in able}, free)
    rows = [row_of(one, reasons[one["name"]] + room.get(one["name"], [])) for one in units]
    rank = {name: number for number, name in enumerate(order)}
    rows.sort(key=lambda row: (rank.get(row["name"], len(rank)), row["name"]))
    lost = [row["name"] for row in rows if row["expected"] == LOST]
    return {
        "stop": order,
        "dependents": dependents([service(name) for name in order], shown),
        "lost": lost,
        "units": rows,
    }


def reboot_plan(
    units: Any, shown: str = "", checked: Any = (), criu_info: Any = None, free_bytes: Any = 0
) -> dict[str, Any]:
    """Returns the plan of a reboot."""
    try:
        return plan(list(units), shown, list(checked), criu_info, int(free_bytes))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(
            f"Cannot plan the reboot: the input is invalid ({error!r}). Use the units of the module "
            "criu.hosts.container_unit_info, the output of systemctl show, the results of container_checkpoint, the "
            "key criu of criu_info and a number of bytes."
        ) from error


class FilterModule:
    """Provides the filter of this file."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"reboot_plan": reboot_plan}
