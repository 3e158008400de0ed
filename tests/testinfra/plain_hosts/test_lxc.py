# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of LXC on a host of Debian 13, with the real lxc-checkpoint, its monitor, and CRIU."""

from __future__ import annotations

from typing import Any, Callable

import pytest


@pytest.fixture(scope="module")
def seen(host: Any, seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What was seen of a container that was dumped and restored."""
    if host.backend.get_hostname() != "node-trixie":
        pytest.skip("Debian 12 has LXC 5, which the role does not support")
    return seen_by("../plain_hosts/lxc.yml")


def test_a_container_as_a_template_makes_it_is_refused(seen: dict[str, Any]) -> None:
    assert seen["refused"]["reason"] == "console_needed"
    assert "role criu.hosts.lxc_checkpoint" in seen["refused"]["msg"]


def test_the_role_names_the_containers_to_restart(seen: dict[str, Any]) -> None:
    assert seen["restart"] == ["counter"]
    assert seen["early"]["reason"] == "ability_missing" and seen["early"]["msg"].endswith("Restart it.")


@pytest.mark.parametrize("name", ["place", "restored"])
def test_check_mode_predicts_the_task_and_a_second_run_is_ok(seen: dict[str, Any], name: str) -> None:
    assert seen[f"{name}_checked"]["commands"] == seen[name]["commands"] != []
    assert seen[f"{name}_checked"]["changed"] is seen[name]["changed"] is True
    assert seen[f"{name}_again"]["changed"] is False


def test_a_restore_keeps_the_limit_of_devices(seen: dict[str, Any]) -> None:
    """LXC alone restores the container without it (lxc/lxc#4643)."""
    before, after = seen["denied"]
    assert before != 0 and after != 0


def test_a_restored_container_is_saved_again_and_continues_from_the_store(seen: dict[str, Any]) -> None:
    assert seen["restored"]["restore"]["source"] == "container"
    assert seen["stored"]["changed"] is True
    assert seen["archived"]["restore"]["source"] == "archive"
    first, before, after = seen["counters"]
    assert 0 < first < before < after


def test_the_settings_can_be_taken_back(seen: dict[str, Any]) -> None:
    assert "criu.hosts" not in seen["config"] and "lxc.rootfs.path" in seen["config"]
