# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.filter import reboot_plan

READY = {"reasons": [], "readiness": {"container": {"ready": True, "reasons": []}}}
ROOM = 1 << 40
# redis <- app <- web by way of a unit that is none of ours; a timer that systemd stops with app.
SHOWN = """\
Id=redis.service
After=network.target sysinit.target
ActiveState=active
RequiredBy=

Id=bridge.service
After=redis.service
ActiveState=active

Id=app.service
After=bridge.service
ActiveState=active
BoundBy=jobs.timer idle.timer

Id=jobs.timer
After=app.service
ActiveState=active
ConsistsOf=watch.service

Id=watch.service
ActiveState=active

Id=idle.timer
ActiveState=inactive
"""


def unit(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "state": "active",
        "enabled": True,
        "stateful": True,
        "memory_bytes": 1 << 20,
        "restart_due": False,
        **more,
    }


def plan(units: Any, **options: Any) -> dict[str, Any]:
    given = {"shown": SHOWN, "criu_info": READY, "free_bytes": ROOM, **options}
    found: dict[str, Any] = reboot_plan.FilterModule().filters()["reboot_plan"](units, **given)
    return found


def expected(found: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["expected"] for row in found["units"]}


ORDERS = [
    pytest.param([], [], id="none"),
    pytest.param(["redis", "app"], ["app", "redis"], id="by-way-of-another-unit"),
    pytest.param(["b", "a", "c"], ["a", "b", "c"], id="by-name-where-systemd-has-none"),
    pytest.param(["redis", "app", "a"], ["app", "a", "redis"], id="both"),
]


@pytest.mark.parametrize("names, order", ORDERS)
def test_order(names: list[str], order: list[str]) -> None:
    found = plan([unit(name) for name in names])
    assert found["stop"] == order
    assert [row["name"] for row in found["units"]] == found["stop"]
    assert found["lost"] == []


def test_what_systemd_stops_together_with_them() -> None:
    assert plan([unit("app")])["dependents"] == ["jobs.timer", "watch.service"]
    assert plan([unit("redis")])["dependents"] == []


def test_a_circle_is_refused_by_name() -> None:
    shown = "Id=a.service\nAfter=b.service\n\nId=b.service\nAfter=a.service\n"
    with pytest.raises(AnsibleFilterError, match=r"wait for each other.*(a|b)\.service -> (a|b)\.service"):
        plan([unit("a"), unit("b")], shown=shown)


def test_expectations() -> None:
    units = [unit("redis"), unit("plain", stateful=False), unit("off", state="inactive"), unit("bad", state="failed")]
    found = plan(units)
    assert expected(found) == {"redis": "restored", "plain": "fresh", "off": "at rest", "bad": "at rest"}
    assert found["stop"] == ["redis"]


def test_a_checkpoint_whose_restore_would_be_refused_is_a_loss() -> None:
    risk = {"reason": "host_mounts_at_risk", "message": "runc would unmount it."}
    checked = [
        {"item": unit("app"), "statistics": {"written_pages": 1}, "restore_risks": [risk], "failed": False},
        {"item": unit("redis"), "statistics": {"written_pages": 1}, "restore_risks": [], "failed": False},
    ]
    found = plan([unit("app"), unit("redis")], checked=checked)
    assert found["lost"] == ["app"]
    assert found["units"][0]["reasons"] == [{"code": "host_mounts_at_risk", "message": "runc would unmount it."}]


def test_a_refused_checkpoint_is_a_loss() -> None:
    checked = [
        {"item": unit("app"), "reason": "tcp_established_needed", "msg": "It has connections.", "failed": False},
        {"item": unit("redis"), "checkpoint": {}, "failed": False},
    ]
    found = plan([unit("app"), unit("redis")], checked=checked)
    assert found["lost"] == ["app"]
    assert found["units"][0]["reasons"] == [{"code": "tcp_established_needed", "message": "It has connections."}]
    assert found["units"][1]["reasons"] == []


def test_a_paused_container_is_no_loss_because_the_stop_of_its_unit_unpauses_it() -> None:
    checked = [{"item": unit("app"), "reason": "container_paused", "msg": "It is paused.", "failed": False}]
    assert plan([unit("app")], checked=checked)["lost"] == []


def test_a_unit_that_was_changed_loses_its_state() -> None:
    found = plan([unit("redis", restart_due=True), unit("plain", stateful=False, restart_due=True)])
    assert found["lost"] == ["redis"]
    assert [row["reasons"] and row["reasons"][0]["code"] for row in found["units"]] == ["restart_due", []]


def not_ready(*reasons: dict[str, Any]) -> dict[str, Any]:
    """What criu_info returns for a host with these reasons against containers."""
    codes = [one["code"] for one in reasons]
    return {"reasons": list(reasons), "readiness": {"container": {"ready": False, "reasons": codes}}}


def test_a_host_that_is_not_ready_loses_all_that_is_stateful() -> None:
    info = not_ready(
        {"code": "policy_missing", "message": "No rules.", "level": "blocks", "only_warns": []},
        {"code": "clone3_missing", "message": "No clone3.", "level": "blocks", "only_warns": ["container"]},
        {"code": "kdat_stale", "message": "Old.", "level": "warns", "only_warns": []},
    )
    info["reasons"].append({"code": "dirty_tracking_missing", "message": "x", "level": "blocks", "only_warns": []})
    found = plan([unit("redis"), unit("plain", stateful=False)], criu_info=info)
    assert expected(found) == {"redis": "lost", "plain": "fresh"}
    assert found["units"][0]["reasons"] == [{"code": "policy_missing", "message": "No rules."}]


def test_what_was_really_dumped_needs_no_ready_host() -> None:
    """A container on the host's network is dumped without the network lock that criu_info misses."""
    info = not_ready({"code": "network_lock_missing", "message": "No iptables.", "level": "blocks", "only_warns": []})
    checked = [
        {"ansible_loop_var": "box", "box": unit("redis"), "statistics": {"frozen_microseconds": 9}},
        {"item": unit("app"), "statistics": {}},
    ]
    assert plan([unit("redis"), unit("app")], criu_info=info, checked=checked)["lost"] == ["app"]


def test_room_is_given_in_the_order_of_the_stops() -> None:
    """Units need space in the order of their stops; a unit that is lost anyway needs none."""
    units = [unit("a"), unit("b", memory_bytes=100 << 20), unit("c"), unit("d")]
    checked = [{"item": unit("a"), "reason": "auto_remove", "msg": "Made with --rm."}]
    found = plan(units, checked=checked, free_bytes=60 << 20)
    assert expected(found) == {"a": "lost", "b": "lost", "c": "restored", "d": "restored"}
    assert [row["reasons"][0]["code"] for row in found["units"][:2]] == ["auto_remove", "disk_full"]
    assert found["units"][1]["reasons"][0]["message"] == (
        f"A checkpoint of b may need {116 << 20} bytes; {60 << 20} are free at that point."
    )
    assert plan(units, free_bytes=20 << 20)["lost"] == ["b", "c", "d"]


@pytest.mark.parametrize("value", [[{}], [None], 3, None], ids=str)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"Cannot plan the reboot: .*Use the units of the module criu\.hosts"):
        plan(value)


def test_documentation_names_the_options() -> None:
    file = Path(reboot_plan.__file__).with_suffix(".yml")
    described = yaml.safe_load(file.read_text(encoding="utf-8"))["DOCUMENTATION"]
    assert described["name"] == file.stem
    assert set(described["options"]) == {"_input", "shown", "checked", "criu_info", "free_bytes"}
