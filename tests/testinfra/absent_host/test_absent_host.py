# SPDX-License-Identifier: GPL-3.0-or-later
"""state: absent leaves a host as it was before (make molecule SCENARIO=absent_host)."""

from __future__ import annotations

from typing import Any, Callable

import pytest

# libsemanage creates a folder for a priority and keeps it when it is empty.
LEFT = {"/var/lib/selinux/default/active/modules/400"}
OURS = {"criu_container_restore", "unconfined_dyntrans_all"}


@pytest.fixture(scope="module")
def removal(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The host before, when enabled, and after the removal."""
    return seen_by("removal.yml")


def changed(removal: dict[str, Any], what: str, moment: str) -> dict[str, Any]:
    """Return the differences from before: name, then both values."""
    before, then = removal["before"][what], removal[moment][what]
    names = sorted(name for name in {*before, *then} if before.get(name) != then.get(name))
    return {name: (before.get(name), then.get(name)) for name in names}


def test_the_host_was_enabled(removal: dict[str, Any]) -> None:
    assert set(changed(removal, "booleans", "enabled")) == OURS
    assert any("criu_hosts" in line for line in removal["enabled"]["modules"])
    assert "/usr/local/sbin/criu" in changed(removal, "files", "enabled")


def test_the_policy_modules_are_the_same_as_before(removal: dict[str, Any]) -> None:
    assert removal["after"]["modules"] == removal["before"]["modules"]


@pytest.mark.parametrize("what", ["booleans", "labels", "files"])
def test_nothing_else_differs(removal: dict[str, Any], what: str) -> None:
    assert set(changed(removal, what, "after")) - LEFT == set()


def test_diversions_are_the_same_as_before(removal: dict[str, Any]) -> None:
    assert removal["after"]["diversions"] == removal["before"]["diversions"]


def test_no_package_is_missing(removal: dict[str, Any]) -> None:
    assert set(removal["before"]["packages"]) <= set(removal["after"]["packages"])
