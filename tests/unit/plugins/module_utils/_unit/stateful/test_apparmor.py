# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of stateful units on a host with AppArmor: it proves the profile of each thread, also after a boot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.run import start, stop
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import Last, read_last
from ansible_collections.criu.hosts.tests.unit.apparmor import PROFILE, rules, without_sockcreate
from ansible_collections.criu.hosts.tests.unit.harness import PLACE
from ansible_collections.criu.hosts.tests.unit.stateful_units import Simulated


@pytest.fixture(name="made")
def made_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """A machine on which the container of the unit runs in podman's profile."""
    without_sockcreate(monkeypatch)
    made = Simulated(tmp_path)
    shutil.rmtree(tmp_path / "sys/fs/selinux")
    rules(tmp_path)
    made.label = PROFILE
    made.live("v1")
    return made


def last() -> Last:
    found = read_last(PLACE.paths, "web")
    assert found is not None
    return found


@pytest.mark.parametrize("boot", [False, True], ids=["restart", "boot"])
def test_profiles_are_recorded_and_proved(made: Simulated, boot: bool) -> None:
    stop(made.unit())
    assert last().action == "dumped"
    if boot:
        made.boot()
    start(made.unit())
    assert made.memory == "v1" and made.happened == ["checkpoint", "restore"]
    assert (last().action, last().label_proof) == ("restored", "apparmor")
    assert [(one["threads"], one["before"], one["after"]) for one in last().labels] == [(4, PROFILE, PROFILE)]
    assert made.said[-1] == ("info", "Container 'web' was restored from 0 MiB; label proof: apparmor.")
    assert not made.images.exists()


def test_a_different_profile_ends_the_restored_container_and_keeps_its_state(made: Simulated) -> None:
    stop(made.unit())
    made.label = "unconfined"
    start(made.unit())
    assert made.happened == ["checkpoint", "restore", "stop", "start"] and made.memory == "fresh"
    assert (last().action, last().reason) == ("fresh", "label_changed")
    assert made.kept == {"v1"}


@pytest.mark.parametrize("label", ["lab two words (enforce)", "a//&b (enforce)"])
def test_what_cannot_be_restored_is_stopped_without_a_dump(made: Simulated, label: str) -> None:
    made.die()
    made.label = label
    made.live("v1")
    stop(made.unit())
    assert made.happened == ["stop"] and last().action == "clean_stop"
    assert (last().reason or "").startswith("apparmor_profile_")


def test_a_hat_is_a_line_in_the_journal(made: Simulated) -> None:
    made.die()
    made.label = "lab//HAT (enforce)"
    made.live("v1")
    stop(made.unit())
    assert last().action == "dumped"
    assert [text for priority, text in made.said if priority == "warning" and "4 threads" in text and "HAT" in text]
