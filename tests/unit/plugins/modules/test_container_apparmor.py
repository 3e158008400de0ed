# SPDX-License-Identifier: GPL-3.0-or-later
"""container_checkpoint and container_restore on a host with AppArmor: profiles are recorded, proved, or refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.tests.unit.apparmor import (
    PROFILE,
    apparmor_world,
    inspected,
    run_container,
    with_apparmor,
    without_sockcreate,
)
from ansible_collections.criu.hosts.tests.unit.containers import (
    ID,
    INSPECT,
    LABEL,
    World,
    checkpoint_argv,
    pid_of,
    recorded,
    running,
    tar_archive,
    world,
)
from ansible_collections.criu.hosts.tests.unit.harness import Reply, Write

RESTORE = ["podman", "container", "restore", "--print-stats", "--keep", "web"]
STOP = ["podman", "stop", "--ignore", "--time=0", "web"]
IMAGE = "8177af7fce5c44dc2c28897f0dc59bfd96320387eaeb1bbb5e11cdbf0bf1f20c"
CHECK = pytest.mark.parametrize("check", [True, False], ids=["check", "real"])


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    without_sockcreate(monkeypatch)


def record_path(folder: Path) -> Path:
    return folder / f"var/lib/criu-hosts/checkpoints/{ID}.json"


def runs(folder: Path, *texts: str) -> World:
    """The container runs in these profiles, and podman can checkpoint it."""
    made = apparmor_world(folder, *(texts or (PROFILE,)))
    run_container(made, *texts)
    made.script(
        Reply(INSPECT, out=inspected(made, "running"), state="before"),
        Reply(INSPECT, out=inspected(made, "checkpointed"), state="after"),
    )

    def dump() -> None:
        made.end(pid_of("running"))
        made.dump()

    made.script(Write(checkpoint_argv(), out=recorded("checkpoint-in-place.json"), turns=True, effect=dump))
    return made


def threads(*texts: str) -> list[dict[str, Any]]:
    tids = ["1", "6", "7", "8"]
    return [
        {"pid": "1", "tid": tid, "comm": "python3", "label": text, "sockcreate": None} for tid, text in zip(tids, texts)
    ]


def record(*texts: str, **changes: Any) -> Record:
    """The record of a checkpoint on a host with AppArmor, as container_checkpoint writes it."""
    known: dict[str, Any] = {
        "engine": "podman",
        "id": ID,
        "name": "web",
        "image": "localhost/w",
        "image_id": IMAGE,
        "runtime": "runc",
        "process_label": "",
        "selinux": "disabled",
        "stamp": "1000000000",
        "labels": threads(*(texts or [PROFILE] * 4)),
    }
    return Record(**{**known, **changes})


def checkpointed(folder: Path, *after: str, before: Record | None = None) -> World:
    """The container is stopped in its checkpoint; a restore lets it come back in the profiles ``after``."""
    before = before or record()
    labels = dict.fromkeys(one["label"] for one in before.labels)
    made = apparmor_world(folder, *(label for label in labels if label.endswith(")")))
    made.dump()
    record_path(folder).parent.mkdir(parents=True)
    record_path(folder).write_text(render_record(before))
    made.script(
        Reply(INSPECT, out=inspected(made, "checkpointed"), state="before"),
        Reply(INSPECT, out=inspected(made, "restored"), state="after"),
        Write(
            RESTORE,
            out=recorded("restore-in-place.json"),
            turns=True,
            effect=lambda: run_container(made, *after, case="restored"),
        ),
        Write(STOP),
    )
    return made


def archived(folder: Path, made: World, answer: str, revive: Callable[[], None], *texts: str) -> dict[str, Any]:
    """The container comes from an archive of a host with AppArmor; returns the arguments."""
    path = folder / "archives/web.tar.gz"
    tar_archive(path)
    found = record(*texts, size_bytes=path.stat().st_size, sha256=file_sha256(str(path)))
    (folder / "archives/web.tar.gz.json").write_text(render_record(found))
    images = folder / "var/lib/containers/storage/overlay-images"
    images.mkdir(parents=True)
    (images / "images.json").write_text(json.dumps([{"id": IMAGE, "names": ["localhost/w:latest"]}]))
    argv = ["podman", "--runtime", "runc", "container", "restore", "--print-stats", f"--import={path}"]
    made.script(
        Reply(INSPECT, err=recorded("inspect-no-such.txt"), rc=125, state="before"),
        Reply(INSPECT, out=answer, state="after"),
        Write(argv, out=recorded("restore-in-place.json"), turns=True, effect=revive),
    )
    return {"name": "web", "archive_path": str(path)}


def test_every_threads_profile_is_recorded(module: Any, tmp_path: Path) -> None:
    texts = [PROFILE, PROFILE, "lab (complain)", "unconfined"]
    ran = module("container_checkpoint", {"name": "web"}, host=runs(tmp_path, *texts).host)
    assert ran.result["changed"], ran.result
    written = json.loads(record_path(tmp_path).read_text())
    assert written["labels"] == threads(*texts)
    assert (written["selinux"], written["process_label"]) == ("disabled", "")
    assert written["traces"] == {"sockets": {}, "mounts": {}}


def test_equal_profiles_are_a_proof(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["label_proof"] == "apparmor" and "warnings" not in result
    assert result["labels"] == [
        {"pid": "1", "comm": "python3", "threads": 4, "tids": ["1", "6", "7", "8"], "before": PROFILE, "after": PROFILE}
    ]
    assert result["label_differences"] == []
    assert result["commands"] == [RESTORE]
    assert list(made.userdata.iterdir()) == [] and not record_path(tmp_path).exists()


def test_what_a_checkpoint_records_a_restore_proves(module: Any, tmp_path: Path) -> None:
    texts = (PROFILE, "lab (complain)", "lab-hat//HAT (kill)", "unconfined")
    made = runs(tmp_path, *texts)
    assert module("container_checkpoint", {"name": "web"}, host=made.host).result["changed"]
    written = record_path(tmp_path).read_text()
    again = checkpointed(tmp_path / "again", *texts, before=record(*texts))
    record_path(tmp_path / "again").write_text(written)
    result = module("container_restore", {"name": "web"}, host=again.host).result
    assert result["label_proof"] == "apparmor"
    assert [(one["threads"], one["before"], one["after"]) for one in result["labels"]] == [
        (1, text, text) for text in texts
    ]


CHANGED = [
    pytest.param("containers-default-0.63.0 (enforce)", id="podman-was-upgraded"),
    pytest.param("containers-default-0.62.2 (complain)", id="the-mode-has-changed"),
    pytest.param("unconfined", id="unconfined"),
    pytest.param("", id="none"),
]


@pytest.mark.parametrize("after", CHANGED)
def test_a_different_profile_stops_the_container_and_keeps_its_checkpoint(
    module: Any, tmp_path: Path, after: str
) -> None:
    made = checkpointed(tmp_path, PROFILE, PROFILE, after, PROFILE)
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["reason"] == "label_changed"
    assert (result["label_before"], result["label_after"]) == (PROFILE, after)
    assert "1 of 4 threads" in result["msg"] and "aa-status" in result["msg"] and "libselinux" not in result["msg"]
    assert made.host.wrote == [RESTORE, STOP]
    assert (made.userdata / "checkpoint/inventory.img").exists() and record_path(tmp_path).exists()


def test_the_first_word_of_a_name_is_not_the_name(module: Any, tmp_path: Path) -> None:
    """As seen with CRIU 4.2.1, which exits with 0: the threads were in 'lab two words', and are in 'lab'."""
    made = checkpointed(tmp_path, "lab (enforce)", before=record(*["lab two words (enforce)"] * 4))
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["reason"] == "label_changed"
    assert (result["label_before"], result["label_after"]) == ("lab two words (enforce)", "lab (enforce)")


def test_a_different_profile_may_pass(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path, "unconfined")
    result = module("container_restore", {"name": "web", "on_label_mismatch": "warn"}, host=made.host).result
    assert "failed" not in result and result["label_proof"] == "label_changed"
    assert [(one["before"], one["after"]) for one in result["labels"]] == [(PROFILE, "unconfined")]
    assert PROFILE in str(result["warnings"])
    assert made.host.wrote == [RESTORE]


@pytest.mark.parametrize(("after", "reason"), [(PROFILE, None), ("unconfined", "label_changed")])
def test_a_new_process_must_have_the_profile_of_the_first(
    module: Any, tmp_path: Path, after: str, reason: str | None
) -> None:
    """It may have started between the reading and the dump."""
    before = record(labels=[{**threads(PROFILE)[0], "pid": "9", "tid": "9"}])
    result = module("container_restore", {"name": "web"}, host=checkpointed(tmp_path, after, before=before).host).result
    assert result.get("reason") == reason


def test_a_record_without_profiles_proves_nothing(module: Any, tmp_path: Path) -> None:
    """It is one of an earlier release."""
    made = checkpointed(tmp_path, before=record(labels=[]))
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert "failed" not in result and result["label_proof"] == "label_unknown"


def test_contexts_of_selinux_are_refused(module: Any, tmp_path: Path) -> None:
    """CRIU restores no label of a different security module (validate_lsm in criu/lsm.c)."""
    before = record(labels=threads(LABEL), process_label=LABEL, selinux="enforcing")
    result = module("container_restore", {"name": "web"}, host=checkpointed(tmp_path, before=before).host).result
    assert result["reason"] == "lsm_mismatch"


def test_profiles_are_refused_under_selinux(module: Any, tmp_path: Path) -> None:
    made = world(tmp_path)
    params = archived(tmp_path, made, made.inspected("restored"), lambda: None)
    assert module("container_restore", params, host=made.host).result["reason"] == "lsm_mismatch"


def test_an_archive_is_proved(module: Any, tmp_path: Path) -> None:
    made = apparmor_world(tmp_path, PROFILE)
    params = archived(tmp_path, made, inspected(made, "restored"), lambda: run_container(made, case="restored"))
    result = module("container_restore", params, host=made.host).result
    assert result["label_proof"] == "apparmor"
    assert [(one["threads"], one["before"], one["after"]) for one in result["labels"]] == [(4, PROFILE, PROFILE)]


def test_threads_without_a_profile_are_not_compared_with_contexts(module: Any, tmp_path: Path) -> None:
    """On a host with SELinux, podman gives the container a context; each thread must have that."""
    made = world(tmp_path)
    revive = partial(made.process, pid_of("restored"), [LABEL] * 4)
    params = archived(tmp_path, made, made.inspected("restored"), revive, *["unconfined"] * 4)
    result = module("container_restore", params, host=made.host).result
    assert result["label_proof"] == "enforcing", result
    assert [(one["threads"], one["before"], one["after"]) for one in result["labels"]] == [(4, LABEL, LABEL)]


def test_selinux_goes_before_apparmor(module: Any, tmp_path: Path) -> None:
    """If both say that they are on, attr/current is that of SELinux."""
    made = world(tmp_path)
    with_apparmor(tmp_path)
    running(made)

    def dump() -> None:
        made.end(pid_of("running"))
        made.dump()

    made.script(Write(checkpoint_argv(), out=recorded("checkpoint-in-place.json"), turns=True, effect=dump))
    assert module("container_checkpoint", {"name": "web"}, host=made.host).result["changed"]
    written = json.loads(record_path(tmp_path).read_text())
    assert [one["label"] for one in written["labels"]] == [LABEL] * 4 and written["selinux"] == "enforcing"


REFUSED = [
    pytest.param(("lab two words (enforce)",), "apparmor_profile_name", "'lab two words'", id="blank"),
    pytest.param((PROFILE, PROFILE, "lab two (complain)"), "apparmor_profile_name", "'lab two'", id="one-thread"),
    pytest.param(("a//&b (mixed)",), "apparmor_profile_stacked", "'a//&b'", id="stack"),
]


@CHECK
@pytest.mark.parametrize(("texts", "reason", "named"), REFUSED)
def test_what_cannot_be_restored_is_not_dumped(
    module: Any, tmp_path: Path, check: bool, texts: tuple[str, ...], reason: str, named: str
) -> None:
    made = runs(tmp_path, *texts)
    result = module("container_checkpoint", {"name": "web"}, host=made.host, check=check).result
    assert result["reason"] == reason, result
    assert result["msg"].startswith("Cannot checkpoint container 'web': process ") and named in result["msg"]
    assert [one["reason"] for one in result["obstacles"]] == [reason]
    assert made.host.wrote == [] and not record_path(tmp_path).exists()


@CHECK
@pytest.mark.parametrize("text", [PROFILE, "lab (kill)", "a//&:box:b (enforce)", "unconfined"])
def test_other_profiles_are_dumped_without_a_word(module: Any, tmp_path: Path, check: bool, text: str) -> None:
    """CRIU saves the policies of a namespace itself (criu/apparmor.c)."""
    made = runs(tmp_path, text)
    result = module("container_checkpoint", {"name": "web"}, host=made.host, check=check).result
    assert result["changed"] and "AppArmor" not in str(result.get("warnings"))


@CHECK
def test_a_hat_is_a_warning(module: Any, tmp_path: Path, check: bool) -> None:
    made = runs(tmp_path, PROFILE, "lab-hat//HAT (enforce)")
    result = module("container_checkpoint", {"name": "web"}, host=made.host, check=check).result
    assert result["changed"]
    (warning,) = [one for one in map(str, result["warnings"]) if "AppArmor" in one]
    assert "3 threads of container 'web'" in warning and "'lab-hat//HAT'" in warning
