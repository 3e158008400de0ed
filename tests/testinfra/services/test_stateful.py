# SPDX-License-Identifier: GPL-3.0-or-later
"""Stateful units on a real host: the state through stop and start, failures, and the view of systemd and the journal.

Reboots are tested in test_reboot.py.
"""

from __future__ import annotations

from typing import Any, Callable

import pytest

UNITS = ("lab-stateful", "lab-stateful-crun")
LIMITS = [str(128 << 20), "50"]


@pytest.fixture(scope="module", name="report")
def report_fixture(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return seen_by("../services/stateful.yml")


@pytest.fixture(scope="module", name="seen")
def seen_fixture(report: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = report["seen"]
    return found


def require_running(step: dict[str, Any], name: str) -> None:
    """Check that systemd knows the main process, and that limits, order and labels are those of the unit."""
    assert step["unit"]["ActiveState"] == "active"
    assert step["conmon"] == "conmon"
    assert step["conmon_cgroup"] == step["unit"]["ControlGroup"] == f"/system.slice/{name}.service"
    assert step["limits"] == LIMITS
    assert step["scope"]["Before"] == f"{name}.service"
    assert step["processes"] == 1
    assert len(step["threads"]) == 4
    assert {label.split(":")[2] for dummy, label in step["threads"]} == {"container_t"}


def require_the_same_state(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert after["threads"] == before["threads"], "thread ids in the container, and labels"
    assert all(now >= then > 0 for then, now in zip(before["counters"], after["counters"]))


def test_units_are_started_once(report: dict[str, Any]) -> None:
    assert [entry["container_unit"]["stateful"] for entry in report["started"]] == [True, True, True]
    assert report["again"]["changed"] is False


@pytest.mark.parametrize("name", UNITS)
def test_running_unit(seen: dict[str, Any], name: str) -> None:
    started = seen[name]["started"]
    require_running(started, name)
    assert started["last"]["action"] == "fresh"


@pytest.mark.parametrize("name", UNITS)
def test_stop_dumps_and_nothing_restarts_the_unit(seen: dict[str, Any], name: str) -> None:
    stopped = seen[name]["stopped"]
    assert stopped["rc"] == 0
    assert stopped["unit"]["ActiveState"] == "inactive"
    assert stopped["unit"]["Result"] == "success"
    assert stopped["unit"]["NRestarts"] == "0"
    assert stopped["processes"] == 0
    assert stopped["last"]["action"] == "dumped"
    assert stopped["last"]["size_bytes"] > 1 << 20
    assert any(line.startswith(f"Container '{name}' was dumped") for line in stopped["journal"])


@pytest.mark.parametrize("name", UNITS)
def test_start_restores_the_state(seen: dict[str, Any], name: str) -> None:
    restored = seen[name]["restored"]
    require_running(restored, name)
    require_the_same_state(seen[name]["started"], restored)
    assert restored["last"]["action"] == "restored"
    assert restored["last"]["label_proof"] == "enforcing"
    assert restored["last"]["previous"]["action"] == "dumped"
    assert restored["unit"]["InvocationID"] != seen[name]["started"]["unit"]["InvocationID"]
    assert any(line.startswith("thread ") for line in restored["journal"]), "the container's own lines, after it"


def test_restart_keeps_the_state(seen: dict[str, Any]) -> None:
    restarted = seen["lab-stateful"]["restarted"]
    assert restarted["rc"] == 0
    require_running(restarted, "lab-stateful")
    require_the_same_state(seen["lab-stateful"]["restored"], restarted)
    assert restarted["last"]["action"] == "restored"
    assert restarted["unit"]["NRestarts"] == "0"


def test_killed_container_is_restarted_once(seen: dict[str, Any]) -> None:
    killed = seen["lab-stateful"]["killed"]
    require_running(killed["after"], "lab-stateful")
    assert any("ended on its own with status 137" in line for line in killed["journal"])
    assert killed["after"]["unit"]["NRestarts"] == "1"
    assert killed["after"]["last"]["action"] == "fresh"
    assert max(killed["after"]["counters"]) < min(killed["before"]["counters"])


def test_unusable_checkpoint_can_be_refused(seen: dict[str, Any]) -> None:
    unusable = seen["lab-stateful"]["unusable"]
    assert unusable["refused"]["rc"] != 0
    assert unusable["refused"]["processes"] == 0
    assert unusable["refused"]["last"]["action"] == "refused"
    assert any("Cannot restore container 'lab-stateful'" in line for line in unusable["refused"]["journal"])
    require_running(unusable["whole_again"], "lab-stateful")
    assert unusable["whole_again"]["last"]["action"] == "restored"
    require_the_same_state(seen["lab-stateful"]["killed"]["after"], unusable["whole_again"])


def test_unusable_checkpoint_is_kept_aside(seen: dict[str, Any]) -> None:
    unusable = seen["lab-stateful"]["unusable"]
    assert unusable["fresh"]["rc"] == 0
    require_running(unusable["fresh"], "lab-stateful")
    assert unusable["fresh"]["last"]["action"] == "fresh"
    assert unusable["fresh"]["last"]["aside"].startswith("/var/lib/criu-hosts/aside/lab-stateful/")
    assert {"inventory.img", "pages-1.img"} <= set(unusable["aside"])
    assert any("The checkpoint is kept in" in line for line in unusable["fresh"]["journal"])


def test_container_that_cannot_be_dumped_is_stopped_cleanly(seen: dict[str, Any]) -> None:
    stopped = seen["lab-locked"]["stopped"]
    assert stopped["rc"] == 0
    assert stopped["unit"]["ActiveState"] == "inactive"
    assert stopped["processes"] == 0
    assert (stopped["last"]["action"], stopped["last"]["reason"]) == ("clean_stop", "file_locks_needed")
    assert any("The unit is stopped without its state." in line for line in stopped["journal"])


def test_module_does_not_end_the_container_of_an_active_unit(report: dict[str, Any]) -> None:
    assert report["refused"]["reason"] == "unit_managed"
    assert "lab-stateful.service" in report["refused"]["msg"]


def test_a_changed_unit_recreates_the_container(report: dict[str, Any]) -> None:
    assert report["changed"]["changed"] is True
    (unit,) = report["listed"]
    assert unit["state"] == "active"
    assert unit["last"]["action"] == "fresh"
    assert "description" in unit["last"]["why"]


def harmless(denial: str) -> bool:
    """Return whether a denial is one of two that have no effect.

    The generator that daemon-reload runs may not search /run/containers/systemd, and works without it. conmon may not
    inherit the output of the unit's program, and uses the output that Podman gives it.
    """
    inherited = 'comm="conmon"' in denial and "{ use }" in denial and ":initrc_t:" in denial
    return inherited or "scontext=system_u:system_r:systemd_generator_t" in denial


def test_selinux_denied_nothing_else(report: dict[str, Any]) -> None:
    assert [line for line in report["denials"] if not harmless(line)] == []
