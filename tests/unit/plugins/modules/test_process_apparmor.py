# SPDX-License-Identifier: GPL-3.0-or-later
"""process_checkpoint and process_restore on a host with AppArmor: profiles are recorded, proved, or refused.

The images are those that CRIU 4.2.1 made under SELinux, with the LSM and the labels changed: of a profile's name CRIU
saves the first word, and nothing for unconfined.
"""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.apparmor import (
    apparmor_images,
    confine,
    with_apparmor,
    without_sockcreate,
)
from ansible_collections.criu.hosts.tests.unit.harness import Write
from ansible_collections.criu.hosts.tests.unit.processes import PID, TIDS, ProcessWorld, process_world

LAB = "lab (enforce)"
CHECK = pytest.mark.parametrize("check", [True, False], ids=["check", "real"])


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    without_sockcreate(monkeypatch)


def runs(folder: Path, *texts: str) -> ProcessWorld:
    """The process runs in these profiles."""
    made = process_world(folder, selinux="disabled")
    with_apparmor(folder)
    made.process()
    confine(folder, PID, *texts)
    return made


def stopped(patch: pytest.MonkeyPatch, folder: Path, saved: str, *after: str, **record: Any) -> ProcessWorld:
    """The process is in its images; it comes back in the profiles ``after``."""
    made = process_world(folder, selinux="disabled")
    with_apparmor(folder, *([f"{saved} (enforce)"] if saved else []))
    images = apparmor_images(patch, folder, saved)
    digest = hashlib.sha256((images / "inventory.img").read_bytes()).hexdigest()
    made.dumped(**({"inventory": digest} if record.get("record", True) else {}), **record)

    def come_back() -> None:
        made.come_back()
        confine(folder, PID, *after)

    made.base.script(Write(made.restore_argv(), effect=come_back, turns=True))
    return made


def written(made: ProcessWorld) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made.images / "criu-hosts.json").read_text())
    return found


def params(made: ProcessWorld, **changes: Any) -> dict[str, Any]:
    return {"images_path": str(made.images), **changes}


def test_the_whole_names_and_the_modes_are_recorded(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = runs(tmp_path, LAB, "other (complain)", "unconfined", LAB)
    apparmor_images(monkeypatch, tmp_path, "lab")
    made.base.script(made.dump())
    ran = module("process_checkpoint", params(made, pid=PID), host=made.base.host)
    assert ran.result["changed"], ran.result
    assert written(made)["profiles"] == [LAB, "other (complain)", "unconfined"]


@CHECK
def test_a_service_is_checkpointed(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    """attr/sockcreate of its threads is EINVAL."""
    made = runs(tmp_path, LAB)
    apparmor_images(monkeypatch, tmp_path, "lab")
    cgroup = tmp_path / "sys/fs/cgroup/system.slice/web.service"
    cgroup.mkdir(parents=True)
    (cgroup / "cgroup.procs").write_text(f"{PID}\n")
    made.base.script(made.unit(active=True, state="before"), made.unit(active=False, state="after"), made.dump())
    ran = module("process_checkpoint", params(made, unit="web"), host=made.base.host, check=check)
    assert ran.result["changed"] and ran.result["checkpoint"]["unit"] == "web.service", ran.result
    assert check or written(made)["profiles"] == [LAB]


PROVED = [
    pytest.param("lab", LAB, ["lab (enforce)"], id="one"),
    pytest.param("", "unconfined", ["unconfined"], id="unconfined"),
    pytest.param("lab", "lab (complain)", ["lab (complain)", "other (enforce)"], id="complain"),
    pytest.param("lab-hat//HAT", "lab-hat//HAT (enforce)", ["lab-hat//HAT (enforce)"], id="hat"),
]


@pytest.mark.parametrize(("saved", "after", "profiles"), PROVED)
def test_equal_profiles_are_a_proof(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: str, after: str, profiles: list[str]
) -> None:
    made = stopped(monkeypatch, tmp_path, saved, after, profiles=profiles)
    result = module("process_restore", params(made), host=made.base.host).result
    assert result["label_proof"] == "apparmor", result
    tids = [str(tid) for tid in TIDS]
    assert result["labels"] == [
        {"pid": str(PID), "comm": "python3", "threads": 4, "tids": tids, "before": after, "after": after}
    ]
    assert result["commands"] == [made.restore_argv()]


def test_images_without_a_record_prove_the_names(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stopped(monkeypatch, tmp_path, "lab", LAB, record=False)
    result = module("process_restore", params(made), host=made.base.host).result
    assert result["label_proof"] == "apparmor", result
    assert [(one["before"], one["after"]) for one in result["labels"]] == [("lab", "lab")]


CHANGED = [
    pytest.param("lab", "other (enforce)", {"profiles": [LAB]}, LAB, id="name"),
    pytest.param("lab", "lab (complain)", {"profiles": [LAB]}, LAB, id="mode"),
    pytest.param("lab", "unconfined", {"profiles": [LAB]}, LAB, id="unconfined"),
    pytest.param("", LAB, {"profiles": ["unconfined"]}, "unconfined", id="confined"),
    # As CRIU 4.2.1 does it, with the status 0.
    pytest.param("lab", LAB, {"profiles": ["lab two words (enforce)"]}, "lab two words (enforce)", id="first-word"),
    pytest.param("lab", "other (enforce)", {"record": False}, "lab", id="name-without-record"),
]


@pytest.mark.parametrize(("saved", "after", "record", "before"), CHANGED)
def test_a_different_profile_ends_the_process_and_keeps_the_images(
    module: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saved: str,
    after: str,
    record: dict[str, Any],
    before: str,
) -> None:
    made = stopped(monkeypatch, tmp_path, saved, after, **record)
    ran = module("process_restore", params(made), host=made.base.host)
    assert ran.result["reason"] == "label_changed", ran.result
    assert (ran.result["label_before"], ran.result["label_after"]) == (before, after)
    assert "aa-status" in ran.result["msg"] and "libselinux" not in ran.result["msg"]
    assert ran.host.killed == [(PID, signal.SIGKILL)]
    assert (made.images / "pstree.img").exists()


def test_a_different_profile_may_pass(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stopped(monkeypatch, tmp_path, "lab", "unconfined", profiles=[LAB])
    result = module("process_restore", params(made, on_label_mismatch="warn"), host=made.base.host).result
    assert result["changed"] and result["label_proof"] == "label_changed"
    assert [(one["before"], one["after"]) for one in result["labels"]] == [(LAB, "unconfined")]
    assert LAB in str(result["warnings"]) and made.base.host.killed == []


def test_images_of_a_host_with_selinux_prove_nothing(module: Any, tmp_path: Path) -> None:
    made = process_world(tmp_path, selinux="disabled")
    with_apparmor(tmp_path)
    made.dumped()
    made.base.script(made.restores())
    result = module("process_restore", params(made), host=made.base.host).result
    assert (result["label_proof"], result["labels"]) == ("label_unknown", [])


REFUSED = [
    pytest.param(("lab two words (enforce)",), "apparmor_profile_name", "'lab two words'", id="blank"),
    pytest.param((LAB, "lab two (complain)"), "apparmor_profile_name", "'lab two'", id="one-thread"),
    pytest.param(("a//&b (mixed)",), "apparmor_profile_stacked", "'a//&b'", id="stack"),
]


@CHECK
@pytest.mark.parametrize(("texts", "reason", "named"), REFUSED)
def test_what_cannot_be_restored_is_not_dumped(
    module: Any, tmp_path: Path, check: bool, texts: tuple[str, ...], reason: str, named: str
) -> None:
    made = runs(tmp_path, *texts)
    before = made.content()
    ran = module("process_checkpoint", params(made, pid=PID), host=made.base.host, check=check)
    assert ran.result["reason"] == reason and named in ran.result["msg"], ran.result
    assert ran.host.wrote == [] and made.content() == before


@CHECK
def test_a_hat_is_a_warning(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    made = runs(tmp_path, LAB, "lab//HAT (enforce)", LAB)
    apparmor_images(monkeypatch, tmp_path, "lab")
    made.base.script(made.dump())
    result = module("process_checkpoint", params(made, pid=PID), host=made.base.host, check=check).result
    (warning,) = [one for one in map(str, result["warnings"]) if "AppArmor" in one]
    assert "A thread of process 1463 ('python3') is in a hat" in warning and "'lab//HAT'" in warning
