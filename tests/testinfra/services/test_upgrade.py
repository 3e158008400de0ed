# SPDX-License-Identifier: GPL-3.0-or-later
"""An upgrade that fails half-way leaves nothing behind."""

from __future__ import annotations

from typing import Any, Callable

import pytest


@pytest.fixture(scope="module")
def broken(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The state before and after an upgrade whose 'occ upgrade' failed after it had altered a table."""
    return seen_by("../services/upgrade.yml")


def test_the_failure_is_reported(broken: dict[str, Any]) -> None:
    message = broken["message"]
    assert "from 31.0.10 to 32.0.1 failed, and the state before it was restored" in message
    assert "Upgrade | Run the upgrade" in message and "migration 32 for app core" in message
    assert broken["record"]["phase"] == "rolled_back"


@pytest.mark.parametrize("what", ["id", "image", "image_name", "label"])
def test_container_is_the_same(broken: dict[str, Any], what: str) -> None:
    assert broken["after"][what] == broken["before"][what]


def test_its_memory_is_kept(broken: dict[str, Any]) -> None:
    """The counter exists only in FPM's memory: in a new container it would begin at one."""
    before, after = broken["session_before"]["memory"], broken["session_after"]["memory"]
    assert broken["after"]["restored"] is True
    assert before >= 3 and after == before + 1


def test_database_is_the_same(broken: dict[str, Any]) -> None:
    assert len(broken["before"]["database"]) > 50
    assert broken["after"]["database"] == broken["before"]["database"]


def test_volumes_are_the_same(broken: dict[str, Any]) -> None:
    """Names, modes, owners, times, SELinux labels and contents, except for the socket, which a restore recreates."""
    ((folder, before),) = broken["before"]["folders"].items()
    before, after = (
        {name: what for name, what in tree.items() if name.split("/")[0] != "fpm"}
        for tree in (before, broken["after"]["folders"][folder])
    )
    assert {"html/version.php", "config/config.php", "data", "apps"} <= set(before)
    assert {name: after.get(name) for name in before if after.get(name) != before[name]} == {}
    assert set(after) - set(before) == set()


def test_session_continues(broken: dict[str, Any]) -> None:
    before, after = broken["session_before"], broken["session_after"]
    assert broken["status_after"] == 200
    assert after["user"] == before["user"] and after["session"] == before["session"]
    assert after["count"] == before["count"] + 1
    assert after["version"] == "31.0.10"
