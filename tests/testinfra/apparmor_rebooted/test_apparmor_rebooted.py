# SPDX-License-Identifier: GPL-3.0-or-later
"""What was dumped before a reboot comes back after it, although podman's profile is no longer loaded then."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from matrix_checks import APPARMOR

RUNTIMES = ("runc", "crun")
CONTAINERS = [f"left-{way}{runtime}" for way in ("", "archive-") for runtime in RUNTIMES]
UNITS = [f"left-unit-{runtime}" for runtime in RUNTIMES]


@pytest.fixture(scope="module")
def seen(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The observations before and after, and the answers of the restores."""
    return seen_by("../apparmor_rebooted/restore.yml")


def test_the_profile_had_to_be_loaded_again(seen: dict[str, Any]) -> None:
    """The units that start at the boot have loaded it; it was unloaded for the restores of this test."""
    assert seen["unloaded"] != []
    assert all(name.startswith("containers-default-") for name in seen["unloaded"])


@pytest.mark.parametrize("name", [*CONTAINERS, *UNITS])
def test_every_thread_is_back_in_its_profile(seen: dict[str, Any], name: str) -> None:
    before, after = seen["before"][name], seen["after"][name]
    assert len(before["threads"]) >= 4
    assert after["threads"] == before["threads"]
    assert all(APPARMOR.fullmatch(thread["label"]) for thread in after["threads"])


@pytest.mark.parametrize("name", [*CONTAINERS, *UNITS])
def test_every_thread_continues_to_count(seen: dict[str, Any], name: str) -> None:
    before, after = seen["before"][name]["counters"], seen["after"][name]["counters"]
    assert len(before) == 4
    assert all(after[number] >= before[number] for number in before)


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_task_proves_the_profile_and_check_mode_predicts_it(seen: dict[str, Any], name: str) -> None:
    restored, predicted = seen["restored"][name], seen["predicted"][name]
    assert restored["label_proof"] == "apparmor"
    assert predicted["changed"] is restored["changed"] is True
    assert predicted["commands"] == restored["commands"]


def test_the_first_restore_loads_the_profile(seen: dict[str, Any]) -> None:
    commands = [" ".join(one) for one in seen["restored"][CONTAINERS[0]]["commands"]]
    assert any(one.startswith("podman init criu-hosts-profile-") for one in commands)


@pytest.mark.parametrize("name", UNITS)
def test_the_units_have_kept_their_state_over_the_boot(host: Any, name: str) -> None:
    assert host.check_output(f"systemctl is-active {name}.service") == "active"
    journal = host.check_output(f"journalctl --boot --no-pager --output cat --unit {name}.service")
    assert "restored" in journal
