# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of stateful units on a host with AppArmor: it has each profile loaded after a boot, and proves it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.run import start, stop
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.state import Last, read_last
from ansible_collections.criu.hosts.tests.unit.apparmor import (
    OWN,
    PROFILE,
    list_path,
    load,
    with_apparmor,
    without_sockcreate,
)
from ansible_collections.criu.hosts.tests.unit.harness import PLACE
from ansible_collections.criu.hosts.tests.unit.stateful_units import Simulated


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    without_sockcreate(monkeypatch)


class Confined(Simulated):
    """A machine with AppArmor, whose podman loads its own profile only for a container that it prepares."""

    def __init__(self, folder: Path, label: str = PROFILE, **spec: str) -> None:
        super().__init__(folder, **spec)
        shutil.rmtree(folder / "sys/fs/selinux")
        self.label = self.saved = label
        with_apparmor(folder, label)

    def boot(self) -> None:
        super().boot()
        with_apparmor(self.folder)

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if "criu-hosts-profile-web" not in str(argv):
            return super().run(argv, **options)
        self.happened.append("init" if argv[1] == "init" else "other")
        if argv[1] == "init":
            if "init" in self.fails:
                return Completed(tuple(argv), 126, "", self.fails["init"])
            load(self.folder)
        return Completed(tuple(argv), 0, "", "")

    def inspected(self, case: str, digest: str = "d1", **changes: Any) -> str:
        entry = json.loads(super().inspected(case, digest, **changes))
        entry[0]["AppArmorProfile"] = self.label.partition(" ")[0]
        return json.dumps(entry)

    def _checkpoint(self, argv: Sequence[str]) -> str:
        self.saved = self.label
        return super()._checkpoint(argv)

    def _restore(self, argv: Sequence[str]) -> str:
        assert self.saved in list_path(self.folder).read_text().split("\n"), "CRIU: can't write lsm profile -2"
        return super()._restore(argv)


@pytest.fixture(name="made")
def made_fixture(tmp_path: Path) -> Confined:
    """A machine on which the container of the unit runs in podman's profile."""
    made = Confined(tmp_path)
    made.live("v1")
    return made


def last() -> Last:
    found = read_last(PLACE.paths, "web")
    assert found is not None
    return found


@pytest.mark.parametrize("boot", [False, True], ids=["restart", "boot"])
def test_profiles_are_recorded_and_proved(made: Confined, boot: bool) -> None:
    stop(made.unit())
    assert last().action == "dumped"
    if boot:
        made.boot()
    start(made.unit())
    loading = ["other", "init", "other"] if boot else []
    assert made.memory == "v1" and made.happened == ["checkpoint", *loading, "restore"]
    assert (last().action, last().label_proof) == ("restored", "apparmor")
    assert [(one["threads"], one["before"], one["after"]) for one in last().labels] == [(4, PROFILE, PROFILE)]
    assert made.said[-1] == ("info", "Container 'web' was restored from 0 MiB; label proof: apparmor.")
    assert not made.images.exists()


def test_a_different_profile_ends_the_restored_container_and_keeps_its_state(made: Confined) -> None:
    stop(made.unit())
    made.label = "unconfined"
    start(made.unit())
    assert made.happened == ["checkpoint", "restore", "stop", "start"] and made.memory == "fresh"
    assert (last().action, last().reason) == ("fresh", "label_changed")
    assert made.kept == {"v1"}


@pytest.mark.parametrize("label", ["lab two words (enforce)", "a//&b (enforce)"])
def test_what_cannot_be_restored_is_stopped_without_a_dump(made: Confined, label: str) -> None:
    made.die()
    made.label = label
    made.live("v1")
    stop(made.unit())
    assert made.happened == ["stop"] and last().action == "clean_stop"
    assert (last().reason or "").startswith("apparmor_profile_")


def test_a_hat_is_a_line_in_the_journal(made: Confined) -> None:
    made.die()
    made.label = "lab//HAT (enforce)"
    made.live("v1")
    stop(made.unit())
    assert last().action == "dumped"
    assert [text for priority, text in made.said if priority == "warning" and "4 threads" in text and "HAT" in text]


def stopped(folder: Path, label: str = PROFILE, mode: str = "fresh") -> Confined:
    """The unit was stopped with the state v1, and the host was booted."""
    made = Confined(folder, label, on_restore_failure=mode)
    made.live("v1")
    stop(made.unit())
    assert made.kept == {"v1"}
    made.boot()
    made.happened.clear()
    made.said.clear()
    return made


@pytest.mark.parametrize("mode", ["fresh", "refuse"])
@pytest.mark.parametrize(
    ("label", "fails"),
    [("lab (enforce)", {}), (PROFILE, {"init": f"Error: install profile {OWN}: exit status 1\n"})],
)
def test_a_profile_that_cannot_be_loaded_costs_no_state(
    tmp_path: Path, label: str, fails: dict[str, str], mode: str
) -> None:
    made = stopped(tmp_path, label, mode)
    made.fails = dict(fails)
    with pytest.raises(CheckpointError) as failure:
        start(made.unit())
    assert failure.value.reason == "apparmor_profile_missing"
    assert made.memory is None and made.kept == {"v1"}
    assert not made.aside.exists(), "the checkpoint is in its place"
    made.fails = {}
    if label.startswith("lab"):
        load(made.folder, "lab")
    start(made.unit())
    assert made.memory == "v1"
