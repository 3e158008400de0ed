# SPDX-License-Identifier: GPL-3.0-or-later
"""A stateful unit on a host with AppArmor: its state survives a boot, and a profile that is not loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.run import start, stop
from ansible_collections.criu.hosts.tests.unit.loaded_profiles import OWN, list_path, load, with_apparmor
from ansible_collections.criu.hosts.tests.unit.stateful_units import Simulated


class Confined(Simulated):
    """A machine with AppArmor, whose podman loads its own profile only for a container that it prepares."""

    def __init__(self, folder: Path, label: str = f"{OWN} (enforce)", **spec: str) -> None:
        super().__init__(folder, **spec)
        for path in sorted((folder / "sys/fs/selinux").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (folder / "sys/fs/selinux").rmdir()
        self.label = label
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

    def _restore(self, argv: Sequence[str]) -> str:
        assert self.label in list_path(self.folder).read_text().split("\n"), "CRIU: can't write lsm profile -2"
        return super()._restore(argv)


def stopped(folder: Path, label: str = f"{OWN} (enforce)", mode: str = "fresh") -> Confined:
    """The unit was stopped with the state v1, and the host was booted."""
    made = Confined(folder, label, on_restore_failure=mode)
    made.live("v1")
    stop(made.unit())
    assert made.kept == {"v1"}
    made.boot()
    made.happened.clear()
    made.said.clear()
    return made


def test_after_a_boot_podman_loads_its_profile_and_the_state_is_there(tmp_path: Path) -> None:
    made = stopped(tmp_path)
    start(made.unit())
    assert made.memory == "v1"
    assert made.happened == ["other", "init", "other", "restore"]


@pytest.mark.parametrize("mode", ["fresh", "refuse"])
@pytest.mark.parametrize(
    ("label", "fails"),
    [("lab (enforce)", {}), (f"{OWN} (enforce)", {"init": f"Error: install profile {OWN}: exit status 1\n"})],
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
