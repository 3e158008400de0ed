# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks, foreign containers and files, and what a task does with what a killed one has left."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container import dump_failure, notes, record_writer
from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished_archive import (
    read_unfinished,
)
from ansible_collections.criu.hosts.plugins.module_utils._core import lock
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import partial_path, unfinished_record_path
from ansible_collections.criu.hosts.tests.unit.containers import ID, LABEL, recorded
from ansible_collections.criu.hosts.tests.unit.harness import PLACE
from ansible_collections.criu.hosts.tests.unit.killed import Killed, give_markers_away, kill_after
from ansible_collections.criu.hosts.tests.unit.podman_host import (
    Box,
    PodmanHost,
    left_over,
    podman_host,
)

FOREIGN = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"
OLD = "2026-11-01T00:00:00Z"


def running(folder: Path, **known: Any) -> PodmanHost:
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created=OLD, **known))
    return host


def archive(folder: Path) -> dict[str, Any]:
    return {"name": "web", "archive_path": str(folder / "archives/web.tar.gz")}


def exported(module: Any, folder: Path) -> PodmanHost:
    """The container was made with --rm, and is in the archive only."""
    host = running(folder, auto_remove=True)
    host.volumes = ("data",)
    assert module("container_checkpoint", {**archive(folder), "compression": "gzip"}, host=host).result["changed"]
    return host


def kill(module: Any, host: PodmanHost, task: str, params: dict[str, Any], word: str) -> None:
    """Kills the task as soon as podman has done what the word names."""
    for steps in range(1, 60):
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, steps)
            with pytest.raises(Killed):
                module(task, params, host=host)
        if any(word in argv for argv in host.wrote):
            give_markers_away(host.world.folder)
            return
    raise AssertionError("it was never killed there")


def restored_unproved(module: Any, folder: Path) -> PodmanHost:
    host = running(folder)
    assert module("container_checkpoint", {"name": "web"}, host=host).result["changed"]
    host.label = FOREIGN
    kill(module, host, "container_restore", {"name": "web"}, "restore")
    assert host.boxes["web"].status == "running"
    return host


@pytest.mark.parametrize("task", ["container_restore", "container_checkpoint"])
def test_a_restore_that_was_not_proved_is_stopped_if_a_label_differs(module: Any, tmp_path: Path, task: str) -> None:
    host = restored_unproved(module, tmp_path)
    result = module(task, {"name": "web"}, host=host).result
    assert result["reason"] == "label_changed" and result["label_before"] == LABEL
    assert host.boxes["web"].status == "exited"
    assert (host.folder(host.boxes["web"]) / "checkpoint/inventory.img").exists()
    assert list(left_over(tmp_path)) == []


def test_a_restore_that_was_not_proved_follows_the_options_of_the_next(module: Any, tmp_path: Path) -> None:
    host = restored_unproved(module, tmp_path)
    result = module("container_restore", {"name": "web", "on_label_mismatch": "warn"}, host=host).result
    assert result["label_proof"] == "label_changed" and result["changed"]
    assert host.boxes["web"].status == "running"
    assert "An earlier task died" in str(result["warnings"])


def test_a_container_that_a_killed_dump_has_left_frozen_runs_on(module: Any, tmp_path: Path) -> None:
    host = running(tmp_path)
    for steps in range(1, 60):
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, steps)
            with pytest.raises(Killed):
                module("container_checkpoint", {"name": "web"}, host=host)
        if list(tmp_path.glob("var/lib/criu-hosts/begun/container-web.json")):
            break
    give_markers_away(tmp_path)
    pid, scope = host.boxes["web"].pid, tmp_path / "sys/fs/cgroup/machine.slice/libpod-a.scope"
    scope.mkdir(parents=True)
    (scope / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    (tmp_path / f"proc/{pid}/cgroup").write_text("0::/machine.slice/libpod-a.scope\n")
    result = module("container_checkpoint", {"name": "web"}, host=host, check=True).result
    assert result["commands"][0] == ["runc", "--root=/run/runc", "resume", ID]
    assert "It was frozen, and runs on now" in str(result["warnings"])


def test_a_container_that_was_started_afresh_is_not_proved(module: Any, tmp_path: Path) -> None:
    host = restored_unproved(module, tmp_path)
    host.boxes["web"].restored = ""
    assert module("container_restore", {"name": "web"}, host=host).result["label_proof"] == "not_needed"
    assert host.boxes["web"].status == "running"


def test_a_failed_import_leaves_a_container_of_somebody_else(module: Any, tmp_path: Path) -> None:
    host = exported(module, tmp_path)
    host.fails.add("import")
    host.words = recorded("import-id-in-use.txt")
    result = module("container_restore", archive(tmp_path), host=host).result
    assert result["reason"] == "container_exists"
    assert "web" in host.boxes and (tmp_path / "var/lib/containers/storage/volumes/data").is_dir()


def test_a_failed_import_leaves_a_container_with_a_different_id(module: Any, tmp_path: Path) -> None:
    host = exported(module, tmp_path)
    host.fails.add("import")
    real = host._import

    def race(args: list[str]) -> tuple[int, str, str]:
        answer = real(args)
        host.boxes["web"].id = "e" * 64
        return answer

    host._import = race  # type: ignore[method-assign]
    assert module("container_restore", archive(tmp_path), host=host).result["reason"] == "tool_failed"
    assert host.boxes["web"].id == "e" * 64


@pytest.mark.parametrize("new", [{}, {"new_name": "web2"}], ids=["same-name", "new-name"])
def test_a_failed_import_removes_its_container_and_volumes(module: Any, tmp_path: Path, new: dict[str, str]) -> None:
    host = exported(module, tmp_path)
    host.fails.add("import")
    assert module("container_restore", {**archive(tmp_path), **new}, host=host).result["reason"] == "tool_failed"
    assert host.boxes == {} and list((tmp_path / "var/lib/containers/storage/volumes").iterdir()) == []
    assert list(left_over(tmp_path)) == []
    host.fails.clear()
    assert module("container_restore", {**archive(tmp_path), **new}, host=host).result["changed"]


def test_a_clone_of_an_older_name_is_not_removed(module: Any, tmp_path: Path) -> None:
    host = exported(module, tmp_path)
    host.fails.add("import")
    real = host._import

    def race(args: list[str]) -> tuple[int, str, str]:
        answer = real(args)
        host.boxes["web2"].created = OLD
        return answer

    host._import = race  # type: ignore[method-assign]
    module("container_restore", {**archive(tmp_path), "new_name": "web2"}, host=host)
    assert "web2" in host.boxes


def test_a_dump_that_came_meanwhile_is_not_removed(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = running(tmp_path)
    inventory = host.folder(host.boxes["web"]) / "checkpoint/inventory.img"
    real = record_writer.RecordWriter.look

    def look_and_wait(writer: record_writer.RecordWriter) -> None:
        real(writer)
        inventory.parent.mkdir(exist_ok=True)
        inventory.write_bytes(b"newer")

    monkeypatch.setattr(record_writer.RecordWriter, "look", look_and_wait)
    params = {**archive(tmp_path), "compression": "gzip", "leave_running": True}
    assert module("container_checkpoint", params, host=host).result["changed"]
    assert inventory.read_bytes() == b"newer"


def test_a_dump_that_came_while_the_images_are_removed_stays(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = running(tmp_path)
    inventory = host.folder(host.boxes["web"]) / "checkpoint/inventory.img"
    real = record_writer.RecordWriter.look

    def look(writer: record_writer.RecordWriter) -> None:
        real(writer)
        os.utime(inventory, ns=(77, 77))

    monkeypatch.setattr(record_writer.RecordWriter, "look", look)
    params = {**archive(tmp_path), "compression": "gzip", "leave_running": True}
    assert module("container_checkpoint", params, host=host).result["changed"]
    assert inventory.exists()


@pytest.mark.parametrize("task", ["container_checkpoint", "container_restore"])
@pytest.mark.parametrize(("kind", "options"), [("container", {}), ("archive", {"archive": True})])
def test_a_second_task_is_refused_while_the_first_works(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, kind: str, options: dict[str, Any]
) -> None:
    host = running(tmp_path)
    params = archive(tmp_path) if options else {"name": "web"}
    thing = params["archive_path"] if options else "web"
    monkeypatch.setattr(lock, "HOLD_SECONDS", 0.0)
    with lock.hold(lock.lock_path(host.world.paths, 0, kind, thing), "first task"):
        result = module(task, params, host=host).result
        assert result["reason"] == "busy" and host.wrote == []
    assert module(task, params, host=host).result.get("reason") != "busy"


def test_an_id_stands_for_the_name(module: Any, tmp_path: Path) -> None:
    host = running(tmp_path)
    params = {**archive(tmp_path), "compression": "gzip", "name": ID}
    assert module("container_checkpoint", params, host=host).result["changed"]
    assert os.path.exists(lock.lock_path(host.world.paths, 0, "container", "web"))
    assert module("container_checkpoint", params, host=host).result["changed"] is False


def test_a_failed_export_brings_the_container_back_even_if_no_log_can_be_read(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = running(tmp_path)
    host.fails.add("export")

    def broken(*dummy_arguments: Any) -> None:
        assert host.boxes["web"].status == "running", "the container comes first"
        raise ValueError("a log with odd bytes")

    monkeypatch.setattr(dump_failure, "read_failure", broken)
    result = module("container_checkpoint", {**archive(tmp_path), "compression": "gzip"}, host=host).result
    assert result["failed"] and result["container_state"] == "running"
    assert "odd bytes" in str(result["cleanup_failed"])
    assert list(left_over(tmp_path)) == []


def test_an_archive_that_podman_wrote_before_it_failed_is_kept(module: Any, tmp_path: Path) -> None:
    host = running(tmp_path, auto_remove=True)
    host.fails.add("late")
    result = module("container_checkpoint", {**archive(tmp_path), "compression": "gzip"}, host=host).result
    assert result["failed"] and "the archive has its state" in result["msg"]
    host.fails.clear()
    assert module("container_restore", archive(tmp_path), host=host).result["label_proof"] == "enforcing"


def test_nobody_else_can_open_the_unfinished_archive(module: Any, tmp_path: Path) -> None:
    host = running(tmp_path)
    modes = []
    host.after = lambda dummy_box: modes.append(
        stat.S_IMODE(os.stat(partial_path(archive(tmp_path)["archive_path"])).st_mode)
    )
    module("container_checkpoint", {**archive(tmp_path), "compression": "gzip"}, host=host)
    assert modes == [0o600]


def test_absent_does_not_remove_what_it_has_just_completed(module: Any, tmp_path: Path) -> None:
    host = running(tmp_path, auto_remove=True)
    params = {**archive(tmp_path), "compression": "gzip"}
    kill(module, host, "container_checkpoint", params, "checkpoint")
    assert host.boxes == {}
    absent = {**archive(tmp_path), "state": "absent"}
    assert module("container_checkpoint", absent, host=host, check=True).result["reason"] == "checkpoint_in_use"
    refused = module("container_checkpoint", absent, host=host).result
    assert refused["reason"] == "checkpoint_in_use" and "This task has completed the archive" in refused["msg"]
    assert Path(params["archive_path"]).exists()
    assert module("container_checkpoint", absent, host=host).result["changed"]
    assert list(Path(params["archive_path"]).parent.iterdir()) == []


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut-between-two-files"])
def test_a_tar_without_its_end_is_not_complete(tmp_path: Path, cut: bool) -> None:
    path = tmp_path / "web.tar"
    config = tmp_path / "config.dump"
    config.write_text(recorded("config.dump.json"))
    (tmp_path / "inventory.img").write_bytes(b"i" * 512)
    with tarfile.open(partial_path(str(path)), "w") as tar:
        tar.add(config, "config.dump")
        tar.add(tmp_path / "inventory.img", "checkpoint/inventory.img")
        end = tar.offset
    if cut:
        os.truncate(partial_path(str(path)), end)
    described = Podman().describe_archive(partial_path(str(path)))
    record = Record("podman", described.id, "web", "w", "8177", "runc", LABEL)
    Path(unfinished_record_path(str(path))).write_text(render_record(record))
    found = read_unfinished(Podman(), str(path), lambda dummy_record: "")
    assert (found.record is None) is cut


def test_a_restore_in_place_needs_no_room_for_its_note(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = running(tmp_path)
    module("container_checkpoint", {"name": "web"}, host=host)
    monkeypatch.setattr(notes, "free_bytes", lambda dummy_path: 0)
    assert module("container_restore", {"name": "web"}, host=host).result["label_proof"] == "enforcing"


@pytest.mark.parametrize("task", ["container_restore", "container_checkpoint"])
def test_the_record_of_a_task_that_died_at_its_very_end_is_removed(module: Any, tmp_path: Path, task: str) -> None:
    host = running(tmp_path)
    module("container_checkpoint", {"name": "web"}, host=host)
    if task == "container_restore":
        module(task, {"name": "web"}, host=host)
    stray = Path(notes.known_record_path(PLACE.paths, "web"))
    stray.write_text("{}")
    predicted = module(task, {"name": "web"}, host=host, check=True).result
    assert stray.exists() and predicted["changed"]
    result = module(task, {"name": "web"}, host=host).result
    assert (result["changed"], result["commands"]) == (True, predicted["commands"])
    assert not stray.exists()
    assert module(task, {"name": "web"}, host=host).result["changed"] is False


@pytest.mark.parametrize("new_name", [None, "web-2"])
def test_an_import_that_podman_does_not_answer_for_is_completed_by_the_next_task(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_name: str | None
) -> None:
    host = exported(module, tmp_path)
    params = {**archive(tmp_path), **({"new_name": new_name, "shared_categories": "accept"} if new_name else {})}
    inspect = Podman.inspect

    def silent(self: Podman, ctx: Any, name: str) -> Container | None:
        if any("restore" in argv for argv in host.wrote):
            raise CheckpointError("Cannot inspect the container: killed.", reason="tool_failed")
        return inspect(self, ctx, name)

    with monkeypatch.context() as patch:
        patch.setattr(Podman, "inspect", silent)
        assert module("container_restore", params, host=host).result["reason"] == "tool_failed"
    host.wrote.clear()
    result = module("container_restore", params, host=host).result
    assert result["label_proof"] == "enforcing" and host.wrote == []
    assert list(left_over(tmp_path)) == []
    assert module("container_restore", params, host=host).result["changed"] is False


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ("2026-11-28T10:00:01.123456789Z", True),
        ("2026-11-28T11:00:01+01:00", True),
        ("2026-11-28T10:00:01+01:00", False),
        ("2026-11-28T09:59:59Z", False),
        ("", False),
        ("yesterday", False),
    ],
)
def test_when_a_container_was_created(created: str, expected: bool) -> None:
    found = Container(ID, "web", "created", 0, "w", "8177", "runc", LABEL, created_at=created)
    assert notes.created_since(found, 1795860000.0) is expected
