# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of containerd, checkpointed and restored; the host keeps state as it does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.tests.unit.containerd_host import (
    CTR,
    IMAGE,
    ContainerdHost,
    containerd_host,
    recorded,
)
from ansible_collections.criu.hosts.tests.unit.harness import ModuleRun
from ansible_collections.criu.hosts.tests.unit.podman_host import Killed, kill_after, left_over

Run = Callable[..., ModuleRun]
RESUME = [*CTR, "tasks", "resume", "web"]
DIFF = "snapshots --snapshotter=overlayfs"


@pytest.fixture(name="host")
def host_fixture(tmp_path: Path) -> ContainerdHost:
    return containerd_host(tmp_path)


def task(module: Run, host: ContainerdHost, name: str, **params: Any) -> dict[str, Any]:
    """Runs a task that has to succeed: in check mode first, which has to say the same, and then really."""
    given = {"name": "web", "engine": "containerd", **params}
    checked = module(name, given, host=host, check=True)
    wrote = list(host.wrote)
    assert not checked.failed, checked.result
    run = module(name, given, host=host)
    assert not run.failed, run.result
    same = ("changed", "diff", "commands")
    assert {key: checked.result.get(key) for key in same} == {key: run.result.get(key) for key in same}
    assert wrote == host.wrote[: len(wrote)]
    again = module(name, given, host=host)
    assert (again.failed, again.result["changed"]) == (False, False), again.result
    assert list(left_over(host.world.folder)) == []
    return run.result


def failed(module: Run, host: ContainerdHost, name: str, **params: Any) -> dict[str, Any]:
    run = module(name, {"name": "web", "engine": "containerd", **params}, host=host)
    assert run.failed, run.result
    return run.result


def killed(
    module: Run, host: ContainerdHost, monkeypatch: pytest.MonkeyPatch, steps: int, name: str, **params: Any
) -> None:
    """Runs a task that dies after so many steps."""
    with monkeypatch.context() as patch:
        kill_after(patch, steps)
        with pytest.raises(Killed):
            module(name, {"name": "web", "engine": "containerd", **params}, host=host)


def words(result: dict[str, Any]) -> list[str]:
    """Returns what ctr does, in order."""
    return [" ".join(one[3:5]) if one[0] == "ctr" else one[0] for one in result["commands"]]


def test_in_place(module: Run, host: ContainerdHost) -> None:
    result = task(module, host, "container_checkpoint")
    place = host.place()
    assert result["commands"] == [
        [*CTR, "tasks", "checkpoint", "--exit", f"--image-path={place}/checkpoint", f"--work-path={place}", "web"]
    ]
    assert result["checkpoint"]["container_state"] == host.boxes["web"].status == "exited"
    assert place.stat().st_mode & 0o777 == 0o700
    host.boxes["web"].layer = "newer files"

    restored = task(module, host, "container_restore")
    assert words(restored) == [
        *("setsebool", DIFF, "tar", "images import", "tasks delete"),
        *("containers delete", "containers restore", "containers label", "images delete", "setsebool"),
    ]
    box = host.boxes["web"]
    assert (box.status, box.layer) == ("running", "newer files"), "a restore in place takes the files as they are"
    assert box.labels == json.loads(recorded("info-running.json"))["Labels"]
    assert restored["label_proof"] == "enforcing" and restored["restore"]["pid"] == box.pid
    assert restored["restore"]["id"] == result["checkpoint"]["id"], "a restore keeps the id"
    assert not place.exists() and set(host.images) == {IMAGE}


def test_archive_of_a_container_that_runs_on(module: Run, host: ContainerdHost) -> None:
    archive = host.world.folder / "data/web.tar.zst"
    result = task(module, host, "container_checkpoint", archive_path=str(archive), leave_running=True)
    assert words(result) == [
        "tasks pause",
        "tasks checkpoint",
        DIFF,
        "tasks resume",
        "tar",
    ]
    assert not any("--exit" in one for one in result["commands"]), "it runs on"
    assert host.boxes["web"].status == "running" and archive.exists()
    assert not [one for one in result.get("warnings", []) if "ran on" in one], "its files are those of its memory"
    assert not host.place().exists(), "memory that is in the archive"


def test_archive_and_removal(module: Run, host: ContainerdHost) -> None:
    archive = str(host.world.folder / "data/web.tar")
    made = task(module, host, "container_checkpoint", archive_path=archive, compression="none")
    host.boxes["web"].layer = "lost with the container"
    # A person removes the container, and the rest of its checkpoint.
    host.run_command(None, [*CTR, "tasks", "delete", "web"])
    host.run_command(None, [*CTR, "containers", "delete", "web"])
    shutil.rmtree(host.place())

    result = task(module, host, "container_restore", archive_path=archive)
    assert words(result) == [
        *("setsebool", "tar", "images import", "containers restore", "containers label"),
        *("images delete", "setsebool"),
    ]
    box = host.boxes["web"]
    assert (box.status, box.layer) == ("running", "no change"), "the files are those of the archive"
    assert box.labels == json.loads(recorded("info-running.json"))["Labels"]
    assert result["restore"]["id"] == made["checkpoint"]["id"] and result["restore"]["source"] == "archive"
    assert not (host.world.folder / "var/lib/criu-hosts/engines/containerd/import/web").exists()


def test_archive_of_a_container_that_is_there_still(module: Run, host: ContainerdHost) -> None:
    archive = str(host.world.folder / "data/web.tar.gz")
    task(module, host, "container_checkpoint", archive_path=archive, compression="gzip")
    result = task(module, host, "container_restore", archive_path=archive)
    assert result["restore"]["source"] == "container" and "tasks delete" in words(result)
    assert host.boxes["web"].status == "running"


def test_store(module: Run, host: ContainerdHost) -> None:
    store = str(host.world.folder / "store")
    task(module, host, "container_checkpoint", store=store)
    host.boot()
    del host.boxes["web"]
    shutil.rmtree(host.place())
    task(module, host, "container_restore", store=store)
    assert host.boxes["web"].status == "running"


def test_archive_without_files(module: Run, host: ContainerdHost) -> None:
    archive = str(host.world.folder / "data/web.tar.zst")
    result = task(module, host, "container_checkpoint", archive_path=archive, ignore_rootfs=True)
    assert words(result) == ["tasks checkpoint", "tar"]
    host.boot()
    del host.boxes["web"]
    shutil.rmtree(host.place())
    task(module, host, "container_restore", archive_path=archive)
    assert host.boxes["web"].layer.strip("\0") == ""


def test_after_a_boot(module: Run, host: ContainerdHost) -> None:
    task(module, host, "container_checkpoint")
    host.boot()
    assert module("container_checkpoint", {"name": "web", "engine": "containerd"}, host=host).result["changed"] is False
    result = task(module, host, "container_restore")
    assert host.boxes["web"].status == "running"
    ran = [one for one in host.wrote if one[3:5] == ["tasks", "delete"]]
    assert ran == [] and "tasks delete" in words(result), "there is no task to delete"


def test_ran_on_after_its_checkpoint(module: Run, host: ContainerdHost) -> None:
    """A person starts the container without its state, and stops it again."""
    task(module, host, "container_checkpoint")
    box = host.boxes["web"]
    host.run_command(None, [*CTR, "tasks", "delete", "web"])
    host.start(box)
    assert failed(module, host, "container_restore", archive_path="/nowhere/web.tar")["reason"] == "archive_missing"
    host.end(box)
    run = module("container_restore", {"name": "web", "engine": "containerd"}, host=host, check=True)
    assert "ran on after its checkpoint" in str(run.result["warnings"])


def test_container_of_the_same_name_is_a_different_one(module: Run, host: ContainerdHost) -> None:
    archive = str(host.world.folder / "data/web.tar")
    task(module, host, "container_checkpoint", archive_path=archive, compression="none")
    host.boot()
    del host.boxes["web"]
    host.add()
    assert failed(module, host, "container_restore", archive_path=archive)["reason"] == "name_in_use"
    host.end(host.boxes["web"])
    assert failed(module, host, "container_restore")["reason"] == "not_checkpointed", "the checkpoint is not its own"


def test_failed_restore_can_be_repeated(module: Run, host: ContainerdHost) -> None:
    task(module, host, "container_checkpoint")
    host.fails = {"restore"}
    result = failed(module, host, "container_restore")
    assert result["msg"].startswith(
        "Cannot restore container 'web': OCI runtime restore failed: criu failed: type NOTIFY errno 0 (Restoring "
        "FAILED). Its checkpoint is kept."
    )
    assert result["log_path"].endswith("default/web/restore.log") and host.boxes["web"].status == "created"
    host.fails = set()
    task(module, host, "container_restore")
    assert host.boxes["web"].labels == json.loads(recorded("info-running.json"))["Labels"], "the failed one had none"


def test_failed_import_leaves_nothing(module: Run, host: ContainerdHost) -> None:
    archive = str(host.world.folder / "data/web.tar")
    task(module, host, "container_checkpoint", archive_path=archive, compression="none")
    host.boot()
    del host.boxes["web"]
    shutil.rmtree(host.place())
    host.fails = {"restore"}
    assert failed(module, host, "container_restore", archive_path=archive)["reason"] == "tool_failed"
    assert host.boxes == {} and set(host.images) == {IMAGE}
    host.fails = set()
    task(module, host, "container_restore", archive_path=archive)


def test_container_that_only_its_checkpoint_has(module: Run, host: ContainerdHost) -> None:
    """A restore removes the container before it makes it again: if that fails, the next one goes on."""
    task(module, host, "container_checkpoint")
    host.fails = {"containers restore"}
    assert failed(module, host, "container_restore")["msg"].startswith("Cannot restore container 'web': it fails.")
    assert host.boxes == {}
    absent = failed(module, host, "container_checkpoint", state="absent")
    assert absent["reason"] == "checkpoint_in_use", "it is all that is left"
    host.fails = set()
    result = task(module, host, "container_restore")
    assert "containers delete" not in words(result) and host.boxes["web"].status == "running"


def test_failed_dump_runs_on(module: Run, host: ContainerdHost) -> None:
    host.fails = {"dump"}
    archive = str(host.world.folder / "data/web.tar")
    result = failed(module, host, "container_checkpoint", archive_path=archive, leave_running=True)
    assert "It keeps running." in result["msg"] and result["container_state"] == "running"
    assert result["log_path"].endswith("default/web/criu-dump.log")
    assert host.wrote[-1] == RESUME and host.boxes["web"].status == "running"
    assert not host.place().exists() and list(left_over(host.world.folder)) == []


def test_failed_export_brings_the_container_back(module: Run, host: ContainerdHost) -> None:
    archive = str(host.world.folder / "data/web.tar")
    real = host.run_command

    def once(dummy: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        if "diff" in args and not [one for one in host.ran if "diff" in one]:
            host.ran.append(args)
            return 1, "", "ctr: rpc error: write: no space left on device: unknown\n"
        return real(dummy, args, **options)

    host.run_command = once  # type: ignore[method-assign]
    result = failed(module, host, "container_checkpoint", archive_path=archive)
    assert "It was restored from its checkpoint and runs again." in result["msg"]
    assert (result["reason"], result["container_state"]) == ("disk_full", "running")
    assert host.boxes["web"].status == "running" and not Path(archive).exists()


@pytest.mark.parametrize("steps", range(1, 13))
@pytest.mark.parametrize("stays", [False, True], ids=["exit", "runs-on"])
def test_killed_checkpoint(
    module: Run, host: ContainerdHost, monkeypatch: pytest.MonkeyPatch, steps: int, stays: bool
) -> None:
    """Whenever a task dies, the next ones find the container running, or restore it."""
    params = {"archive_path": str(host.world.folder / "data/web.tar"), "compression": "none", "leave_running": stays}
    killed(module, host, monkeypatch, steps, "container_checkpoint", **params)
    if host.boxes["web"].status == "exited":
        task(module, host, "container_restore")
    task(module, host, "container_checkpoint", **params)
    assert host.boxes["web"].status == ("running" if stays else "exited")


@pytest.mark.parametrize("steps", range(1, 22))
def test_killed_restore(module: Run, host: ContainerdHost, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    task(module, host, "container_checkpoint")
    killed(module, host, monkeypatch, steps, "container_restore")
    run = module("container_restore", {"name": "web", "engine": "containerd"}, host=host)
    assert not run.failed, run.result
    assert host.boxes["web"].status == "running"
    assert list(left_over(host.world.folder)) == []


REFUSED = [
    pytest.param({"linux": {"namespaces": []}, "process": {"terminal": True}}, "console_needed", id="terminal"),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED)
def test_refused_container(module: Run, host: ContainerdHost, changes: dict[str, Any], reason: str) -> None:
    host.add(**changes)
    assert failed(module, host, "container_checkpoint")["reason"] == reason
    assert host.wrote == []


def test_image_that_is_gone(module: Run, host: ContainerdHost) -> None:
    task(module, host, "container_checkpoint")
    digest = host.images.pop(IMAGE)
    result = failed(module, host, "container_restore")
    assert result["reason"] == "image_missing" and "Pull or load that very image first." in result["msg"]
    host.images["localhost/other:1"] = digest
    assert (
        "images tag --force localhost/other:1 localhost/workload:latest"
        in failed(module, host, "container_restore")["msg"]
    )
    assert host.boxes["web"].status == "exited", "it is not removed"


def test_image_of_a_different_content(module: Run, host: ContainerdHost) -> None:
    host.images[IMAGE] = "ab" * 32
    task(module, host, "container_checkpoint")
    host.images[IMAGE] = "cd" * 32
    assert failed(module, host, "container_restore")["reason"] == "image_missing"


@pytest.mark.parametrize(
    ("space", "reason"), [("moby", "engine_mismatch"), ("k8s.io", "engine_mismatch"), ("own", "container_missing")]
)
def test_container_of_a_different_namespace(module: Run, host: ContainerdHost, space: str, reason: str) -> None:
    other = host.bundle("web").parent.parent / space / "db"
    other.mkdir(parents=True)
    for name in ("container_checkpoint", "container_restore"):
        result = failed(module, host, name, name="db")
        assert result["reason"] == reason and f"namespace '{space}'" in result["msg"]


@pytest.mark.parametrize("label", ["nerdctl/name", "io.cri-containerd.kind"])
def test_container_of_a_different_program(module: Run, host: ContainerdHost, label: str) -> None:
    host.boxes["web"].labels = {label: "x"}
    assert failed(module, host, "container_checkpoint")["reason"] == "engine_mismatch"


def test_options_that_only_a_configuration_file_gives(module: Run, host: ContainerdHost) -> None:
    for option, line in (("tcp_established", "tcp-established"), ("file_locks", "file-locks")):
        result = failed(module, host, "container_checkpoint", **{option: True})
        assert result["reason"] == "ability_missing" and f"does not set {line}" in result["msg"]
        assert host.wrote == []


def test_options_in_the_configuration_file_of_the_container(module: Run, host: ContainerdHost) -> None:
    host.boxes["web"].spec["annotations"] = {"org.criu.config": "/etc/criu/web.conf"}
    folder = host.world.folder / "etc/criu"
    folder.mkdir(parents=True)
    (folder / "web.conf").write_text("tcp-established\n")
    task(module, host, "container_checkpoint", tcp_established=True)
    task(module, host, "container_restore", tcp_established=True)


def test_paused_container(module: Run, host: ContainerdHost) -> None:
    host.freeze(host.boxes["web"], frozen=True)
    for name in ("container_checkpoint", "container_restore"):
        result = failed(module, host, name)
        assert result["reason"] == "container_paused" and "ctr --namespace default tasks resume web" in result["msg"]


def test_containerd_that_is_down(module: Run, host: ContainerdHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_containers_info", lambda *dummy: (1, "", recorded("down.txt")))
    monkeypatch.setattr(host, "_containers_ls", lambda *dummy: (1, "", recorded("down.txt")))
    result = failed(module, host, "container_checkpoint")
    assert result["reason"] == "tool_failed" and "failed to dial" in result["msg"]


def test_no_containerd(module: Run, host: ContainerdHost, monkeypatch: pytest.MonkeyPatch) -> None:
    real = host.run_command

    def missing(dummy: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        if args[0] == "ctr":
            raise FileNotFoundError(2, "No such file or directory")
        return real(dummy, args, **options)

    host.run_command = missing  # type: ignore[method-assign]
    result = failed(module, host, "container_checkpoint")
    assert result["reason"] == "engine_missing" and "Install the package containerd." in result["msg"]
